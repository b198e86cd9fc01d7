"""What the writers of all formats share: boxes by image, names of copied images, numbers as text."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.errors import InputError
from cornernet.media.images import read_header, write_upright
from cornernet.media.walk import IMAGE_SUFFIXES, JPEG_SUFFIXES, PORTABLE_SUFFIXES, is_junk

Placer = Callable[[ImageRecord, Path], None]  # copies or links an image to a new place
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # in any XML file
_NOT_IN_XML = re.compile(f"{ILLEGAL.pattern}|[\t\r\n]")  # nor is it certain that readers keep these
_DIGITS = 9  # decimals of a pixel: rounding removes the errors of floating-point sums


class Box(NamedTuple):
    """A box to write, in pixels, inside the image; ``label`` is the index into the written classes."""

    id: int
    label: int
    x: float
    y: float
    width: float
    height: float
    area: float
    is_crowd: bool


class Rectangle(NamedTuple):
    """A box with the name of its class, in pixels; ``score`` if it is a prediction."""

    name: str
    x: float
    y: float
    width: float
    height: float
    is_crowd: bool = False
    score: float | None = None


def rectangles(boxes: Iterable[Box], class_names: Sequence[str]) -> list[Rectangle]:
    """The boxes with the names of their classes."""
    return [Rectangle(class_names[b.label], b.x, b.y, b.width, b.height, b.is_crowd) for b in boxes]


def require_xml(format: str, class_names: Iterable[str], datasets: Mapping[str, CocoDataset]) -> None:
    """Raise ``InputError`` for names of classes and images that an XML file cannot hold."""
    places = {name: f"class {name!r}" for name in class_names}
    places |= {record.file_name: f"image {str(record.path)!r}" for data in datasets.values() for record in data.images}
    for name, place_of_name in places.items():
        if _NOT_IN_XML.search(name):
            fix = "rename it, or choose another format"
            raise InputError(f"{format}'s files hold no control characters", place_of_name, fix)


def all_classes(datasets: Iterable[CocoDataset]) -> list[str]:
    """The class names of all splits, in the first one's order."""
    return list(dict.fromkeys(name for dataset in datasets for name in dataset.class_names))


def boxes_of(dataset: CocoDataset, class_names: Sequence[str]) -> dict[int, list[Box]]:
    """The boxes of each image id: those of the label file, clipped to the image."""
    content = dataset.coco_dict()
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    labels = {category["id"]: class_names.index(category["name"]) for category in content["categories"]}
    boxes: dict[int, list[Box]] = {}
    for item in content["annotations"]:
        sides = []
        for start, length, end in zip(item["bbox"][:2], item["bbox"][2:], sizes[item["image_id"]], strict=True):
            if start < 0 or start + length > end:
                start, length = max(0, start), min(start + length, end) - max(0, start)
            sides.append((round(start, _DIGITS), round(length, _DIGITS)))
        (x, width), (y, height) = sides
        area = min(item["area"], width * height)
        box = Box(item["id"], labels[item["category_id"]], x, y, width, height, area, bool(item["iscrowd"]))
        boxes.setdefault(item["image_id"], []).append(box)
    return boxes


def free_names(
    images: Sequence[ImageRecord], taken: set[str], *, by_stem: bool = False, flat: bool = False
) -> list[str]:
    """A file name for each image's copy: its own name, with a number if that is taken, and without folders that lead
    out of the data set.

    Names that differ only in case count as the same, as on many disks. With ``by_stem`` names that differ only in their
    ending do too, because label files have the stem as name; an ending that other tools do not look for becomes .jpg or
    .png (see `is_rewritten`); and ``InputError`` is raised for a name that readers of the folder ignore. ``flat`` gives
    names without folders, because many tools look in one folder only; where two would be the same, they have their
    folders in them. ``taken`` has the names used so far, and grows.
    """
    names = []
    stems = Counter(PurePosixPath(image.file_name).stem.casefold() for image in images)
    for image in images:
        path = PurePosixPath(image.file_name)
        if path.is_absolute() or ".." in path.parts:
            path = PurePosixPath(path.name)
        if flat:
            path = PurePosixPath(path.name if stems[path.stem.casefold()] == 1 else "_".join(path.parts))
        if by_stem and any(map(is_junk, path.parts)):
            what = "in this format an image's name does not begin with a dot, nor is it a system's own"
            raise InputError(what, image.path, "rename it, or convert to COCO")
        if by_stem and path.suffix.lower() not in PORTABLE_SUFFIXES:
            suffix = ".jpg" if path.suffix.lower() in JPEG_SUFFIXES else ".png"
            stem = path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name  # "shot 3.5" has no ending
            path = path.with_name(f"{stem}{suffix}")
        name, count = path, 1
        while (key := str(name.with_suffix("") if by_stem else name).casefold()) in taken:
            count += 1
            name = path.with_stem(f"{path.stem}_{count}")
        taken.add(key)
        names.append(str(name))
    return names


def placed(
    dataset: CocoDataset,
    class_names: Sequence[str],
    folder: Path,
    place: Placer,
    *,
    by_stem: bool = False,
    flat: bool = False,
    taken: set[str] | None = None,
) -> Iterator[tuple[ImageRecord, str, list[Box]]]:
    """Place each image in a folder; gives its record, its name there (see `free_names`), and its boxes."""
    boxes = boxes_of(dataset, class_names)
    names = free_names(dataset.images, set() if taken is None else taken, by_stem=by_stem, flat=flat)
    for record, name in zip(dataset.images, names, strict=True):
        place(record, folder / name)
        yield record, name, boxes.get(record.id, [])


def flattened(datasets: Iterable[CocoDataset]) -> list[str]:
    """A line about images that were in folders of their own, if there are any."""
    deep = [
        image.file_name for data in datasets for image in data.images if len(PurePosixPath(image.file_name).parts) > 1
    ]
    if not deep:
        return []
    return [f"{len(deep)} images, such as {deep[0]}, lie in one folder now: many tools look in no other"]


def lost_crowds(count: int, format: str) -> list[str]:
    """A line about boxes that are written without their mark of a crowd, if there are any."""
    return [f"{count} crowd boxes became ordinary ones: {format} has no mark for them"] if count else []


def is_rewritten(source: Path, target: Path) -> bool:
    """Whether an image is written anew as PNG, because few tools read its kind: GIF, JPEG 2000, HEIC ..."""
    return target.suffix.lower() == ".png" and source.suffix.lower() != ".png"


def place_image(source: Path, target: Path, *, copy: bool) -> bool:
    """Put an image into a folder without using room: a hard link, or a symbolic one, or if allowed a ``copy``.

    An image with an EXIF rotation is written anew, upright. Returns whether the image is there.
    """
    if read_header(source).orientation > 1:
        write_upright(source, target)
        return True
    for link in (os.link, os.symlink):
        with suppress(OSError):
            link(os.path.realpath(source), target)
            return True
    if copy:
        shutil.copyfile(source, target)
    return copy


def write_text(path: Path, text: str) -> None:
    """Write a label file, and make its folders. It need not be atomic: the data set's folder is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())


def as_text(value: float, digits: int = _DIGITS) -> str:
    """A number with at most ``digits`` decimals, without trailing zeros."""
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def json_lines(entries: Iterable[Mapping[str, Any]]) -> str:
    """A JSON list with an entry on each line."""
    lines = (json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in entries)
    return "[\n" + ",\n".join(lines) + "\n]\n"
