"""Write files whole or not at all; an error is one line that says what to do."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from cornernet.errors import InputError

_FIXES = {
    errno.ENOSPC: "free some space there, or write elsewhere",
    errno.EDQUOT: "free some of your quota there, or write elsewhere",
    errno.EACCES: "change its permissions, or write elsewhere",
    errno.EPERM: "change its permissions, or write elsewhere",
    errno.EROFS: "write elsewhere: this place is read-only",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of this path is a file: choose another folder",
    errno.EEXIST: "a part of this path is a file: choose another folder",
}
CACHE_VARIABLE = "CORNERNET_CACHE"


def cache_folder() -> Path:
    """Where fetched and unpacked files are kept: $CORNERNET_CACHE, or cornernet in the user's cache folder."""
    if os.environ.get(CACHE_VARIABLE):
        return Path(os.environ[CACHE_VARIABLE])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cornernet"


@contextmanager
def write_errors(path: Path, what: str = "cannot be written") -> Iterator[None]:
    """Turn an ``OSError`` or ``ValueError`` (a bad name) of the block into an ``InputError`` about ``path``."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise _error(path, what, error) from error


@contextmanager
def silent_stderr() -> Iterator[None]:
    """For the block, what compiled code writes to standard error goes nowhere; some of it has no other switch."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def parse_int(digits: str) -> int | float:
    """For ``json.loads``: a whole number; one with more digits than any count has, which would overflow, as a float."""
    return int(digits) if len(digits) < 19 else float(digits)


def read_own_json(path: Path, fix: str) -> Any:
    """The content of a JSON file that this package wrote. Raises ``InputError``, with ``fix``, if it is damaged."""
    try:
        return json.loads(path.read_bytes(), parse_int=parse_int)
    except OSError as error:
        raise _error(path, "cannot be read", error) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"damaged ({error})", path, fix) from None


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder and its missing parents; returns its path. Raises ``InputError`` if that fails."""
    folder = Path(path)
    with write_errors(folder, "the folder cannot be made"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def atomic_write(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write ``data`` to a file, whole or not at all; returns its path. Raises ``InputError`` as `atomic_file` does."""
    with atomic_file(path) as file:
        file.write(data)
    return Path(path)


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write in pieces. It gets its name when the block ends, and only if nothing failed.

    The bytes go to a hidden file in the same folder, which is renamed at the end: nobody reads half a file, and a
    failure leaves the old file as it was. Missing parents are created. Where ``path`` is a link, its target is written.
    Raises ``InputError`` for a folder or device of that name, a missing permission, a full disk.
    """
    target = Path(path)
    try:
        real = target.resolve()
        in_the_way = real.exists() and not real.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise _error(target, "cannot be written", error) from error
    if in_the_way:
        kind = "a folder" if real.is_dir() else "a device, not a file"
        raise InputError(f"cannot be written (it is {kind})", target, "give the name of a file")
    make_folder(real.parent)
    hidden = real.parent / f".{real.name[:32]}.{secrets.token_hex(4)}.tmp"
    try:
        with write_errors(target):
            # os.open rather than tempfile, whose files only their owner may read.
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with open(os.open(hidden, flags, 0o666), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(hidden, real)
    finally:
        hidden.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], fix: str = "") -> Iterator[Path]:
    """A new folder to fill. It gets its name when the block ends, and only if nothing failed.

    Raises ``InputError`` if the path is in use, and, with ``fix``, for an ``OSError`` in the block.
    """
    target = Path(path).absolute()
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError("exists and is not an empty folder", target, "give another path or remove it first")
        yield make_folder(partial)
        if target.exists():
            target.rmdir()  # a rename onto an empty folder fails on Windows
        partial.rename(target)
    except OSError as error:
        what, fix = f"cannot be written ({error.strerror or error})", fix or "give a writable path with room"
        raise InputError(what, target, fix) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def atomic_write_json(path: str | os.PathLike[str], obj: Any, indent: int | None = 2) -> Path:
    """Write ``obj`` as UTF-8 JSON, whole or not at all; returns its path.

    ``indent=None`` gives one compact line, for files of many thousand entries. Raises ``InputError`` as
    ``atomic_write`` does, and ``ValueError`` or ``TypeError`` for values that JSON does not have, such as NaN.
    """
    separators = None if indent else (",", ":")
    text = json.dumps(obj, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    return atomic_write(path, (text + "\n").encode())


def _error(path: Path, what: str, error: Exception) -> InputError:
    number = error.errno if isinstance(error, OSError) else None
    reason = (os.strerror(number) if number else str(error)).lower()
    fix = _FIXES.get(number, "choose another place") if number else "choose another name"
    return InputError(f"{what} ({reason})", path, fix)
