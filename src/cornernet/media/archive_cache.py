"""Where archives are unpacked, and how long what is unpacked is kept."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

from cornernet.files import cache_folder

_KEPT = 30  # days after the last use
_STALE = 1  # day after which an unpacking that has not ended was killed
_ENDS = re.compile(r"\.(tar(\.\w+)?|t[gbx]z2?|zip)$", re.IGNORECASE)
_OURS = re.compile(r".+-[0-9a-f]{12}|\..+-[0-9a-f]{12}\.partial-\d+")
_DAY = 24 * 3600


def folder_for(archive: Path) -> Path:
    """The folder of an archive's content; its name tells the archive's path, size and time."""
    real = archive.resolve()
    state = real.stat()
    key = hashlib.sha256(os.fsencode(f"{real}\0{state.st_size}\0{state.st_mtime_ns}")).hexdigest()[:12]
    return (cache_folder() / "archives" / f"{_ENDS.sub('', archive.name)[:60]}-{key}").absolute()


def mark_used(folder: Path) -> None:
    """Note that an unpacked archive is used now."""
    with suppress(OSError):
        os.utime(folder)


def remove_unused() -> None:
    """Remove what was unpacked and not used for 30 days, and what a killed process left. Says so."""
    parent, now = cache_folder() / "archives", time.time()
    removed: list[str] = []
    for folder in sorted(parent.iterdir()) if parent.is_dir() else ():
        is_partial = folder.name.startswith(".")
        with suppress(OSError):
            age = (now - folder.lstat().st_mtime) / _DAY
            is_ours = folder.is_dir() and not folder.is_symlink() and _OURS.fullmatch(folder.name)
            if is_ours and age > (_STALE if is_partial else _KEPT):
                shutil.rmtree(folder, ignore_errors=True)
                removed += [folder.name] * (not is_partial)
    if removed:
        what = f"{len(removed)} unpacked archives that were not used for {_KEPT} days are removed"
        print(f"{what} from {parent}: {', '.join(removed[:3])}{' ...' if removed[3:] else ''}", file=sys.stderr)
