"""The tables of a COCO JSON file (images, annotations, categories), with the type of each value checked."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.outlines import box_of_segmentation
from cornernet.data.places import MissingSplit
from cornernet.data.sniff import parse_json
from cornernet.data.tables import Table
from cornernet.errors import InputError

_SHOWN = 3  # at most so many problems in one line
_POLYGONS = re.compile(rb'"segmentation"\s*:\s*\[[\[\]\s\d.,eE+-]*\]')
NOT_UTF8 = re.compile("[\ud800-\udfff]")  # bytes of file names from old archives; they cannot be printed or written


@dataclass(slots=True, eq=False)
class Annotations:
    """Columns of all annotations; ``boxes`` float64 (N, 4) x y width height in pixels, as in the file."""

    ids: NDArray[np.int64]
    image_ids: NDArray[np.int64]
    category_ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    areas: NDArray[np.float64]
    crowd: NDArray[np.bool_]

    def take(self, rows: NDArray[Any]) -> Annotations:
        return Annotations(*(getattr(self, name)[rows] for name in self.__slots__))


def read_json(path: Path) -> dict[str, Any]:
    """The file's object, with lists of objects as images, annotations and categories."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("no such file", path, "check the path") from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", path) from error
    try:
        # Polygons are most of COCO's file, and used where there is no box: parsing takes 2 GB and half the time.
        raw = json.loads(_POLYGONS.sub(b'"segmentation":null', content))
        if isinstance(raw, dict) and isinstance(items := raw.get("annotations"), list) and any(map(_no_box, items)):
            raw = json.loads(content)
    except (ValueError, RecursionError):
        raw = parse_json(content, path)  # for the line and column of the error
    if not isinstance(raw, dict):
        fix = "give the file that has images, annotations and categories" if raw else "export it as COCO JSON"
        raise InputError(f"the top level must be an object, not {_kind(raw)}", path, fix)
    for key in ("images", "annotations", "categories"):
        if key not in raw:
            raise InputError(f"{key!r} is missing", path, "export it as COCO JSON (object detection)")
        if not isinstance(raw[key], list):
            raise InputError(f"{key!r} must be a list, not {_kind(raw[key])}", path)
        if key != "annotations" and not raw[key]:
            raise MissingSplit(f"{key!r} is empty; nothing can be read from this file", path)
        for i, item in enumerate(raw[key]):
            if not isinstance(item, dict):
                raise InputError(f"{key}[{i}] must be an object, not {_kind(item)}", path)
    return raw


def boxes_of_outlines(raw: Table) -> list[str]:
    """Give annotations without a box the box of their segmentation; returns a line about how many, if any."""
    count, first = 0, None
    for item in filter(_no_box, raw):
        if box := box_of_segmentation(item.get("segmentation")):
            item["bbox"] = box
            count, first = count + 1, item if first is None else first
    if first is None:
        return []
    what = f"{count} annotations have a segmentation and no bbox, such as id {short(first.get('id'))}"
    return [f"{what}: their boxes are those around it"]


def _no_box(item: Any) -> bool:
    """Whether an annotation's box is absent, empty or only zeros."""
    if type(item) is not dict:
        return False
    box = item.get("bbox")
    return box is None or (type(box) is list and not any(box))


def read_categories(
    path: Path, raw: Table, expected: Sequence[str] | None, entry: str = "categories[{}].name"
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Category ids and names, in the order of the ids or of ``expected``; ``entry`` names one by index in errors."""
    ids = integers(path, "categories", "id", raw, unique=True).tolist()
    names: list[str] = []
    for i, item in enumerate(raw):
        name = item.get("name")
        if not isinstance(name, str) or not name or NOT_UTF8.search(name):
            fix = "give it a name, or remove it with its boxes"
            raise InputError(f"{entry.format(i)} must be a text, not {short(name)}", path, fix)
        if name in names:
            raise InputError(f"{entry.format(i)} {name!r} stands twice", path, "rename or remove one")
        names.append(name)
    pairs = sorted(zip(ids, names, strict=True))
    if expected is not None:
        if sorted(expected) != sorted(names):
            lacking = [name for name in expected if name not in names]
            unknown = [name for name in names if name not in expected]
            what = f"its {len(names)} categories are not the {len(expected)} classes of the weights or of the training"
            what += f" (missing here: {few(lacking, ', ')}; unknown to the weights: {few(unknown, ', ')})"
            raise InputError(what, path, "take weights trained on these classes, or rename the categories")
        pairs.sort(key=lambda pair: list(expected).index(pair[1]))
    return tuple(id_ for id_, _ in pairs), tuple(name for _, name in pairs)


def read_annotations(path: Path, raw: Table) -> tuple[Annotations, dict[int, Any]]:
    """The columns, and by row the values of boxes that are not four numbers (NaN in the columns)."""
    ids = integers(path, "annotations", "id", raw, unique=True)
    image_ids = integers(path, "annotations", "image_id", raw)
    category_ids = integers(path, "annotations", "category_id", raw)
    boxes: list[Any] = [item.get("bbox") for item in raw]
    invalid: dict[int, Any] = {}
    are_boxes = all(type(box) is list and len(box) == 4 for box in boxes)
    if not are_boxes or not _are_numbers(list(chain.from_iterable(boxes))):  # all at once is faster
        for i, box in enumerate(boxes):
            if not (type(box) is list and len(box) == 4 and _are_numbers(box)):
                invalid[i] = box
                boxes[i] = [np.nan] * 4
    columns = np.array(boxes, np.float64).reshape(-1, 4)

    crowd = [item.get("iscrowd") or 0 for item in raw]
    areas = [item.get("area") for item in raw]
    for i, flag in enumerate(crowd):
        if flag not in (0, 1):
            raise InputError(f"annotations[{i}].iscrowd must be 0 or 1, not {short(flag)} (id {ids[i]})", path)
    if not _are_numbers([area for area in areas if area is not None]):
        areas = [area if _are_numbers([area]) else None for area in areas]
    area = np.array(areas, np.float64)  # None becomes NaN: the box tells the area
    with np.errstate(invalid="ignore", over="ignore"):
        area = np.where(np.isfinite(area) & (area >= 0), area, columns[:, 2] * columns[:, 3])
    return Annotations(ids, image_ids, category_ids, columns, area, np.array(crowd, np.bool_)), invalid


def integers(path: Path, table: str, key: str, raw: Table, *, unique: bool = False) -> NDArray[np.int64]:
    """One column. Raises ``InputError`` for a value that is missing, no integer, or (if ``unique``) repeated."""
    values = [item.get(key) for item in raw]
    if not _are_numbers(values) or float in set(map(type, values)):
        for i, (item, value) in enumerate(zip(raw, values, strict=True)):
            if key not in item:
                raise InputError(f"{table}[{i}].{key} is missing", path, "export it as COCO JSON (object detection)")
            if type(value) is not int or not _are_numbers([value]):
                raise InputError(f"{table}[{i}].{key} must be an integer, not {short(value)}", path, "number them")
    if unique and len(set(values)) < len(values):
        seen = set()
        twice = next(value for value in values if value in seen or seen.add(value))
        raise InputError(f"{table} has the {key} {twice} twice", path, f"give each its own {key}")
    return np.array(values, np.int64)


def _are_numbers(values: list[Any]) -> bool:
    """Whether all are int or float (True is neither), and the integers fit 64 bits."""
    if not set(map(type, values)) <= {int, float}:
        return False
    is_small = not values or -(2**63) < min(values) <= max(values) < 2**63
    return is_small or all(abs(v) < 2**63 for v in values if type(v) is int)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def few(lines: Sequence[str], separator: str = "; ") -> str:
    """The first lines, joined to one line."""
    more = f"{separator}and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return separator.join(lines[:_SHOWN]) + more if lines else "none"
