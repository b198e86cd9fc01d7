"""Colours, text and labels that stay legible on any picture, in any script."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Color = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

# Okabe and Ito, "Color Universal Design", 2008, less black, which is lost in dark pictures.
_OKABE_ITO = ("e69f00", "56b4e9", "009e73", "f0e442", "0072b2", "d55e00", "cc79a7")
_COLORS = 48
# Machado et al. 2009, severity 1: how linear RGB looks to a protanope and to a deuteranope.
_COLOR_VISIONS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ],
    np.float32,
)
_LABEL_OVERLAP_AT_MOST = 0.12


def class_color(label: int) -> Color:
    """RGB (0..255) of a class: Okabe and Ito's seven colours, then those farthest from all before, 48 in turn."""
    return _palette()[label % _COLORS]


@lru_cache(maxsize=1)
def _palette() -> list[Color]:
    chosen = np.array([[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in _OKABE_ITO], np.float32)
    steps = np.linspace(0, 255, 9, dtype=np.float32)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    seen = _as_seen(grid)
    lightness, chroma = seen[0, :, 0], np.linalg.norm(seen[0, :, 1:], axis=1)
    usable = (lightness > 42) & (lightness < 92) & (chroma < 80)
    grid, seen = grid[usable], seen[:, usable]
    nearest = np.full(len(grid), np.inf)
    colors = []
    for i in range(_COLORS):
        color = chosen[i] if i < len(chosen) else grid[nearest.argmax()]
        # A pair of colours is as far apart as whoever tells it apart worst sees it.
        distance = np.linalg.norm(seen - _as_seen(color[None]), axis=-1).min(axis=0)
        nearest = np.minimum(nearest, distance)
        red, green, blue = (round(float(v)) for v in color)
        colors.append((red, green, blue))
    return colors


def _as_seen(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(3, N, 3) CIE Lab of (N, 3) sRGB colours 0..255, for normal, protanope and deuteranope eyes."""
    srgb = colors / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.einsum("vij,nj->vni", _COLOR_VISIONS, linear), 0, 1).astype(np.float32)
    return np.asarray(cv2.cvtColor(seen, cv2.COLOR_LRGB2Lab), np.float32)


def ink_on(color: Color) -> Color:
    """Black or white, whichever is easier to read on a colour (WCAG 2 contrast)."""
    red, green, blue = ((v / 255) ** 2.2 for v in color)
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else WHITE


def font_size(image: Image) -> int:
    """Height of text in pixels that suits a picture: 10 up to some 350 pixels a side, 15 at 640, 76 at 4000."""
    return max(10, round(3.5 + 0.01825 * sum(image.shape[:2]) / 2))


def line_width(image: Image) -> int:
    """Width of lines in pixels that suits a picture: 1 at 100 pixels a side, 2 or 3 at 640, 11 at 4000."""
    return round(1 + sum(image.shape[:2]) / 2 / 400)


@lru_cache(maxsize=1024)
def _text_mask(text: str, size: int) -> Image:
    """(h, w) coverage 0..255 of a line of text; all lines of one size are equally high."""
    # OpenCV's own fonts hold Latin, Greek, Cyrillic, Arabic and Chinese; Pillow's built-in one ASCII alone.
    face = cv2.FontFace("sans")
    weight = 500 if size < 20 else 400
    x, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size, weight)
    mask = np.zeros((round(size * 1.3), max(1, x + width + 1)), np.uint8)
    canvas = np.zeros((mask.shape[0], mask.shape[1] + 4 * size), np.uint8)
    cv2.putText(canvas, text, (0, round(size * 0.98)), (255,), face, size, weight)
    mask[:] = canvas[:, : mask.shape[1]]
    mask.flags.writeable = False
    return mask


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of a line of text in pixels."""
    height, width = _text_mask(_one_line(text), size).shape
    return width, height


def draw_text(image: Image, text: str, x: int, y: int, size: int, color: Color) -> None:
    """Write a line of text into an image, its top left at (x, y); what lies outside is cut off."""
    mask = _text_mask(_one_line(text), size)
    top, left = max(0, -y), max(0, -x)
    part = image[max(0, y) : max(0, y + mask.shape[0]), max(0, x) : max(0, x + mask.shape[1])]
    alpha = mask[top : top + part.shape[0], left : left + part.shape[1], None] / 255
    part[:] = np.rint(part * (1 - alpha) + np.array(color) * alpha).astype(np.uint8)


def shortened(text: str, size: int, width: int) -> str:
    """A text cut with an ellipsis to at most ``width`` pixels; empty where not even a letter fits."""
    text = _one_line(text)
    if text_size(text, size)[0] <= width:
        return text
    for end in range(len(text) - 1, 0, -1):
        cut = text[:end].rstrip() + "…"
        if text_size(cut, size)[0] <= width:
            return cut
    return ""


def draw_labels(
    image: Image,
    boxes: NDArray[np.int64],
    texts: Sequence[tuple[str, str]],
    fills: Sequence[Color],
    edges: Sequence[Color] | None = None,
    size: int | None = None,
) -> None:
    """Write one label a box into an image, where it hides least: the first ones choose first.

    ``boxes`` (N, 4) x1 y1 x2 y2 in whole pixels; ``texts`` a name, cut where the image is too narrow, and an ending
    that is kept; ``fills`` the colours behind, ``edges`` those of a bar at the left; ``size`` the text's height in
    pixels, if not what suits the image. A label stays inside the image;
    where it would hide too much of an earlier one, it is left out: its box still tells the class by colour.
    """
    height, width = image.shape[:2]
    size = size or font_size(image)
    pad = max(2, size // 5)
    bar = max(2, size // 4) if edges is not None else 0
    taken = np.zeros((0, 4), np.int64)
    placed: list[tuple[int, str, Rectangle]] = []
    for i, (name, ending) in enumerate(texts):
        room = width - 2 * pad - bar
        ending_width = text_size(" " + ending, size)[0] if ending else 0
        text = " ".join(filter(None, (shortened(name, size, room - ending_width), ending)))
        text_width, text_height = text_size(text, size)
        if not text or text_width > room or text_height > height:
            continue
        label = (text_width + 2 * pad + bar, text_height)
        place = _best_place(label, boxes, i, taken, (height, width))
        if place is None:
            continue
        taken = np.concatenate([taken, [place]])
        placed.append((i, text, place))
    for i, text, (x1, y1, x2, y2) in reversed(placed):
        image[y1:y2, x1:x2] = fills[i]
        if edges is not None:
            image[y1:y2, x1 : x1 + bar] = edges[i]
        draw_text(image, text, x1 + bar + pad, y1, size, ink_on(fills[i]))


def _best_place(
    label: tuple[int, int], boxes: NDArray[np.int64], index: int, taken: NDArray[np.int64], image_size: tuple[int, int]
) -> Rectangle | None:
    """Where a label (width, height) of one box hides least of other labels, of its own box, of other boxes."""
    (width, height), (image_height, image_width) = label, image_size
    x1, y1, x2, y2 = (int(v) for v in boxes[index])
    rows = [y1 - height, y1, y2, y2 - height, y1 + height, y1 - 2 * height, y2 + height, y1 + 2 * height]
    best, least = None, np.inf
    for rank, (x, y) in enumerate((x, y) for y in rows for x in (x1, x2 - width)):
        x, y = min(max(x, 0), image_width - width), min(max(y, 0), image_height - height)
        place = np.array([x, y, x + width, y + height])
        hidden = _shared(place, taken).sum() / (width * height)
        if hidden > _LABEL_OVERLAP_AT_MOST:
            continue
        shared = _shared(place, boxes)
        own = shared[index] / max(1, (x2 - x1) * (y2 - y1))
        cost = 8 * hidden + own + 0.1 * shared.sum() / (width * height) + 0.03 * rank
        if cost < least:
            best, least = (x, y, x + width, y + height), cost
    return best


def _shared(place: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) pixels that a rectangle shares with each of (N, 4) others."""
    sides = np.minimum(place[2:], others[:, 2:]) - np.maximum(place[:2], others[:, :2])
    return np.maximum(sides, 0).prod(axis=1)


def _one_line(text: str) -> str:
    return " ".join(text.split())
