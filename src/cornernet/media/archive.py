"""Unpacks an archive (zip, or tar with any of Python's compressions) once, into the cache folder.

A later run finds the same images again; what was not used for 30 days is removed when another one is unpacked. What
leads out of the archive, is no file, or would fill the disk is refused before it is written.
"""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal, NamedTuple

from cornernet.errors import InputError
from cornernet.files import atomic_folder, cache_folder, make_folder
from cornernet.media.archive_cache import folder_for, mark_used, remove_unused
from cornernet.media.walk import is_of_system

_MOST_FILES = 3_000_000
_MOST_GROWTH = 200  # times the archive's size: pictures hardly shrink, an empty file does by 1000
_GROWTH_ALLOWED = 2**30  # bytes, whatever the growth: text and drawings shrink well
_ROOM_LEFT = 2**28  # bytes that stay free on the disk
_CHUNK = 2**20
_BY_HAND = "unpack it yourself and give the folder"
_ENDS = re.compile(r"\.(tar(\.\w+)?|t[gbx]z2?|zip|7z|rar|zst)$", re.IGNORECASE)
_STARTS = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "tar",
    b"BZh": "tar",
    b"\xfd7zXZ": "tar",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
    b"\x28\xb5\x2f\xfd": "zst",
}
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)


class _Member(NamedTuple):
    """An entry of an archive; ``target`` is what a link names, relative to the link's folder."""

    name: str
    kind: Literal["file", "folder", "link"]
    size: int
    target: str
    open: Callable[[], IO[bytes]]


class _Limits:
    """How much may be in an archive: what can be expected, and what fits on the disk."""

    def __init__(self, archive: Path) -> None:
        self.archive, self.size = archive, archive.stat().st_size
        self.room = shutil.disk_usage(make_folder(cache_folder())).free - _ROOM_LEFT

    def check(self, size: int, files: int) -> None:
        """Raise ``InputError`` if that is too much."""
        if files > _MOST_FILES:
            raise InputError(f"more than {_MOST_FILES} files", self.archive, f"if that is right, {_BY_HAND}")
        if size > max(_GROWTH_ALLOWED, _MOST_GROWTH * self.size):
            what = f"its content is more than {_MOST_GROWTH} times as large ({size >> 20} MiB), as in a zip bomb"
            raise InputError(what, self.archive, f"if that is right, {_BY_HAND}")
        if size > self.room:
            what = f"needs {size >> 20} MiB or more in {cache_folder()}, which has not so much room"
            raise InputError(what, self.archive, "set CORNERNET_CACHE to a folder with room")


def is_archive(path: Path) -> bool:
    """Whether a file is an archive, also one that cannot be unpacked here; its first bytes decide."""
    return path.is_file() and bool(_type(path))


def is_called_archive(path: Path) -> bool:
    """Whether a file is an archive and its name says so: documents, weights and arrays are zip files too."""
    return bool(_ENDS.search(path.name)) and is_archive(path)


def unpack(archive: Path) -> Path:
    """The folder with an archive's content. Says once where that is.

    Raises ``InputError`` for what is no whole zip or tar, is encrypted, has entries that are unsafe or do not fit.
    """
    target = folder_for(archive)
    if not target.is_dir():
        if (kind := _type(archive)) not in ("zip", "tar"):
            raise InputError(f"a {kind} archive, which is not read", archive, f"{_BY_HAND}, or pack it as zip or tar")
        make_folder(target.parent)
        try:
            limits = _Limits(archive)
            with atomic_folder(target, "set CORNERNET_CACHE to a folder with room") as new, _damage(archive):
                _write(archive, _zip_members(archive, limits) if kind == "zip" else _tar_members(archive), limits, new)
        except InputError:
            if not target.is_dir():  # else another process was faster
                raise
        else:
            print(f"{archive} is unpacked in {target}", file=sys.stderr)
        remove_unused()
    mark_used(target)
    return target


def _type(path: Path) -> str:
    """The archive's type, or ""."""
    with path.open("rb") as file:
        head = file.read(262)
    if head[257:262] == b"ustar":
        return "tar"
    return next((type_ for start, type_ in _STARTS.items() if head.startswith(start)), "")


def _zip_members(archive: Path, limits: _Limits) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        if any(info.flag_bits & 1 for info in infos):
            raise InputError("encrypted", archive, f"with its password, {_BY_HAND}")
        limits.check(sum(info.file_size for info in infos), len(infos))
        for info in infos:
            mode, name = info.external_attr >> 16, _zip_name(info)
            kind = stat.S_IFMT(mode) if info.create_system == 3 else 0
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                raise _unsafe(archive, name, "is a device, not a file")
            is_link = kind == stat.S_IFLNK
            target = opened.read(info).decode("utf-8", "surrogateescape") if is_link and info.file_size < 4096 else ""
            is_folder = kind == stat.S_IFDIR or name.endswith(("/", "\\"))
            what = "link" if is_link else "folder" if is_folder else "file"
            yield _Member(name, what, info.file_size, target, lambda info=info: opened.open(info))


def _zip_name(info: zipfile.ZipInfo) -> str:
    """An entry's name; without the mark for UTF-8 it may be UTF-8 nevertheless, else it is code page 437."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    with suppress(UnicodeError):
        return info.orig_filename.encode("cp437").decode()
    return info.orig_filename


def _tar_members(archive: Path) -> Iterator[_Member]:
    with tarfile.open(archive) as opened:
        for info in opened:
            if not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
                raise _unsafe(archive, info.name, "is a device, not a file")
            kind = "folder" if info.isdir() else "file" if info.isreg() else "link"
            target = info.linkname
            if info.islnk():  # relative to the archive, not to the link
                target = os.path.relpath(_parts(target), os.path.dirname(_parts(info.name)) or ".")
            size = info.size if info.isreg() else 0
            yield _Member(info.name, kind, size, target, lambda info=info: opened.extractfile(info) or _no_file())
        _check_end(opened)


def _check_end(opened: tarfile.TarFile) -> None:
    """Raise ``TarError`` if a tar ends without its mark, where Python stops in silence; read its checksum, if any."""
    if (file := opened.fileobj) is None:
        return
    file.seek(opened.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.TarError("a bad header, or no end")
    while file.read(_CHUNK):  # the checksum is at the end
        pass


def _no_file() -> IO[bytes]:
    raise tarfile.TarError("an entry without content")


@contextmanager
def _damage(archive: Path) -> Iterator[None]:
    """Turn the errors of damaged archives into an ``InputError``."""
    try:
        yield
    except InputError:
        raise
    except NotImplementedError as error:
        raise InputError(f"packed in a way that is not read ({error})", archive, _BY_HAND) from error
    except (OSError, EOFError, ValueError, RuntimeError, *_DAMAGE) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        what = f"damaged, or no whole zip or tar archive ({' '.join(str(error).split())})"
        raise InputError(what, archive, "copy or download it again") from error


def _write(archive: Path, members: Iterator[_Member], limits: _Limits, folder: Path) -> None:
    """Write all members below ``folder``, links at the end; nothing is written through them."""
    links: dict[str, str] = {}
    seen: dict[str, Path] = {}
    total = 0
    for number, member in enumerate(members, start=1):
        name = _inner_name(archive, member.name)
        if not name or any(map(is_of_system, name.split("/"))):
            continue
        total += member.size
        limits.check(total, number)
        path = folder / name
        try:
            if member.kind == "link":
                if links.setdefault(name, member.target) != member.target or name in seen:
                    raise _unsafe(archive, name, "is there twice")
            elif member.kind == "folder":
                path.mkdir(parents=True, exist_ok=True)
            elif name in seen:
                with member.open() as source:
                    if not _same(source, path):
                        raise _unsafe(archive, name, "is there twice, with two contents")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                with member.open() as source, path.open("xb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
                seen[name] = path
        except FileExistsError:
            what = "differs from another entry only in how it is spelled, or is a file and a folder"
            raise _unsafe(archive, name, what) from None
    _link(archive, links, folder)
    if not seen:
        raise InputError("holds no file", archive, "pack the data set again")


def _link(archive: Path, links: dict[str, str], folder: Path) -> None:
    root = Path(os.path.realpath(folder))
    for name, target in links.items():
        if not target or os.path.isabs(target) or os.path.lexists(folder / name):
            raise _unsafe(archive, name, "is a link that leads out of it, or is there twice")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    for name, target in links.items():
        if not Path(os.path.realpath(folder / name)).is_relative_to(root):
            raise _unsafe(archive, name, f"is a link to {target}, out of it")


def _inner_name(archive: Path, name: str) -> str:
    """The name with ``/`` between its parts, whatever stood there. Raises ``InputError`` if it leads out."""
    parts = _parts(name)
    if "\0" in name or parts.startswith("/") or re.match(r"[A-Za-z]:", parts) or ".." in parts.split("/"):
        raise _unsafe(archive, name, "leads out of it")
    return "/".join(part for part in parts.split("/") if part not in ("", "."))


def _parts(name: str) -> str:
    return name.replace("\\", "/")


def _same(source: IO[bytes], path: Path) -> bool:
    with path.open("rb") as other:
        while (chunk := source.read(_CHUNK)) == other.read(_CHUNK):
            if not chunk:
                return True
    return False


def _unsafe(archive: Path, name: str, what: str) -> InputError:
    shown = name.encode("utf-8", "backslashreplace").decode()
    return InputError(f"its entry {shown!r} {what}", archive, f"pack it again, or {_BY_HAND}")
