"""What every label format is read into: COCO's three tables, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cornernet.errors import InputError
from cornernet.media.images import find_images

Table = list[dict[str, Any]]
Wanted = Callable[[str], bool]  # whether an image of that file name is wanted


def everything(_: str) -> bool:
    """Every image is wanted."""
    return True


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing in a data set that cannot be used as it is: where it stands, what it is, how to mend it.

    ``kind`` is its plural, to count by. ``outcome`` says what becomes of it in training, or in a clean copy.
    """

    kind: str
    where: str
    what: str
    fix: str
    outcome: Literal["left out", "image left out", "clipped", "mended", "kept"]

    def __str__(self) -> str:
        return _printable(f"{self.where}: {self.what}; {self.outcome}")

    def with_fix(self) -> str:
        """The line for whoever wants to mend it."""
        return _printable(f"{self.where}: {self.what}; {self.fix}")


def _printable(line: str) -> str:
    """A text with names of files in it, which may hold bytes that are no text."""
    return line.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def unusable_image(path: Path, error: InputError) -> Problem:
    """The problem of an image that cannot be used because it, or its label file ``path``, cannot be read."""
    what, fix = what_and_fix(error, str(path))
    return Problem("unusable images", str(path), what, fix, "image left out")


def what_and_fix(error: InputError, where: str) -> tuple[str, str]:
    """The parts of an error's line, which says "where: what; how to mend"."""
    what, _, fix = str(error).removeprefix(f"{where}: ").rpartition("; ")
    return (what, fix) if what else (fix, "mend it")


@dataclass(slots=True, eq=False)
class Tables:
    """One split: ``images``, ``annotations`` and ``categories`` as a COCO file has them, not yet checked.

    ``path`` is the label file or folder that messages name; image file names are relative to ``folder``. ``places``
    says where each annotation stands, in formats that give them no ids and where they are numbered from 1 on.
    ``problems`` are those of the reading. ``category_entry`` is what the format calls a class's entry, by its index.
    ``lists_classes`` is false where the classes are only those that boxes have; ``knows_headers`` is true where sizes
    come from the images themselves.
    """

    name: str
    format: str
    path: Path
    folder: Path
    images: Table
    annotations: Table
    categories: Table
    places: list[str] | None = None
    problems: list[Problem] = field(default_factory=list)
    category_entry: str = "categories[{}].name"
    lists_classes: bool = True
    knows_headers: bool = False

    def place_of(self, annotation_id: int, file_name: str | None) -> str:
        """Where an annotation of an image stands, for messages."""
        if self.places is not None:
            return self.places[annotation_id - 1]
        return f"{self.path} annotation {annotation_id}" + (f" of {file_name}" if file_name else "")


def images_below(folder: Path) -> list[Path]:
    """Every image in a folder, searched to the bottom, sorted; none is no error."""
    try:
        return find_images([folder])
    except InputError:
        return []
