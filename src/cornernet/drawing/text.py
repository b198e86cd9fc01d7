"""Colours, text and labels that can be read on any picture, in any script."""

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

# Okabe and Ito's seven colours ("Color Universal Design", 2008) without black, which dark pictures hide. Each of the
# others is the usable one with the largest CIE Lab distance to all before it, for the eyes that see it smallest:
# normal, protanope or deuteranope ones (Machado et al. 2009, severity 1).
_PALETTE = bytes.fromhex("""
    e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 80ff9f 0060df 40ffff bf2040 ff9f60 9fdfbf 009fff 9f4080 ff6080
    df6040 60dfff 9fff80 80df9f bf60df bf9f9f ff9f80 bf209f bf80bf bf6060 bf4000 df9fbf 209f40 00dfdf dfdf60 ff9f40
    60bfdf 80ffbf 9f6080 0080ff 4060bf 60ffdf 9f9f60 bf2060 bf609f bfdf80 df8000 60bfbf df9fff ffbf20 9fbf80 9fbf60
""")
_LABEL_OVERLAP_AT_MOST = 0.12


def class_color(label: int) -> Color:
    """RGB (0..255) of a class; 48 colours, which repeat."""
    start = 3 * label % len(_PALETTE)
    return _PALETTE[start], _PALETTE[start + 1], _PALETTE[start + 2]


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
    # OpenCV's own fonts have Latin, Greek, Cyrillic, Arabic and Chinese; Pillow's built-in one has only ASCII.
    face = cv2.FontFace("sans")
    weight = 500 if size < 20 else 400
    x, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), face, size, weight)
    width = max(1, x + width + 1)
    canvas = np.zeros((round(size * 1.3), width + 4 * size), np.uint8)
    cv2.putText(canvas, text, (0, round(size * 0.98)), (255,), face, size, weight)
    mask = canvas[:, :width].copy()
    mask.flags.writeable = False
    return mask


def text_size(text: str, size: int) -> tuple[int, int]:
    """Width and height of a line of text in pixels."""
    height, width = _text_mask(_one_line(text), size).shape
    return width, height


def draw_text(image: Image, text: str, x: int, y: int, size: int, color: Color) -> None:
    """Write a line of text into an image, its top left at (x, y); parts outside the image are cut off."""
    mask = _text_mask(_one_line(text), size)
    top, left = max(0, -y), max(0, -x)
    part = image[max(0, y) : max(0, y + mask.shape[0]), max(0, x) : max(0, x + mask.shape[1])]
    alpha = mask[top : top + part.shape[0], left : left + part.shape[1], None] / 255
    part[:] = np.rint(part * (1 - alpha) + np.array(color) * alpha).astype(np.uint8)


def shortened(text: str, size: int, width: int) -> str:
    """A text cut with an ellipsis to at most ``width`` pixels; empty if not even one letter fits."""
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
    """Write one label for each box into an image, where it hides least; the first ones choose first.

    ``boxes`` (N, 4) x1 y1 x2 y2 in whole pixels; ``texts`` have a name, which is cut if the image is too narrow, and an
    ending that is kept; ``fills`` are the colours behind the texts, ``edges`` those of a bar at the left; ``size`` is
    the text's height in pixels, by default `font_size`. A label stays inside the image. It is left out if it would hide
    too much of an earlier one: the box's colour still tells the class.
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
    """The place where a box's label (width, height) hides least of other labels, its own box and other boxes."""
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
