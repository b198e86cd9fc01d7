"""Files that list sources, one path or address a line."""

from __future__ import annotations

import os
from pathlib import Path

from cornernet.errors import InputError
from cornernet.media.address import is_address

_SUFFIXES = (".txt", ".lst", ".list")
_LARGEST = 2**26  # bytes


def is_list(place: str) -> bool:
    """Whether it is a file with the ending of a list."""
    return place.lower().endswith(_SUFFIXES) and os.path.isfile(os.path.expanduser(place))


def read_list(place: str) -> list[str]:
    """The sources that a file names; paths are relative to its folder, or else to the working directory.

    Blank lines and those that begin with ``#`` do not count. Raises ``InputError`` if no line names anything.
    """
    path = Path(place).expanduser()
    fix = "a list has a path or an address on each line, relative to its folder or to the working directory"
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError("no list of images", place, fix)
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("no list of images (not text in UTF-8)", place, fix) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", place) from None
    lines = [line.strip().strip("\"'") for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError("no line in it names an image", place, fix)
    entries = [_resolved(line, path.parent) for line in lines]
    if not any("://" in entry or os.path.exists(entry) for entry in entries):
        raise InputError(f"none of its {len(lines)} lines names a file that is there ({lines[0][:60]!r})", place, fix)
    return entries


def _resolved(line: str, folder: Path) -> str:
    if is_address(line) or line.startswith("camera:"):
        return line
    for written in dict.fromkeys((line, line.replace("\\", "/"))):
        for candidate in (folder / Path(written).expanduser(), Path(written).expanduser()):
            if candidate.exists():
                return str(candidate)
    return line
