"""The upright boxes of shapes that label files give instead of boxes: COCO's polygons and run lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Box = list[float]  # x y width height


def box_of_segmentation(value: Any) -> Box | None:
    """The box of a COCO ``segmentation`` in pixels; ``None`` if it is no shape with an area.

    It may be polygons, also nested as points, or run lengths, as a list or as pycocotools' text.
    """
    if isinstance(value, dict):
        return _box_of_runs(value.get("counts"), value.get("size"))
    if not isinstance(value, list):
        return None
    numbers = list(_flat(value))
    if len(numbers) < 6 or len(numbers) % 2 or not all(map(_is_finite, numbers)):
        return None
    return box_of_points(numbers[::2], numbers[1::2])


def box_of_points(xs: Sequence[float], ys: Sequence[float]) -> Box | None:
    """The box around points; ``None`` if they have no area."""
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return box if box[2] > 0 and box[3] > 0 else None


def _flat(value: Any) -> Iterator[Any]:
    for item in value:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _box_of_runs(counts: Any, size: Any) -> Box | None:
    """The box of a mask's run lengths: columns from left to right, the first run is background; size height width."""
    if isinstance(counts, str):
        counts = _unpacked(counts)
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        return None
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        return None
    height, width = size
    if sum(counts) != height * width:
        return None
    ends = np.cumsum(np.array(counts, np.int64))
    starts = np.append(0, ends[:-1])
    first, last = starts[1::2], ends[1::2] - 1
    first, last = first[last >= first], last[last >= first]
    if not len(first):
        return None
    left, right = int(first.min() // height), int(last.max() // height)
    wraps = bool((first // height != last // height).any())  # such a run has the last row of a column, and the first
    top, bottom = (0, height - 1) if wraps else (int((first % height).min()), int((last % height).max()))
    return [float(left), float(top), float(right - left + 1), float(bottom - top + 1)]


def _unpacked(text: str) -> list[int] | None:
    """The run lengths of COCO's text, 5 bits a letter; from the fourth on, differences to the one before last."""
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        part = ord(letter) - 48
        if not 0 <= part < 64 or shift > 60:
            return None
        value |= (part & 31) << shift
        shift += 5
        if not part & 32:
            value -= (1 << shift) if part & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts
