"""A line that objects cross, with how many did."""

from __future__ import annotations

import cv2
import numpy as np

from cornernet.drawing.text import BLACK, WHITE, Color, Image, draw_labels, font_size, line_width
from cornernet.tracking.counts import TrackCounts

_PAPER: Color = (250, 250, 250)


def draw_count_line(picture: Image, counts: TrackCounts) -> Image:
    """The line of ``counts`` on a picture (H, W, 3), an arrow to each side and at its end the crossings; a new one."""
    line, image = counts.line, picture.copy()
    if line is None:
        return image
    start, end = np.array([line.x1, line.y1]), np.array([line.x2, line.y2])
    way = (end - start) / np.hypot(*(end - start))
    right = np.array([-way[1], way[0]])  # y grows downwards
    width, size = line_width(image), font_size(image)
    _stroke(image, start, end, width)
    places, texts = [], []
    for share, side, crossings in ((1 / 3, -right, counts.to_left), (2 / 3, right, counts.to_right)):
        foot = start + (end - start) * share
        tip = foot + side * 2 * size
        _stroke(image, foot, tip, width, arrow=True)
        spot = np.rint(tip + side * 0.7 * size).astype(np.int64)
        places.append(np.concatenate([spot, spot + 1]))
        texts.append(("", str(sum(crossings.values()))))
    boxes = np.stack(places) + np.array([-1, -1, 1, 1]) * (size // 2)
    draw_labels(image, boxes, texts, fills=[_PAPER] * 2, size=size)
    return image


def _stroke(image: Image, start: np.ndarray, end: np.ndarray, width: int, *, arrow: bool = False) -> None:
    (x1, y1), (x2, y2) = (np.rint(point).astype(int).tolist() for point in (start, end))
    for color, thickness in ((BLACK, width + 2), (WHITE, width)):
        if arrow:
            cv2.arrowedLine(image, (x1, y1), (x2, y2), color, thickness, cv2.LINE_AA, tipLength=0.35)
        else:
            cv2.line(image, (x1, y1), (x2, y2), color, thickness, cv2.LINE_AA)
