"""COCO files whose values are written otherwise: ids and numbers as texts or as 1.0, ids that are missing or repeated,
images by an address alone. Whatever has one meaning is brought to COCO's types, and said where it is no matter of
spelling alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain
from typing import Any

from cornernet.data.tables import Table

_IDS = {"images": ("id", "height", "width"), "annotations": ("id", "image_id", "category_id"), "categories": ("id",)}
_NAMES = ("coco_url", "flickr_url", "url", "path", "filename", "name")  # where an image's name may stand too


def settle_spelling(raw: dict[str, Table]) -> list[str]:
    """Change the tables of a file in place; a line about each thing that was decided."""
    for table, keys in _IDS.items():
        for key in keys:
            _settle_integers(raw[table], key)
    for key in ("area", "iscrowd"):
        for item in raw["annotations"]:
            if type(item.get(key)) is str:
                item[key] = _number(item[key])
    for item in raw["categories"]:
        if type(item.get("name")) in (int, float):
            item["name"] = str(item["name"])
    _settle_boxes(raw["annotations"])
    notes = [*_number_texts(raw["images"], raw["annotations"], "image_id", "images")]
    notes += _number_texts(raw["categories"], raw["annotations"], "category_id", "categories")
    return [*notes, *_number_annotations(raw["annotations"]), *_settle_images(raw["images"]), *_scored(raw)]


def _settle_integers(table: Table, key: str) -> None:
    """Make integers of 3.0, "3" and "3.0"."""
    if set(map(type, (item.get(key) for item in table))) <= {int}:
        return
    for item in table:
        if type(value := item.get(key)) in (str, float):
            number = _number(value)
            item[key] = int(number) if isinstance(number, float) and number.is_integer() else number


def _number(value: Any) -> Any:
    """The finite number that a text is; any other value as it is."""
    try:
        number = float(value)
    except ValueError:
        return value
    if type(value) is str and value.strip().isdecimal() and len(value) < 19:
        return int(value)
    return number if math.isfinite(number) else value


def _settle_boxes(annotations: Table) -> None:
    """Make four numbers of numbers as texts, of x, y, width and height by name, and of a list in a list."""
    boxes: list[Any] = [item.get("bbox") for item in annotations]
    are_lists = all(type(box) is list and len(box) == 4 for box in boxes)
    if are_lists and set(map(type, chain.from_iterable(boxes))) <= {int, float}:
        return
    for item, given in zip(annotations, boxes, strict=True):
        box = given[0] if type(given) is list and len(given) == 1 else given
        if type(box) is dict:
            box = [box.get("x"), box.get("y"), box.get("width", box.get("w")), box.get("height", box.get("h"))]
        if type(box) is not list or len(box) != 4:
            continue
        numbers = [_number(side) if type(side) is str else side for side in box]
        if all(type(number) in (int, float) for number in numbers):
            item["bbox"] = numbers


def _number_texts(table: Table, annotations: Table, key: str, named: str) -> Iterator[str]:
    """Give the entries of a table numbers where their ids are texts, in the annotations too."""
    ids = [item.get("id") for item in table]
    texts = [id_ for id_ in ids if type(id_) is str]
    if not texts or len(set(texts)) < len(texts):
        return
    first = 1 + max((id_ for id_ in ids if type(id_) is int), default=0)
    numbers = {text: first + i for i, text in enumerate(texts)}
    for item, place in [*((item, "id") for item in table), *((item, key) for item in annotations)]:
        if type(value := item.get(place)) is str:
            item[place] = numbers.get(value, value)
    yield f"{len(texts)} {named} have a text for their id, such as {texts[0]!r}: they are numbered"


def _number_annotations(annotations: Table) -> Iterator[str]:
    """Number annotations anew if some have no id, or the same: it only names them."""
    ids = [item.get("id") for item in annotations]
    if not set(map(type, ids)) <= {int, str, type(None)}:
        return
    absent = sum(id_ is None for id_ in ids)
    known = [id_ for id_ in ids if id_ is not None]
    repeated = len(known) - len(set(known))
    if not absent and not repeated and str not in set(map(type, ids)):
        return
    for number, item in enumerate(annotations, start=1):
        item["id"] = number
    told = [f"{absent} annotations have no id"] * bool(absent)
    told += [f"{repeated} annotations have the id of another one"] * bool(repeated)
    if told:
        yield f"{' and '.join(told)}: all are numbered in their order"


def _settle_images(images: Table) -> Iterator[str]:
    """Names from other places, and sizes that are none."""
    taken: list[str] = []
    for item in images:
        key = next((key for key in _NAMES if type(item.get(key)) is str and item[key]), None)
        if item.get("file_name") is None and key:
            item["file_name"] = item[key]
            taken.append(key)
    if taken:
        where = ", ".join(sorted(set(taken)))
        yield f"{len(taken)} images have no file_name: their names are read from {where}"
    without = [item for item in images if any(_is_none(item.get(side)) for side in ("height", "width"))]
    if without:
        first = without[0]
        size = f"{first.get('file_name')}, {first.get('width')}x{first.get('height')} (width x height)"
        yield f"{len(without)} images have no usable size, such as {size}: their files are asked"
    for item in without:
        item["height"] = item["width"] = None


def _is_none(side: Any) -> bool:
    return type(side) in (int, float) and not side > 0


def _scored(raw: dict[str, Table]) -> Iterator[str]:
    scores = sum(type(item.get("score")) in (int, float) for item in raw["annotations"])
    if scores:
        yield f"{scores} annotations have a score, as predictions do: they are read as labels, whatever it is"
