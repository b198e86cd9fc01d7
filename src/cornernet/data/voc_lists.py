"""The lists that divide a Pascal VOC data set into splits: text files with the name of an image on each line.

The challenge keeps them in ``ImageSets/Main``, other people beside it or in the folder itself. A line may also be an
image's path, with or without its ending, and the path of its label file or the challenge's -1, 0 or 1 behind it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from cornernet.data.names import Spellings
from cornernet.data.places import SPLIT_NAMES, TRIED
from cornernet.data.tables import read_text
from cornernet.media.walk import IMAGE_SUFFIXES, files_ending, inner_folder

_OF_ONE_CLASS = re.compile(r".+\s(-1|0|1)\s*")  # a line of the challenge's lists of a class
_ENDINGS = (*IMAGE_SUFFIXES, ".xml")


def find_lists(root: Path, labels: Path) -> dict[str, list[Path]]:
    """The lists of each split of the label files in ``labels``; none if there are no lists."""
    sets = inner_folder(root, "ImageSets")
    main = sets and inner_folder(sets, "Main")
    for folder in filter(None, (main, sets, root)):
        files = sorted(files_ending(folder, ".txt"))
        if folder != main:
            files = [file for file in files if _names_some(file, labels)]
        if folder == root:
            files = [file for file in files if file.stem.lower() in (*SPLIT_NAMES, "trainval")]
        whole = {file.stem: [file] for file in files if not _is_of_one_class(file)}
        if whole:
            return whole
        splits: dict[str, list[Path]] = {}
        for file in files:  # each image of a split is in every class's list
            splits.setdefault(file.stem.rpartition("_")[2], []).append(file)
        if splits:
            return splits
    return {}


def listed_labels(labels: Path, lists: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The label files that lists name, each once, also those that are not there; and remarks."""
    spellings = Spellings()
    found: dict[Path, int] = {}
    for file in lists:
        for line in _lines(file):
            label = _label_of(line, labels, spellings)
            found[label] = found.get(label, 0) + 1
    notes = []
    if _is_of_one_class(lists[0]):
        notes.append(f"there is no list of all images: read are those of {', '.join(file.name for file in lists)}")
    elif repeated := [label for label, count in found.items() if count > 1]:
        notes.append(f"{len(repeated)} names stand twice in {lists[0]}, such as {repeated[0].stem}: each is read once")
    return list(found), notes


def _label_of(line: str, labels: Path, spellings: Spellings) -> Path:
    names = list(_meanings(line))
    files = (spellings.find(labels / f"{name}.xml") for name in names)
    return next(filter(None, files), labels / f"{names[-1]}.xml")


def _meanings(line: str) -> Iterator[str]:
    """The names that a line may mean, the literal one first; the last one is the likeliest if there is no such file."""
    # A space at the end belongs to the name only if there is such a file.
    yield line.lstrip("/")
    yield line.strip().lstrip("/")
    first = next(iter(line.split()), "").replace("\\", "/")
    whole = first if len(line.split()) == 2 or _OF_ONE_CLASS.fullmatch(line) else line.strip().replace("\\", "/")
    stem, ending = os.path.splitext(whole)
    parts = [part for part in (stem if ending.lower() in _ENDINGS else whole).split("/") if part not in ("", ".")]
    yield from ("/".join(parts[i:]) for i in range(1, len(parts)))
    yield "/".join(parts)


def _names_some(file: Path, labels: Path) -> bool:
    """Whether one of the first lines of a text file names a label file."""
    spellings = Spellings()
    return any(_label_of(line, labels, spellings).is_file() for line in _lines(file)[:TRIED])


def _is_of_one_class(file: Path) -> bool:
    """Whether a list is the challenge's one of a single class, such as ``cat_train.txt``, with -1, 0 or 1 per image."""
    lines = _lines(file)
    return "_" in file.stem and bool(lines) and all(map(_OF_ONE_CLASS.fullmatch, lines))


def _lines(file: Path) -> list[str]:
    return [line for line in read_text(file).split("\n") if line.strip()]
