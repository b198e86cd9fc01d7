"""What the readers of labelling tools' files share: any shape's box, images found by name, and COCO's tables."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from cornernet.data.causes import Layout, Unit
from cornernet.data.formats import Format
from cornernet.data.names import ImageNames
from cornernet.data.places import SPLIT_NAMES
from cornernet.data.tables import Problem, Tables, Wanted, everything, images_below, problem_of
from cornernet.errors import InputError
from cornernet.media.images import image_size

Points = Sequence[tuple[float, float]]


class Shape(NamedTuple):
    """A labelled shape: its class, its box x y width height in pixels (or what stands there instead), its place."""

    name: str | None
    bbox: list[Any]
    where: str
    is_crowd: bool = False


@dataclass(slots=True)
class ImageLabels:
    """An image's labels: ``names`` that its file may have, the likeliest first, looked for in the folders ``near``.

    ``others`` are names that are taken, and said, where these are not found; ``if_missing`` says what to do if none is.
    ``size`` is (height, width) if the labels say it; boxes ``in_percent`` are shares of the image's own. ``error`` says
    why the image cannot be used, whatever its file is.
    """

    where: str
    names: Sequence[str]
    near: Sequence[Path]
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    in_percent: bool = False
    error: InputError | None = None
    others: Sequence[str] = ()
    if_missing: str = ""


class Labels(NamedTuple):
    """All labels of a data set: the images by split, the classes that the files list, and remarks by split.

    ``not_boxes`` counts, by split, what has no box, such as a line.
    """

    images: Mapping[str, Sequence[ImageLabels]]
    classes: Sequence[str]
    notes: Mapping[str, Sequence[str]]
    not_boxes: Mapping[str, Counter[str]]


class ToolFolder:
    """A labelling tool's data set, as `LabelFolder`; ``load`` reads the label files once, when they are needed.

    ``unit`` and ``layout`` are those of the numbers in them.
    """

    def __init__(
        self,
        format: Format,
        tool: str,
        root: Path,
        shown: str,
        splits: Iterable[str],
        load: Callable[[], Labels],
        unit: Unit = "pixels",
        layout: Layout = "xywh",
    ) -> None:
        self.unit: Unit = unit
        self.layout: Layout = layout
        self.format: Format = format
        self.tool, self.root = tool, root
        self.title, self.splits, self._load = f"{tool} ({shown})", tuple(splits), load
        self.folder = root.parent if root.is_file() else root
        self._images = ImageNames(self.folder)

    @cached_property
    def labels(self) -> Labels:
        return self._load()

    def read(self, split: str, wanted: Wanted = everything) -> Tables:
        """A split's tables, as `LabelFolder.read`."""
        names = self._class_names()
        ids = {name: id_ for id_, name in enumerate(names, start=1)}
        categories = [{"id": id_, "name": name} for name, id_ in ids.items()]
        tables = Tables(split, self.tool, self.root, self.folder, [], [], categories, places=[])
        tables.unit, tables.layout = self.unit, self.layout
        tables.category_entry, tables.lists_classes = "class {}", bool(self.labels.classes)
        found = [(item, self._find(item)) for item in self.labels.images[split]]
        if folders := [os.path.dirname(image) for _, image in found if isinstance(image, Path)]:
            tables.folder = Path(os.path.commonpath(folders))
        renamed: list[str] = []
        for item, image in found:
            if not wanted(image.name if isinstance(image, Path) else os.path.basename(item.names[0])):
                continue
            try:
                if isinstance(image, InputError):
                    raise image
                if item.in_percent:
                    item.size = image_size(image)
            except InputError as error:
                tables.problems.append(problem_of(error, "unusable images", item.where, "image left out"))
                continue
            if image.name not in map(os.path.basename, item.names):
                renamed.append(f"{item.names[0]} is {image}")
            _add(tables, item, image, ids)
        tables.notes += self.labels.notes.get(split, ())
        if renamed:
            tables.notes.append(f"{len(renamed)} images have other names than in the labels: {renamed[0]}")
        if counts := self.labels.not_boxes.get(split):
            listed = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
            tables.notes.append(f"left out, because they are no boxes and no areas: {listed}")
        return tables

    def strays(self, read: Sequence[Tables]) -> list[Problem]:
        """As `LabelFolder.strays`: images that no label names. None if the user named a single file."""
        if self.root.is_file():
            return []
        used = {os.path.realpath(tables.folder / item["file_name"]) for tables in read for item in tables.images}
        failed = {os.path.splitext(problem.where)[0] for tables in read for problem in tables.problems}
        what, fix = "an image without labels", "label it, or remove it"
        return [
            Problem("images without labels", str(image), what, fix, "image left out")
            for image in images_below(self.root)
            if os.path.realpath(image) not in used and str(image.with_suffix("")) not in failed
        ]

    def _find(self, item: ImageLabels) -> Path | InputError:
        """An image's file, or why it cannot be used."""
        if item.error:
            return item.error
        names = [name.replace("\\", "/") for name in (*item.names, *item.others) if name]
        for name in names:
            for folder in item.near:
                if os.path.isfile(folder / name):
                    return Path(os.path.normpath(folder / name))
        try:
            return self._images.find_any(names)
        except InputError as error:
            return InputError(error.what, error.where, item.if_missing or error.fix)

    def _class_names(self) -> list[str]:
        """The classes that the files list, then the other ones of all splits' shapes, sorted."""
        images = [item for part in self.labels.images.values() for item in part]
        used = {shape.name for item in images for shape in item.shapes if shape.name}
        names = list(dict.fromkeys([*self.labels.classes, *sorted(used)]))
        if not names:
            counts = sum(self.labels.not_boxes.values(), Counter[str]())
            otherwise = "draw boxes or areas" if counts else "label some"
            first = next((str(item.error.at(item.where)) for item in images if item.error), otherwise)
            there = f" (only {', '.join(counts)})" if counts else ""
            raise InputError(f"no box in any of its {len(images)} images{there}", self.root, first)
        return names


def _add(tables: Tables, item: ImageLabels, image: Path, ids: Mapping[str, int]) -> None:
    """Add an image and its boxes to the tables."""
    assert tables.places is not None
    image_id = len(tables.images) + 1
    height, width = item.size or (None, None)
    name = Path(os.path.relpath(image, tables.folder)).as_posix()
    tables.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    for shape in item.shapes:
        if not shape.name:
            what, fix = "has no class", "give it one, or remove it"
            tables.problems.append(Problem("boxes of unknown classes", shape.where, what, fix, "left out"))
            continue
        bbox = shape.bbox
        if item.in_percent and item.size:
            bbox = [value * side / 100 for value, side in zip(bbox, item.size[::-1] * 2, strict=True)]
        annotation = {"id": len(tables.places) + 1, "image_id": image_id, "category_id": ids[shape.name]}
        tables.annotations.append(annotation | {"bbox": bbox, "iscrowd": int(shape.is_crowd)})
        tables.places.append(shape.where)


def split_of_file(file: Path, folder: str, count: int) -> str:
    """The split of a label file: its folder's name if that is one, or its own if there are several, or "all"."""
    return folder or (file.stem if count > 1 or file.stem.lower() in SPLIT_NAMES else "all")


def size_of(height: object, width: object) -> tuple[int, int] | None:
    """An image's size, if both sides are numbers of pixels."""
    if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
        return height, width
    return None


def are_splits(names: Iterable[str]) -> bool:
    """Whether folders are those of splits."""
    return any(name.lower() in SPLIT_NAMES for name in names)


def box_around(points: Points) -> list[float]:
    """The upright box x y width height around points."""
    xs, ys = zip(*points, strict=True)
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]


def turned_box(box: Sequence[float], degrees: float, centre: tuple[float, float]) -> list[float]:
    """The upright box around the box x y width height, turned clockwise about ``centre``."""
    x, y, width, height = box
    if not degrees % 360:
        return [x, y, width, height]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(a - centre[0], b - centre[1]) for a in (x, x + width) for b in (y, y + height)]
    return box_around([(centre[0] + a * cos - b * sin, centre[1] + a * sin + b * cos) for a, b in corners])


def ellipse_box(x: float, y: float, x_radius: float, y_radius: float, degrees: float) -> list[float]:
    """The upright box x y width height around an ellipse, turned about its centre x y."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    half_width, half_height = math.hypot(x_radius * cos, y_radius * sin), math.hypot(x_radius * sin, y_radius * cos)
    return [x - half_width, y - half_height, 2 * half_width, 2 * half_height]
