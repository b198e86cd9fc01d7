"""Several images in one training sample: a mosaic of four, and boxes pasted from another image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cornernet.config import Augmentation
from cornernet.data.augment import augment, turn

_LEAST, _MOST = 0.3, 0.7  # where a mosaic's parts meet, in units of its side
_MOST_COPIES, _TRIES = 3, 10  # boxes that are pasted, places that are tried for each
_MOST_COVERED = 0.1  # of another box
_INSIDE = 0.5  # of a box, so that it is pasted along with the one around it


class LabelledImage(NamedTuple):
    """``pixels`` uint8 (H, W, 3) RGB; ``boxes`` float32 (N, 4) x1 y1 x2 y2 in them; ``labels`` (N,)."""

    pixels: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def mosaic(
    parts: Sequence[LabelledImage],
    settings: Augmentation,
    fill: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One training sample of side ``crop_size`` from four images; they meet at a point drawn near its middle.

    Each part is a training crop of its own, as `augment` makes it, as large as the longer side of its place, and cut to
    that in the middle. So with ``scales`` objects have their usual size; images that are seen whole become smaller. A
    box whose centre is cut off is gone, the others are clipped. Returns the same three as `augment`.
    """
    size = settings.crop_size
    x, y = (int(value) for value in rng.integers(int(_LEAST * size), int(_MOST * size) + 1, 2))
    canvas = np.empty((size, size, 3), np.uint8)
    upright = {"vertical_flip": 0.0, "quarter_turns": 0.0}  # the whole is turned, at the end
    all_boxes, all_labels = [], []
    places = (0, 0, x, y), (x, 0, size, y), (0, y, x, size), (x, y, size, size)
    for part, (x1, y1, x2, y2) in zip(parts, places, strict=True):
        width, height = x2 - x1, y2 - y1
        side = max(width, height)
        crop, boxes, labels = augment(*part, replace(settings, crop_size=side, **upright), fill, rng)
        left, top = (side - width) // 2, (side - height) // 2
        canvas[y1:y2, x1:x2] = crop[top : top + height, left : left + width]
        boxes = boxes - np.array([left, top, left, top], np.float32)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        kept = ((middle > 0) & (middle < (width, height))).all(axis=1)
        boxes = boxes[kept].clip(0, np.array([width, height, width, height], np.float32))
        all_boxes.append(boxes + np.array([x1, y1, x1, y1], np.float32))
        all_labels.append(labels[kept])
    canvas, boxes = turn(canvas, np.concatenate(all_boxes), settings, rng)
    return np.ascontiguousarray(canvas), boxes.astype(np.float32), np.concatenate(all_labels)


def paste_boxes(target: LabelledImage, source: LabelledImage, rng: np.random.Generator) -> LabelledImage:
    """``target`` with up to three boxes of ``source``, each with everything in it, at places drawn at random.

    There are no masks: the whole rectangle is pasted in its own size, with its background, perhaps mirrored. Boxes of
    ``source`` that lie at least half in it come along, clipped to it. A place that would cover more than a tenth of a
    box is not taken; a box without a place, or larger than ``target``, is not pasted.
    """
    height, width = target.pixels.shape[:2]
    pixels, boxes, labels = target.pixels, target.boxes, target.labels
    order = rng.permutation(len(source.boxes))[: int(rng.integers(1, _MOST_COPIES + 1))]
    for index in order:
        x1, y1 = (int(value) for value in np.floor(source.boxes[index, :2]))
        x2, y2 = (int(value) for value in np.ceil(source.boxes[index, 2:]))
        patch = source.pixels[y1:y2, x1:x2]
        is_mirrored = rng.random() < 0.5
        high, wide = patch.shape[:2]
        if not (0 < high <= height and 0 < wide <= width):
            continue
        place = _free_place(boxes, high, wide, height, width, rng)
        if place is None:
            continue
        left, top = place
        if pixels is target.pixels:
            pixels = pixels.copy()
        pixels[top : top + high, left : left + wide] = patch[:, ::-1] if is_mirrored else patch
        moved, classes = _boxes_in(source, (x1, y1, x1 + wide, y1 + high))
        if is_mirrored:
            moved = np.stack((wide - moved[:, 2], moved[:, 1], wide - moved[:, 0], moved[:, 3]), axis=1)
        boxes = np.concatenate([boxes, moved + np.array([left, top, left, top], np.float32)])
        labels = np.concatenate([labels, classes])
    return LabelledImage(pixels, boxes, labels)


def _free_place(
    boxes: np.ndarray, high: int, wide: int, height: int, width: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Left and top of a rectangle in the image that covers no box too much; ``None`` if none was found."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for _ in range(_TRIES):
        left, top = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - high + 1))
        covered = _overlap(boxes, (left, top, left + wide, top + high))
        if (covered <= _MOST_COVERED * areas).all():
            return left, top
    return None


def _boxes_in(source: LabelledImage, rectangle: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The boxes that lie in a rectangle, clipped to it and relative to its corner, and their labels."""
    boxes = source.boxes
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    inside = (_overlap(boxes, rectangle) >= _INSIDE * areas) & (areas > 0)
    x1, y1, x2, y2 = rectangle
    clipped = (boxes[inside] - np.array([x1, y1, x1, y1], np.float32)).clip(
        0, np.array([x2 - x1, y2 - y1] * 2, np.float32)
    )
    return clipped.astype(np.float32), source.labels[inside]


def _overlap(boxes: np.ndarray, rectangle: tuple[int, int, int, int]) -> np.ndarray:
    """The area, in pixels, of each box (N, 4) that lies in a rectangle: (N,)."""
    x1, y1, x2, y2 = rectangle
    wide = (boxes[:, 2].clip(x1, x2) - boxes[:, 0].clip(x1, x2)).clip(0)
    high = (boxes[:, 3].clip(y1, y2) - boxes[:, 1].clip(y1, y2)).clip(0)
    return wide * high
