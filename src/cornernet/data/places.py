"""Which of several places is meant where more than one holds the files of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cornernet.errors import InputError
from cornernet.media.walk import IMAGE_SUFFIXES, walk

TRIED = 20  # files that are searched to find their folder
SPLIT_NAMES = ("train", "training", "val", "valid", "validation", "test", "testing")
Finder = Callable[[Path, str], Path | None]  # the file of that name in a folder


class MissingSplit(InputError):
    """The images of a split are not there; the other splits can be used without it."""


def named_file(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder."""
    return folder / name if os.path.isfile(folder / name) else None


def image_of_stem(folder: Path, stem: str) -> Path | None:
    """The image in a folder whose name has any of the usual endings."""
    endings = (*IMAGE_SUFFIXES, *(ending.upper() for ending in IMAGE_SUFFIXES))
    return next(filter(None, (named_file(folder, stem + ending) for ending in endings)), None)


def best_folder(
    ranks: Sequence[Sequence[Path]], names: Iterable[str], where: object, find: Finder = named_file
) -> Path | None:
    """The folder with most of the named files, in the earliest of the ``ranks``; ``None`` if no folder has any.

    Raises ``InputError`` about ``where`` if two folders of one rank hold as many, with other content.
    """
    wanted = list(names)
    found = {folder: [find(folder, name) for name in wanted] for rank in ranks for folder in rank}
    counts = {folder: sum(file is not None for file in files) for folder, files in found.items()}
    most = max(counts.values(), default=0)
    for rank in ranks if most else ():
        best = [folder for folder in dict.fromkeys(rank) if counts[folder] == most]
        for other in best[1:]:
            for one, two in zip(found[best[0]], found[other], strict=True):
                if one and two and not same_content(one, two):
                    what = f"its images, such as {one.name}, are in {best[0]} and, other ones, in {other}"
                    raise InputError(what, where, "remove or rename the folder that is not meant")
        if best:
            return best[0]
    return None


def same_content(one: Path, two: Path) -> bool:
    """Whether two files, or two folders as far as their first files tell, hold the same."""
    if os.path.samefile(one, two):
        return True
    if one.is_dir() and two.is_dir():
        names, others = _names_below(one), _names_below(two)
        return names == others and all(same_content(one / name, two / name) for name in names[:TRIED])
    if one.is_dir() or two.is_dir() or one.stat().st_size != two.stat().st_size:
        return False
    return one.read_bytes() == two.read_bytes()


def _names_below(folder: Path) -> list[str]:
    return sorted(os.path.relpath(path, folder) for path in walk(folder))


def _with_slashes(path: str) -> str:
    """A path of Windows as one of here; other paths as they are."""
    return path if os.path.exists(path) else path.replace("\\", "/")


class YamlPaths:
    """Where the entries of a YOLO data set's YAML file lead; ``notes`` has a line for each that is not read literally.

    An entry is relative to the ``base`` that the file gives, which may be that of another machine, or to the file's own
    folder. Roboflow writes ``../train/images`` and means ``train/images``.
    """

    def __init__(self, file: Path, base: object, entries: Iterable[str]) -> None:
        self.file, self.root = file, file if file.is_dir() else file.parent
        self.base = _with_slashes(str(base or "."))
        self.bases = list(dict.fromkeys([self.root / self.base, self.root]))
        stripped = [entry[3:] for entry in entries if entry.startswith("../")]
        self.is_roboflow = any(os.path.exists(base / entry) for base in self.bases for entry in stripped)
        self.notes: dict[str, str] = {}

    def find(self, entry: str) -> Path | None:
        """The place of an entry; ``None`` if there is none. Raises ``InputError`` for two with other content."""
        entry = _with_slashes(entry)
        text = self._meant(entry)
        there = self._existing([base / text for base in self.bases])
        if text != entry:
            for other in self._existing([base / entry for base in self.bases]):
                if there and not any(same_content(other, place) for place in there):
                    what = f"{entry} is read as {there[0]}, beside the file, not as {os.path.normpath(other)}"
                    self.notes[entry] = what
        if not there and (shorter := self._beside(entry)):
            self.notes[entry] = f"{entry} is not there, {shorter} is read"
            return shorter
        for other in there[1:]:
            if not same_content(there[0], other):
                what = f"{entry} may be {os.path.normpath(there[0])} or {os.path.normpath(other)}, which differ"
                raise InputError(what, self.file, "correct 'path:', or write the whole path of the one that is meant")
        return there[0] if there else None

    def missing(self, split: str, entry: str) -> MissingSplit:
        """The error of an entry that leads nowhere."""
        where = " nor ".join(dict.fromkeys(os.path.normpath(base / self._meant(entry)) for base in self.bases))
        # Other tools look below the working directory too.
        elsewhere = [self.root / entry, *(Path.cwd() / place / self.base / entry for place in (".", "datasets"))]
        near = next((os.path.normpath(place) for place in elsewhere if os.path.exists(place)), None)
        fix = f"if {near} is meant, write that" if near else "correct the path"
        return MissingSplit(f"{split}: there is no {where}", self.file, fix)

    def _meant(self, entry: str) -> str:
        return entry[3:] if self.is_roboflow and entry.startswith("../") else entry

    def _existing(self, places: Sequence[Path]) -> list[Path]:
        found: dict[str, Path] = {}
        for place in places:
            if os.path.exists(place):
                found.setdefault(os.path.realpath(place), place)
        return list(found.values())

    def _beside(self, entry: str) -> Path | None:
        """The longest end of an entry, a path of another machine, that is there beside the file."""
        parts = [part for part in Path(entry).parts if part not in ("..", Path(entry).anchor)]
        ends = [parts[i:] for i in range(1, len(parts))]
        ends = [end for end in ends if len(end) > 1 or Path(end[0]).stem.lower() in SPLIT_NAMES]
        return next((place for end in ends if os.path.exists(place := self.root.joinpath(*end))), None)
