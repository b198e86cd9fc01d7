"""Reads and writes LabelMe's files, one JSON file for each image, beside it.

Folders with names of splits are the splits. LabelMe has no list of classes; here it is ``labels.txt``, the file that
people give to the tool, with a name on each line.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cornernet.data.coco_tables import short
from cornernet.data.dataset import CocoDataset
from cornernet.data.places import image_of_stem, same_content
from cornernet.data.sniff import is_labelme, load_json, looks_like_labelme
from cornernet.data.tables import read_text
from cornernet.data.tools import ImageLabels, Labels, Points, Shape, ToolFolder, are_splits, box_around, size_of
from cornernet.data.writing import Placer, Rectangle, all_classes, placed, rectangles, write_text
from cornernet.errors import InputError
from cornernet.media.walk import files_ending

_CLASSES = "labels.txt"
_NO_CLASSES = ("__ignore__", "_background_")  # what LabelMe's own converters have in that file
_AREAS = ("polygon", "rectangle", "circle", "mask", "oriented_rectangle", "rotation")
_TRIED = 1000  # JSON files that are opened to find the first of LabelMe's
_DIGITS = 9


def find_labelme(path: Path) -> ToolFolder | None:
    """The LabelMe data set in a folder, or of one JSON file; ``None`` if there is none."""
    if path.is_file():
        if path.suffix.lower() != ".json" or not is_labelme(path):
            return None
        return ToolFolder("labelme", "LabelMe", path, path.name, ["all"], lambda: _read(path.parent, {"all": [path]}))
    first = next((file for file in islice(_files_below(path), _TRIED) if is_labelme(file)), None)
    if first is None:
        return None
    splits = _by_split(path, [file for file in _files_below(path) if file == first or looks_like_labelme(file)])
    shown = Path(os.path.relpath(first, path)).with_name("*.json").as_posix()
    return ToolFolder("labelme", "LabelMe", path, shown, splits, lambda: _read(path, splits))


def write_labelme(out: Path, datasets: Mapping[str, CocoDataset], place: Placer) -> list[str]:
    """Write splits as folders of images, each with its JSON file beside it, and ``labels.txt``.

    Crowd boxes have the flag ``iscrowd``. Returns a line about folders that are not read as splits.
    """
    names = all_classes(datasets.values())
    for name in names:
        if "\n" in name:
            raise InputError(f"{_CLASSES} has one class on each line", f"class {name!r}", "rename it")
    for split, dataset in datasets.items():
        for record, name, boxes in placed(dataset, names, out / split, place, by_stem=True):
            image = out / split / name
            content = labelme_json(image.name, (record.height, record.width), rectangles(boxes, names))
            write_text(image.with_suffix(".json"), json.dumps(content, ensure_ascii=False, indent=2))
    write_text(out / _CLASSES, "".join(f"{name}\n" for name in names))
    if len(datasets) > 1 and not are_splits(datasets):
        return [f"the folders {', '.join(datasets)} are read as one split: rename one of them to train"]
    return []


def labelme_json(image: str, size: tuple[int, int], boxes: Iterable[Rectangle]) -> dict[str, Any]:
    """The content of the file of an image of (height, width); ``image`` is its path from there."""
    shapes = [
        {
            "label": box.name,
            "points": [
                [round(box.x, _DIGITS), round(box.y, _DIGITS)],
                [round(box.x + box.width, _DIGITS), round(box.y + box.height, _DIGITS)],
            ],
            "group_id": None,
            "description": "" if box.score is None else f"score {box.score:.3f}",
            "shape_type": "rectangle",
            "flags": {"iscrowd": True} if box.is_crowd else {},
            "mask": None,
        }
        for box in boxes
    ]
    content = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None}
    return content | {"imageHeight": size[0], "imageWidth": size[1]}


def _files_below(root: Path) -> Iterator[Path]:
    return files_ending(root, ".json", below=True)


def _by_split(root: Path, files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files by split: the folders below the first folder in which they part, if these have names of splits."""
    base = Path(os.path.commonpath([file.parent for file in files]))
    parts: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        inner = file.relative_to(base).parts
        parts[inner[0] if len(inner) > 1 else "all"].append(file)
    if base != root and are_splits([base.name]):
        return {base.name: list(files)}
    return dict(parts) if are_splits(parts) else {"all": list(files)}


def _read(root: Path, splits: Mapping[str, Sequence[Path]]) -> Labels:
    """All labels of a data set."""
    notes: dict[str, list[str]] = {}
    not_boxes: dict[str, Counter[str]] = defaultdict(Counter)
    images: dict[str, list[ImageLabels]] = {}
    for split, files in splits.items():
        merged: list[str] = []
        images[split] = []
        for file in files:
            if item := _read_file(file, not_boxes[split], merged):
                images[split].append(item)
        if merged:
            what = f"{len(merged)} objects of several shapes, with one group_id and class, are read as one box each"
            notes[split] = [f"{what}, such as {merged[0]}"]
    return Labels(images, _classes(root), notes, not_boxes)


def _classes(root: Path) -> list[str]:
    file = root / _CLASSES
    names = read_text(file).split("\n") if file.is_file() else []
    return [name for name in names if name.strip() and name not in _NO_CLASSES]


def _read_file(file: Path, not_boxes: Counter[str], merged: list[str]) -> ImageLabels | None:
    """A file's labels; ``None`` if it turns out to be of another tool."""
    try:
        content = load_json(file)
        if not isinstance(content, dict) or "shapes" not in content:
            return None
        shapes = content["shapes"]
        if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
            raise InputError("'shapes' must be a list of objects", file, "correct it or export it again")
        name, others = _image_names(file, content.get("imagePath"))
    except InputError as error:
        return ImageLabels(str(file), [file.stem], [], error=error)
    flags = content.get("flags")
    if isinstance(flags, dict) and any(value is True for value in flags.values()):
        not_boxes["flags"] += 1
    item = ImageLabels(str(file), [name], [file.parent], others=others)
    item.size = size_of(content.get("imageHeight"), content.get("imageWidth"))
    if content.get("imageData"):
        item.if_missing = "only the copy in imageData is there: save that (labelme_export_json writes img.png)"
    groups: dict[tuple[object, str], Shape] = {}
    for number, shape in enumerate(shapes, start=1):
        kind = shape.get("shape_type") or "polygon"  # old files have none
        kind = kind if isinstance(kind, str) else short(kind)
        bbox = _box(kind, shape.get("points"))
        if bbox is None:
            not_boxes[kind] += 1
            continue
        label = shape.get("label")
        name = label if isinstance(label, str) else None if label is None else short(label)
        crowd = isinstance(shape.get("flags"), dict) and shape["flags"].get("iscrowd") is True
        found = Shape(name, bbox, f"{file} shape {number}", crowd)
        group = shape.get("group_id")
        key = (short(group), name or "")
        if group is None or kind == "rectangle" or not name or not _are_numbers(bbox):
            item.shapes.append(found)
        elif key in groups:
            first = groups[key]
            x, y, w, h = first.bbox
            x2, y2, w2, h2 = bbox
            first.bbox[:] = box_around([(x, y), (x + w, y + h), (x2, y2), (x2 + w2, y2 + h2)])
            merged.append(first.where)
        else:
            groups[key] = found
            item.shapes.append(found)
    return item


def _image_names(file: Path, given: Any) -> tuple[str, list[str]]:
    """The name that ``imagePath`` gives a file's image, and those it has if that is not there.

    Raises ``InputError`` if both are there and differ.
    """
    named = given.replace("\\", "/") if isinstance(given, str) else ""
    there = file.parent / named if named and os.path.isfile(file.parent / named) else None
    beside = image_of_stem(file.parent, file.stem)
    if there and beside and there.stem != file.stem and not same_content(there, beside):
        what = f"imagePath names {there.name}, but {beside.name} has the file's name"
        raise InputError(what, file, "correct imagePath, or remove the file")
    ending = os.path.splitext(named)[1] or ".jpg"
    return named or f"{file.stem}{ending}", [beside.name if beside else f"{file.stem}{ending}"]


def _box(kind: str, points: Any) -> list[Any] | None:
    """A shape's upright box x y width height, or its points if they are none; ``None`` if it has no area."""
    if kind not in _AREAS:
        return None
    are_points = isinstance(points, list) and len(points) > (0 if kind == "mask" else 1)
    if not are_points or not all(isinstance(p, list) and len(p) == 2 and _are_numbers(p) for p in points):
        return [points]
    pairs: Points = [(float(x), float(y)) for x, y in points]
    if kind == "circle":
        (x, y), edge = pairs[0], pairs[1]
        radius = math.dist((x, y), edge)
        return [x - radius, y - radius, 2 * radius, 2 * radius]
    x, y, width, height = box_around(pairs)
    return [x, y, width + 1, height + 1] if kind == "mask" else [x, y, width, height]  # a mask's points are pixels


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(type(value) in (int, float) for value in values)
