"""Systematic causes of wrong boxes: another meaning of the four numbers, or another unit, in a whole split.

A cause is told in one line instead of an error for each box, and nothing is converted by guess.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import InputError

Layout = Literal["xywh", "corners", "centre"]
Size = tuple[int, int]
Floats = NDArray[np.float64]

LAYOUTS: dict[Layout, str] = {
    "xywh": "x y width height",
    "corners": "corners x1 y1 x2 y2",
    "centre": "centre x, centre y, width, height",
}
Unit = Literal["pixels", "shares of the image", "percent of the image", "thousandths of the image"]
Reading = tuple[Layout, Unit, bool]  # whether x and y are exchanged
_UNITS: dict[Unit, float] = {
    "pixels": 0,
    "shares of the image": 1,
    "percent of the image": 100,
    "thousandths of the image": 1000,
}
_SEVERAL = 3  # boxes that are wrong: fewer may be single errors
_WRONG = 0.1  # the share of boxes that must be wrong as they are read
_RIGHT = 0.97  # the share of boxes that must be right by a cause
_FILLS = 0.85  # the part of the images that boxes in parts of them must come to, to be known as such
_SMALL_IMAGE = 16  # pixels: in smaller images, boxes of a pixel are usual


@dataclass(frozen=True)
class Cause:
    """What is wrong with all or many boxes of a split, with its fix.

    ``is_sure`` if training on these boxes makes no sense; ``is_known`` is false if it is a guess about boxes that look
    right one by one, so that a clean copy keeps them.
    """

    what: str
    fix: str
    is_sure: bool
    is_known: bool = True

    def __str__(self) -> str:
        return f"{self.what}{'; ' if self.is_known else ', '}{self.fix}"


class SystematicError(InputError):
    """The boxes of a split have another meaning than their format says."""


def find_cause(boxes: Floats, sizes: Floats, layout: Layout = "xywh", unit: Unit = "pixels") -> Cause | None:
    """The systematic cause that explains boxes x y width height in pixels (N, 4) in images width height (N, 2).

    ``layout`` and ``unit`` are those of the file that the boxes were read from. ``None`` if the boxes look right.
    """
    known = np.isfinite(boxes).all(axis=1)
    boxes, sizes = boxes[known], sizes[known]
    if not len(boxes):
        return None
    numbers = _numbers(boxes, sizes, layout, unit)
    read_as = f"{LAYOUTS[layout]} in {unit}"
    if unit == "pixels" and (cause := _in_shares(numbers, sizes, layout)):
        return cause
    fit = _fits(numbers, sizes, layout, unit)
    wrong = int(np.count_nonzero(~fit))
    if wrong <= _WRONG * len(boxes):
        return _far_from_edges(boxes, sizes) if unit == "pixels" and not wrong else None
    if wrong < _SEVERAL and 2 * wrong <= len(boxes):  # single errors, of which nothing can be told
        return None
    is_sure = wrong >= _SEVERAL and wrong >= 2 * _WRONG * len(boxes)
    readings: list[Reading] = [(name, scale, way) for scale in _UNITS for way in (False, True) for name in LAYOUTS]
    readings.remove((layout, unit, False))
    fits = {reading: _fits(_exchanged(numbers, reading[2]), sizes, *reading[:2]) for reading in readings}
    if unit == "shares of the image":  # such numbers fit as pixels too, as boxes in the first pixel
        fits |= {reading: fits[reading] & ~fit for reading in readings if reading[1] != unit}
    for reading in readings:
        if reading[1] not in (unit, "pixels") and _reach(numbers, sizes, reading) < _FILLS:
            fits[reading] &= False
    for near in (  # the likelier mistakes first
        [reading for reading in readings if reading[1:] == (unit, False)],
        [reading for reading in readings if reading[1:] == (unit, True)],
        [reading for reading in readings if reading[0] == layout and not reading[2]],
        [reading for reading in readings if not reading[2]],
    ):
        good = [reading for reading in near if fits[reading].mean() >= _RIGHT]
        if good:
            most = max(_reach(numbers, sizes, reading) for reading in good)
            likely = [reading for reading in good if _reach(numbers, sizes, reading) > 0.8 * most]
            told = " or ".join(_named(*reading, unit) for reading in likely)
            what = f"{np.count_nonzero(fits[good[0]])} of {len(boxes)} boxes fit their images as {told}, and {wrong} do"
            fix = f"convert them to {read_as}, or choose that in the export"
            return Cause(f"{what} not fit them as {read_as}", fix, is_sure, is_sure)
    if not is_sure:
        return None
    nearest = [reading for reading in readings if not reading[2] and (reading[1] == unit or reading[0] == layout)]
    best = max(nearest, key=lambda reading: fits[reading][~fit].mean())
    if wrong > _SEVERAL and fits[best][~fit].mean() >= _RIGHT:
        what = f"{wrong} of {len(boxes)} boxes do not fit their images as {read_as}, and fit them as"
        return Cause(f"{what} {_named(*best, unit)}", f"convert these to {read_as}", 2 * wrong > len(boxes))
    if 2 * wrong < len(boxes):
        return None
    far = np.max((boxes[:, :2] + boxes[:, 2:]) / sizes, axis=0)
    is_scaled = bool((boxes[:, :2] >= -1).all() and (boxes[:, 2:] > 0).all())
    if is_scaled:
        what = f"{wrong} of {len(boxes)} boxes leave their images, up to {far[0]:.2f} times the width and {far[1]:.2f}"
        return Cause(f"{what} times the height: they belong to larger copies", "scale the boxes to these images", True)
    return None


def find_shape_cause(values: Sequence[Any]) -> Cause | None:
    """The cause that most boxes are written as something else than four numbers; a value is ``None`` for four."""
    others = [value for value in values if isinstance(value, list) and any(side is not None for side in value)]
    if len(others) < _SEVERAL or 2 * len(others) <= len(values):
        return None
    what = f"{len(others)} of {len(values)} boxes are not four numbers, such as {json.dumps(others[0])[:80]}"
    if all(len(value) == 5 for value in others):
        return Cause(f"{what}: turned boxes, with an angle?", "export the upright boxes around them", True)
    is_comma = all(any(isinstance(side, str) and "," in side for side in value) for value in others)
    return Cause(what, "write decimals with a point" if is_comma else "export them as x y width height", True)


def find_class_cause(used: Collection[int], unknown: Collection[int], known: Collection[int]) -> Cause | None:
    """The cause that class ids are counted from another number in the boxes than in the list of classes.

    ``used`` ids of boxes are ``known`` ones, ``unknown`` ids are not.
    """
    first, last = min(known), max(known)
    if len(known) < 2 or len(unknown) != 1 or not used or sorted(known) != list(range(first, last + 1)):
        return None
    other = next(iter(unknown))
    if (other == last + 1 and first not in used) or (0 <= other == first - 1 and last not in used):
        start, absent = (first + 1, first) if other > last else (other, last)
        what = f"boxes count their classes from {start} (some have class {other}, none has {absent}), and the list of"
        is_sure = len(used) == len(known) - 1 >= 2
        return Cause(f"{what} classes counts from {first}", "number both alike", is_sure, is_sure)
    return None


def find_size_cause(sizes: list[tuple[Size, Size]], total: int) -> Cause | None:
    """The cause that most of ``total`` images have another (height, width) in the labels than in their files.

    ``sizes`` has both of those that differ, the labels' first.
    """
    if len(sizes) < _SEVERAL or 2 * len(sizes) <= total:
        return None
    what = f"{len(sizes)} of {total} images"
    if all(label == file[::-1] for label, file in sizes):
        return Cause(f"{what} have height and width exchanged in the labels", "exchange the two there", True)
    factors = np.array([np.divide(file, label) for label, file in sizes])
    if np.ptp(factors) < 0.02 * factors.mean():
        what += f" are {factors.mean():.3g} times as large as the labels say"
        return Cause(what, "give the images that were labelled, or scale the sizes and boxes in the labels", True)
    return None


def _named(layout: Layout, scale: Unit, is_exchanged: bool, unit: Unit) -> str:
    """A reading of the numbers in words; ``unit`` is the one that is not named."""
    return LAYOUTS[layout] + (f" in {scale}" if scale != unit else "") + (" with x and y exchanged" * is_exchanged)


def _exchanged(numbers: Floats, is_exchanged: bool) -> Floats:
    return numbers[:, [1, 0, 3, 2]] if is_exchanged else numbers


def _numbers(boxes: Floats, sizes: Floats, layout: Layout, unit: Unit) -> Floats:
    """The four numbers as they stand in the file."""
    numbers = boxes.copy()
    if layout == "corners":
        numbers[:, 2:] += numbers[:, :2]
    elif layout == "centre":
        numbers[:, :2] += numbers[:, 2:] / 2
    return numbers * _UNITS[unit] / np.tile(sizes, 2) if unit != "pixels" else numbers


def _fits(numbers: Floats, sizes: Floats, layout: Layout, unit: Unit) -> NDArray[np.bool_]:
    """Which boxes have a positive size and lie in their image, a little beside it at most, if read so."""
    bounds = sizes if unit == "pixels" else np.full_like(sizes, _UNITS[unit])
    first, last = _corners(numbers, layout)
    slack = 0.01 * bounds + bounds / sizes  # a hundredth and a pixel
    return np.asarray(((last > first) & (first >= -slack) & (last <= bounds + slack)).all(axis=1))


def _corners(numbers: Floats, layout: Layout) -> tuple[Floats, Floats]:
    first, second = numbers[:, :2], numbers[:, 2:]
    if layout == "corners":
        return first, second
    return (first - second / 2, first + second / 2) if layout == "centre" else (first, first + second)


def _reach(numbers: Floats, sizes: Floats, reading: Reading) -> float:
    """How near the boxes come to the images' far edges in x and y, 1 at most: a large unit holds small numbers too."""
    layout, unit, is_exchanged = reading
    bounds = sizes if unit == "pixels" else np.full_like(sizes, _UNITS[unit])
    return float((_corners(_exchanged(numbers, is_exchanged), layout)[1] / bounds).max(axis=0).min())


def _in_shares(numbers: Floats, sizes: Floats, layout: Layout) -> Cause | None:
    """Boxes that would be in the first pixel of images with many pixels."""
    small = (np.abs(numbers) <= 1.01).all(axis=1) & (sizes.min(axis=1) > _SMALL_IMAGE) & (numbers > 0).any(axis=1)
    count = int(np.count_nonzero(small))
    if not count or (count < _SEVERAL and 2 * count < len(numbers)) or count <= _WRONG * len(numbers):
        return None
    layouts: list[Layout] = [layout, *(name for name in LAYOUTS if name != layout)]
    fitting: list[Layout] = [
        name for name in layouts if _fits(numbers[small], sizes[small], name, "shares of the image").all()
    ]
    told = LAYOUTS[fitting[0] if fitting else layout]
    what = f"{count} of {len(numbers)} boxes have no number above 1: they are {told} as shares of the image, not"
    what += f" {LAYOUTS[layout]} in pixels"
    fix = "multiply them by width and height" + ("" if told == LAYOUTS[layout] else f", and write {LAYOUTS[layout]}")
    return Cause(what, fix, 2 * count > len(numbers))


def _far_from_edges(boxes: Floats, sizes: Floats) -> Cause | None:
    """Many boxes that all end at the same part of the images, as those of a smaller copy do; this is never sure."""
    ends = boxes[:, :2] + boxes[:, 2:]
    shares = (ends / sizes).max(axis=0)
    if len(boxes) < 20 or sizes.min() < 100:
        return None
    for bound, name in ((100, "percent"), (1000, "thousandths")):
        whole = np.median(sizes.min(axis=1)) > 2 * bound
        if whole and (ends.max(axis=0) <= bound + 1).all() and (ends.max(axis=0) >= 0.95 * bound).all():
            what = f"all {len(boxes)} boxes end before pixel {bound} of larger images"
            return Cause(f"{what}: if they are {name}", "scale them to pixels", False, False)
    if shares.max() > 0.6 or abs(shares[0] - shares[1]) > 0.03:
        return None
    if (np.count_nonzero(ends / sizes > 0.9 * shares, axis=0) < _SEVERAL).any():
        return None
    what = f"all {len(boxes)} boxes lie in the first {shares.max():.2f} of their images' width and height"
    return Cause(f"{what}: if they were drawn on smaller copies", "scale them", False, False)
