"""Pictures of detections, corner heatmaps and pairings: RGB in, a new RGB picture out."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cornernet.drawing.style import PLAIN, BoxStyle
from cornernet.drawing.text import (
    BLACK,
    WHITE,
    Color,
    Image,
    class_color,
    draw_labels,
    draw_text,
    font_size,
    line_width,
    shortened,
    text_size,
)
from cornernet.errors import InputError
from cornernet.files import atomic_write
from cornernet.structures import Candidates, Detections, Explanation, FloatArray

# Complementary: both corners at one place add up to white. Every kind of colour vision can tell them apart.
TOP_LEFT_COLOR: Color = (255, 150, 0)
BOTTOM_RIGHT_COLOR: Color = (0, 105, 255)

_DARK: Color = (24, 24, 24)
_PAPER: Color = (250, 250, 250)
_JPEG_QUALITY = 93


def draw_detections(
    image: Image,
    detections: Detections,
    threshold: float = 0.3,
    *,
    side: int | None = None,
    style: BoxStyle = PLAIN,
    tracks: Sequence[int | None] | None = None,
) -> Image:
    """Boxes of at least ``threshold`` with class and score on an image (H, W, 3); a new image.

    Better boxes are drawn over the others and choose the place of their label first. Each class has its colour; with
    ``tracks``, the numbers of their objects (or ``None``), each object. Lines and text have the size for a viewer of
    the whole picture, or of parts of ``side`` x ``side`` pixels.
    """
    canvas = _copy(image)
    view = canvas[:side, :side]
    shown = detections.above(threshold)
    boxes = _pixels(shown.boxes, canvas)
    numbers = [*(tracks or [None] * len(shown))][: len(shown)]
    colors = [class_color(number or int(label)) for number, label in zip(numbers, shown.labels, strict=True)]
    for box, color in zip(boxes[::-1], colors[::-1], strict=True):
        draw_box(canvas, box, color, style.line_width or line_width(view))
    names = [f"{name} {number or ''}".rstrip() for name, number in zip(_names(shown), numbers, strict=True)]
    texts = style.texts(names, [f"{score:.2f}" for score in shown.scores])
    draw_labels(canvas, boxes, texts, fills=colors, size=font_size(view))
    return canvas


def draw_boxes(image: Image, boxes: ArrayLike, labels: ArrayLike, class_names: Sequence[str]) -> Image:
    """Ground truth on an image (H, W, 3): dashed boxes with their class on a dark label; a new image.

    ``boxes`` (N, 4) x1 y1 x2 y2 in pixels of the image; ``labels`` (N,) into ``class_names``.
    """
    canvas = _copy(image)
    pixels = _pixels(np.asarray(boxes, np.float64).reshape(-1, 4), canvas)
    indices = np.asarray(labels, np.int64).reshape(-1).tolist()
    if len(indices) != len(pixels):
        raise ValueError(f"{len(pixels)} boxes and {len(indices)} labels do not match")
    colors = [class_color(label) for label in indices]
    for box, color in zip(pixels, colors, strict=True):
        draw_box(canvas, box, color, dash=4 * line_width(canvas) + 2)
    texts = [(class_names[label], "") for label in indices]
    draw_labels(canvas, pixels, texts, fills=[_DARK] * len(indices), edges=colors)
    return canvas


def draw_seen(image: Image, seen: Explanation) -> Image:
    """Where the network saw corners in an image (H, W, 3): `draw_heatmaps` in the size that the network saw."""
    height, width = seen.view_size
    view = np.asarray(cv2.resize(image, (width, height)), np.uint8)
    return draw_heatmaps(view, seen.tl_heatmap, seen.br_heatmap, seen.offset, seen.padded_size)


def draw_heatmaps(
    image: Image,
    tl_heatmap: FloatArray,
    br_heatmap: FloatArray,
    offset_top_left: tuple[int, int],
    padded_size: tuple[int, int],
) -> Image:
    """Where the network sees corners: both heatmaps over the dark grey image (H, W, 3); a new image.

    ``tl_heatmap`` and ``br_heatmap`` (h, w) are probabilities, the maximum over classes: top-left corners are orange,
    bottom-right ones blue, both at one place white; brightness is the probability's square root, as the legend shows.
    ``padded_size`` (height, width) is the network's input and ``offset_top_left`` (top, left) the image's place in it,
    both in pixels (``Preprocessing.padded_size``, ``offset_of``): the centre of cell (i, j) lies at input pixel
    ((i + 0.5) * height / h, (j + 0.5) * width / w). Raises ``ValueError`` if the image is not inside the input.
    """
    height, width = image.shape[:2]
    (top, left), (padded_height, padded_width) = offset_top_left, padded_size
    if min(top, left) < 0 or top + height > padded_height or left + width > padded_width:
        raise ValueError(f"an image of {height}x{width} at {offset_top_left} is not inside an input of {padded_size}")
    grey = cv2.cvtColor(_copy(image), cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] * 0.4
    glow = np.repeat(grey, 3, axis=2)
    for heatmap, color in ((tl_heatmap, TOP_LEFT_COLOR), (br_heatmap, BOTTOM_RIGHT_COLOR)):
        # For linear resizing pixel centres lie at halves, as those of the heatmap's cells do.
        wide = cv2.resize(heatmap.astype(np.float32), (padded_width, padded_height), interpolation=cv2.INTER_LINEAR)
        part = np.asarray(wide[top : top + height, left : left + width], np.float32)
        glow += _brightness(part)[..., None] * np.array(color, np.float32)
    picture = np.clip(np.rint(glow), 0, 255).astype(np.uint8)
    _draw_heatmap_legend(picture)
    return picture


def draw_pairings(
    image: Image,
    candidates: Candidates,
    detections: Detections,
    threshold: float = 0.3,
    *,
    numbered: bool = False,
    style: BoxStyle = PLAIN,
) -> Image:
    """Which corners were paired, on an image (H, W, 3); a new image.

    Drawn for every detection of at least ``threshold``: a thin box; the top-left corner as an orange dot, the
    bottom-right one as a blue square; the line that joins them; class, score and ``d``, the distance of the corners by
    the pairing rule, if the detection's candidate is among ``candidates`` (soft-NMS moves no box). ``numbered`` writes
    the detection's number, from 1, before its class.
    """
    canvas = _copy(image)
    shown = detections.above(threshold)
    boxes = _pixels(shown.boxes, canvas)
    colors = [class_color(int(label)) for label in shown.labels]
    width = style.line_width or line_width(canvas)
    for box, color in zip(boxes[::-1], colors[::-1], strict=True):
        draw_box(canvas, box, color, width=max(1, width // 2))
        x1, y1, x2, y2 = box.tolist()
        for line_color, thickness in ((BLACK, width + 2), (color, width)):
            cv2.line(canvas, (x1, y1), (x2 - 1, y2 - 1), line_color, thickness, cv2.LINE_AA)
    radius = 2 * width
    for box in boxes[::-1]:
        draw_corners(canvas, box, radius)
    distances = _distances_of(shown, candidates)
    names = _names(shown)
    if numbered:
        names = [f"{number} {name}" for number, name in enumerate(names, start=1)]
    endings = [
        f"{score:.2f}" + ("" if math.isnan(d) else f"  d {d:.2f}")
        for score, d in zip(shown.scores, distances, strict=True)
    ]
    texts = style.texts(names, endings)
    margin = radius + width  # labels do not cover the dots
    draw_labels(canvas, boxes + np.array([-margin, -margin, margin, margin]), texts, fills=colors)
    return canvas


def side_by_side(images: Sequence[Image], titles: Sequence[str]) -> Image:
    """Up to three pictures in a row, more in a grid, each under its title; a new image.

    Each keeps its size, in the middle of a cell as large as the largest. Raises ``ValueError`` for no images or
    another number of titles.
    """
    if not images or len(images) != len(titles):
        raise ValueError(f"{len(images)} images and {len(titles)} titles: one title an image, and at least one image")
    pictures = [_copy(image) for image in images]
    cell_height, cell_width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    columns = len(pictures) if len(pictures) <= 3 else math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    size = max(font_size(picture) for picture in pictures) + 1
    gap = max(4, size // 2)
    strip = text_size("X", size)[1] + gap
    height, width = rows * (strip + cell_height + gap) + gap, columns * (cell_width + gap) + gap
    sheet = np.full((height, width, 3), _PAPER, np.uint8)
    for i, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        y = gap + (i // columns) * (strip + cell_height + gap)
        x = gap + (i % columns) * (cell_width + gap)
        text = shortened(title, size, cell_width)
        draw_text(sheet, text, x + (cell_width - text_size(text, size)[0]) // 2, y, size, _DARK)
        y += strip + (cell_height - picture.shape[0]) // 2
        x += (cell_width - picture.shape[1]) // 2
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return sheet


def save_image(path: str | os.PathLike[str], image: Image) -> Path:
    """Write an RGB image (H, W, 3) as PNG or JPEG, by the name's ending, whole or not at all; returns the path.

    Raises ``InputError`` for another ending, a picture too large for JPEG, or a place that cannot be written to.
    """
    target = Path(path)
    ending = target.suffix.lower()
    if ending not in (".png", ".jpg", ".jpeg"):
        what = "cannot be written (pictures are written as .png, .jpg or .jpeg)"
        raise InputError(what, target, "change the ending")
    options = [] if ending == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    try:
        done, data = cv2.imencode(ending, cv2.cvtColor(_copy(image), cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        done, data = False, np.zeros(0, np.uint8)
    if not done:
        what = f"cannot be written ({image.shape[1]}x{image.shape[0]} pixels do not fit)"
        raise InputError(what, target, "save as .png")
    return atomic_write(target, data.tobytes())


def _names(detections: Detections) -> list[str]:
    return [detections.class_names[int(label)] for label in detections.labels]


def _copy(image: Image) -> Image:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"an image must be uint8 of shape (H, W, 3), not {image.dtype} of shape {image.shape}")
    return np.array(image, order="C")


def _pixels(boxes: FloatArray, image: Image) -> NDArray[np.int64]:
    """(N, 4) whole pixels inside the image, at least one pixel wide and high; x2 and y2 are exclusive."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = np.rint(np.clip(boxes, 0, [width, height, width, height])).astype(np.int64).T
    x1, y1 = np.minimum(x1, width - 1), np.minimum(y1, height - 1)
    return np.stack([x1, y1, np.maximum(x2, x1 + 1), np.maximum(y2, y1 + 1)], axis=1)


def draw_box(image: Image, box: NDArray[np.int64], color: Color, width: int | None = None, dash: int = 0) -> None:
    """A frame along the inside of a box, thinner in small boxes, between two thin dark rims."""
    width = min(width or line_width(image), max(1, int(min(box[2:] - box[:2])) // 8))
    rim = max(1, width // 4)
    _draw_frame(image, box, width + 2 * rim, rim, None, dash)
    _draw_frame(image, box, width, 0, color, dash)


def _draw_frame(image: Image, box: NDArray[np.int64], width: int, grow: int, color: Color | None, dash: int) -> None:
    """A frame in ``color``; ``None`` darkens the picture's own pixels instead."""
    x1, y1, x2, y2 = box.tolist()
    inside = image[max(0, y1 - grow) : y2 + grow, max(0, x1 - grow) : x2 + grow]
    # The transposed part has the vertical edges as horizontal ones: one rule draws all four, inside the image.
    for side in (inside, inside.transpose(1, 0, 2)):
        drawn = np.arange(side.shape[1]) // dash % 2 == 0 if dash else slice(None)
        for edge in (side[:width], side[-width:]):
            edge[:, drawn] = edge[:, drawn] // 3 if color is None else color


def draw_corners(image: Image, box: NDArray[np.int64], radius: int) -> None:
    """A dot at the top left, a square at the bottom right: colour-blind people can tell the shapes apart."""
    x1, y1, x2, y2 = box.tolist()
    rim = max(1, radius // 3)
    for grow, dot, square in ((rim, BLACK, BLACK), (0, TOP_LEFT_COLOR, BOTTOM_RIGHT_COLOR)):
        cv2.circle(image, (x1, y1), radius + grow, dot, cv2.FILLED, cv2.LINE_AA)
        half = radius - 1 + grow
        cv2.rectangle(image, (x2 - 1 - half, y2 - 1 - half), (x2 - 1 + half, y2 - 1 + half), square, cv2.FILLED)


def _distances_of(detections: Detections, candidates: Candidates) -> NDArray[np.float64]:
    """(N,) pairing distance of the candidate with each detection's box and label, NaN where there is none."""
    distances = np.full(len(detections), np.nan)
    if len(candidates):
        for i, (box, label) in enumerate(zip(detections.boxes, detections.labels, strict=True)):
            nearest, difference = candidates.nearest(box, int(label), detections.image_size)
            if difference < 0.5:
                distances[i] = candidates.distances[nearest]
    return distances


def _brightness(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.sqrt(np.clip(probability, 0, 1))


def _draw_heatmap_legend(image: Image) -> None:
    """Both names with a ramp from 0 to 1 under each, at the bottom left; left out if the image is too small."""
    size = font_size(image)
    pad = max(3, size // 3)
    entries = (("top-left", TOP_LEFT_COLOR), ("bottom-right", BOTTOM_RIGHT_COLOR))
    ramp_width = max(text_size(name, size)[0] for name, _ in entries)
    text_height = text_size("X", size)[1]
    ramp_height = max(3, size // 3)
    line = text_height + ramp_height + pad
    panel_width, panel_height = ramp_width + 2 * pad, 2 * line + pad
    height, width = image.shape[:2]
    if panel_width > width / 2 or panel_height > height / 2:
        return
    panel = image[height - panel_height :, :panel_width]
    panel[:] = panel // 4
    ramp = _brightness(np.linspace(0, 1, ramp_width, dtype=np.float32))[None, :, None]
    for i, (name, color) in enumerate(entries):
        y = pad // 2 + i * line
        draw_text(panel, name, pad, y, size, WHITE)
        y += text_height
        panel[y : y + ramp_height, pad : pad + ramp_width] = np.rint(ramp * np.array(color)).astype(np.uint8)
