"""Pictures of paired and rejected corners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.drawing.draw import draw_box, draw_corners, draw_pairings, side_by_side
from cornernet.drawing.text import BLACK, WHITE, Color, Image, class_color, draw_labels, line_width
from cornernet.explain.pairs import Pair, PairOutcomes
from cornernet.explain.reasons import short_reason
from cornernet.structures import Detections

_SIDE = 480  # pixels, of a panel's longer side
_LARGEST = 4.0  # times the image's own pixels
_PANELS = 12
_MARGIN = 12  # pixels of the image around what a panel shows
_PAPER: Color = (235, 235, 235)


def draw_numbered(image: Image, pairs: PairOutcomes) -> Image:
    """All boxes with numbers, corners and the lines between them in a new image of at least 960 pixels a side."""
    found = pairs.seen.detections
    scale = max(1.0, min(_LARGEST, 2 * _SIDE / max(image.shape[:2])))
    large = _resized(image, scale)
    boxes, candidates = found.boxes * scale, pairs.seen.candidates
    shown = Detections(boxes, found.scores, found.labels, found.class_names, large.shape[:2])
    candidates = replace(candidates, boxes=candidates.boxes * scale)
    return draw_pairings(large, candidates, shown, pairs.threshold, numbered=True)


def draw_rejected(image: Image, pairs: PairOutcomes) -> Image:
    """A panel for each of the first twelve boxes: its pair, and likely pairs that were rejected, dashed."""
    panels, titles = [], []
    for box in pairs.boxes[:_PANELS]:
        rivals = [pair for pair in pairs.rivals(box, most=2) if pair.could_be]
        panels.append(_panel(image, pairs, [box, *rivals]))
        name = pairs.seen.detections.class_names[pairs.labels(box)[0]]
        titles.append(f"{box.number} {name} {box.final:.2f}  d {box.distance:.2f}")
    return side_by_side(panels, titles) if panels else image.copy()


def draw_around(image: Image, pairs: PairOutcomes, x: float, y: float, nearest: Sequence[Pair]) -> Image:
    """A point in pixels of the image and the ``nearest`` pairs around it; a new image."""
    return _panel(image, pairs, nearest, point=(x, y), side=2 * _SIDE)


def _panel(
    image: Image,
    pairs: PairOutcomes,
    drawn: Sequence[Pair],
    point: tuple[float, float] | None = None,
    side: int = _SIDE,
) -> Image:
    """The enlarged part of the image with these pairs: boxes of the result are solid, the others dashed."""
    corners = [pairs.box(pair).reshape(2, 2) for pair in drawn]
    spots = np.concatenate([*corners, np.array([point or corners[0][0]])])
    limits = np.array(image.shape[1::-1])
    low = np.clip(np.floor(spots.min(axis=0) - _MARGIN), 0, limits - 1).astype(int)
    high = np.clip(np.ceil(spots.max(axis=0) + _MARGIN), low + 1, limits).astype(int)
    scale = min(_LARGEST, side / max(high - low))
    canvas = _resized(image[low[1] : high[1], low[0] : high[0]], scale)
    boxes = np.rint((np.array([pairs.box(pair) for pair in drawn]).reshape(-1, 4) - np.tile(low, 2)) * scale)
    boxes = boxes.astype(np.int64)
    width = line_width(canvas)
    for pair, box in reversed(list(zip(drawn, boxes, strict=True))):
        color = class_color(pairs.labels(pair)[0])
        solid = pair.outcome == "box"
        if pair.could_be:
            draw_box(canvas, box, color, width=max(1, width // 2), dash=0 if solid else 4 * width)
        _draw_line(canvas, box, color if solid else WHITE, width, dash=0 if solid else 5 * width)
    for box in boxes:
        draw_corners(canvas, box, 2 * width)
    if point is not None:
        spot = tuple(np.rint((np.array(point) - low) * scale).astype(int).tolist())
        for color, thickness in ((BLACK, width + 4), (WHITE, width + 1)):
            cv2.drawMarker(canvas, spot, color, cv2.MARKER_CROSS, 10 * width, thickness)
    middles = (boxes[:, :2] + boxes[:, 2:]) // 2
    names = {tuple(box[:2]): f"T{pair.tl + 1}" for pair, box in zip(drawn, boxes, strict=True)}
    names |= {tuple(box[2:]): f"B{pair.br + 1}" for pair, box in zip(drawn, boxes, strict=True)}
    texts = [short_reason(pair, pairs) for pair in drawn] + list(names.values())
    spots = np.concatenate([middles, np.array(list(names)).reshape(-1, 2)])
    around = np.concatenate([spots - 2 * width - 2, spots + 2 * width + 2], axis=1)
    draw_labels(canvas, around, [("", text) for text in texts], fills=[_PAPER] * len(texts))
    return canvas


def _draw_line(image: Image, box: NDArray[np.int64], color: Color, width: int, dash: int) -> None:
    """A line with a dark border between a box's two corners, with dashes of ``dash`` pixels unless it is 0."""
    start, end = box[:2].astype(float), box[2:].astype(float)
    length = max(1.0, float(np.hypot(*(end - start))))
    stroke = dash or length
    for cut in np.arange(0, length, 2 * stroke):
        shares = cut / length, min(cut + stroke, length) / length
        first, last = (tuple(np.rint(start + (end - start) * share).astype(int).tolist()) for share in shares)
        for shade, thickness in ((BLACK, width + 2), (color, width)):
            cv2.line(image, first, last, shade, thickness, cv2.LINE_AA)


def _resized(image: Image, scale: float) -> Image:
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    how = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    return np.ascontiguousarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)
