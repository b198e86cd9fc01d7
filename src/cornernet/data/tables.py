"""COCO's three tables, which the readers of all label formats fill, and the problems in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cornernet.data.causes import Layout, Unit
from cornernet.errors import InputError
from cornernet.media.walk import PassedOver, find_images

Table = list[dict[str, Any]]
Wanted = Callable[[str], bool]  # whether an image of that file name is wanted
Outcome = Literal["left out", "image left out", "clipped", "fixed", "kept"]
PREDICTED = ".cornernet-predict"  # an empty file among the images that predict wrote labels for


def everything(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a data set that cannot be used as it is: where it is, what is wrong, how to fix it.

    ``kind`` is a plural noun; reports count problems by it. ``outcome`` is what training or a clean copy does with it.
    """

    kind: str
    where: str
    what: str
    fix: str
    outcome: Outcome

    def __str__(self) -> str:
        return _printable(f"{self.where}: {self.what}; {self.outcome}")

    def with_fix(self) -> str:
        return _printable(f"{self.where}: {self.what}; {self.fix}")


def _printable(line: str) -> str:
    """The line without line breaks and bytes that are not UTF-8, which file names may have."""
    return line.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def problem_of(error: InputError, kind: str, where: object, outcome: Outcome) -> Problem:
    """An error as the problem of the file or split ``where``; if the error has another place, ``what`` has it."""
    place = "" if error.where == str(where) else error.where
    return Problem(kind, str(where), str(InputError(error.what, place)), error.fix or "correct it", outcome)


def unusable_image(path: Path, error: InputError) -> Problem:
    """The problem of an image whose file, or label file, ``path`` cannot be read."""
    return problem_of(error, "unusable images", path, "image left out")


@dataclass(slots=True, eq=False)
class Tables:
    """One split: ``images``, ``annotations`` and ``categories`` as a COCO file has them, not yet checked.

    ``path`` is the label file or folder in messages; image file names are relative to ``folder``. In formats without
    ids, annotations are numbered from 1 and ``places`` has the place of each. ``problems`` were found while reading.
    ``category_entry`` names a class's entry by its index in messages. ``lists_classes`` is false if the classes are
    only those of the boxes; ``knows_headers`` is true if sizes were read from the images, and then ``rotated`` has the
    ids of those with an EXIF rotation. ``notes`` are remarks about the whole split, one line each.
    ``layout`` and ``unit`` are those of the numbers in the label files. ``unknown_classes`` has the class ids of boxes
    that are not among the annotations, because no class has them. ``is_numbered`` is true if the label file has no
    numbers as ids, so that these are ours.
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
    rotated: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    layout: Layout = "xywh"
    unit: Unit = "pixels"
    unknown_classes: set[int] = field(default_factory=set[int])
    is_numbered: bool = False

    def place_of(self, annotation_id: int, file_name: str | None) -> str:
        """The place of an annotation in messages."""
        if self.places is not None:
            return self.places[annotation_id - 1]
        return f"{self.path} annotation {annotation_id}" + (f" of {file_name}" if file_name else "")


def read_text(file: Path) -> str:
    """The text of a UTF-8 file. Raises ``InputError`` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file, "check its permissions") from error
    except ValueError as error:
        raise InputError(f"not text ({error})", file, "save it as UTF-8") from error


def images_below(folder: Path, notes: list[str] | None = None) -> list[Path]:
    """Every image in a folder and its subfolders, sorted; the list may be empty.

    Of a folder that ``cornernet predict`` wrote only those of its ``images``: the others have boxes drawn on them
    or are cut out. ``notes`` gets a line about each place that cannot be reached.
    """
    passed = PassedOver()
    try:
        images = folder / "images"
        return find_images([images if (images / PREDICTED).is_file() else folder], passed=passed)
    except InputError:
        return []
    finally:
        if notes is not None:
            notes += passed.unreachable


def note_of_pictures(paths: Sequence[Path]) -> list[str]:
    """A line about files that hold several pictures, if there are any."""
    if not paths:
        return []
    return [f"{len(paths)} files hold several pictures, of which the first is taken; the first such file is {paths[0]}"]
