"""Histograms of a data set's box sizes, shapes and classes: as text, and as a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cornernet.data.dataset import CocoDataset
from cornernet.drawing.text import Color, Image, class_color, draw_text, shortened, text_size

_SIZES = (0, 8, 16, 32, 64, 128, 256, 512, np.inf)
_SIZE_NAMES = ("under 8", "8 to 16", "16 to 32", "32 to 64", "64 to 128", "128 to 256", "256 to 512", "over 512")
_ASPECTS = (0, 1 / 4, 1 / 2, 4 / 5, 5 / 4, 2, 4, np.inf)
_ASPECT_NAMES = ("under 1:4", "1:4 to 1:2", "1:2 to 4:5", "4:5 to 5:4", "5:4 to 2:1", "2:1 to 4:1", "over 4:1")
_SHOWN = 30  # classes
_INK: Color = (24, 24, 24)
_PAPER: Color = (250, 250, 250)
_TEXT, _BAR = 16, 240  # pixels: height of the text, length of the longest bar


class Histogram(NamedTuple):
    """Rows of a name and its count, under a title; ``more`` says what is not shown."""

    title: str
    rows: list[tuple[str, int]]
    more: str = ""


def histograms(datasets: Iterable[CocoDataset]) -> list[Histogram]:
    """Box sizes, aspect ratios and classes over all splits."""
    datasets = list(datasets)
    boxes = np.concatenate([image.boxes for dataset in datasets for image in dataset.images] or [np.zeros((0, 4))])
    width, height = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).T
    counts = Counter({name: 0 for dataset in datasets for name in dataset.class_names})
    for dataset in datasets:
        for image in dataset.images:
            counts.update(dataset.class_names[label] for label in image.labels.tolist())
    classes = counts.most_common()
    others = sum(count for _, count in classes[_SHOWN:])
    more = f"and {len(classes) - _SHOWN} more classes with {others} boxes" if len(classes) > _SHOWN else ""
    sizes = _counted(np.sqrt(width * height), _SIZES, _SIZE_NAMES)
    return [
        Histogram("box size, square root of the area in pixels", sizes),
        Histogram("aspect ratio, width to height", _counted(width / height, _ASPECTS, _ASPECT_NAMES)),
        Histogram("boxes of each class", classes[:_SHOWN], more),
    ]


def as_lines(histogram: Histogram, bar: int = 40) -> list[str]:
    """The histogram for a terminal; its longest bar has ``bar`` characters."""
    rows = [(" ".join(name.split()), count) for name, count in histogram.rows]
    width = max(len(name) for name, _ in rows)
    most = max(1, *(count for _, count in rows))
    digits = len(str(most))
    bars = [f"  {name:{width}}  {count:{digits}}  {'#' * -(-count * bar // most)}".rstrip() for name, count in rows]
    return [histogram.title, *bars, *([f"  {histogram.more}"] if histogram.more else [])]


def draw_histograms(shown: Sequence[Histogram]) -> Image:
    """The histograms side by side, RGB (H, W, 3)."""
    panels = [_draw(histogram) for histogram in shown]
    height = max(panel.shape[0] for panel in panels)
    sheet = np.full((height, sum(panel.shape[1] for panel in panels), 3), _PAPER, np.uint8)
    x = 0
    for panel in panels:
        sheet[: panel.shape[0], x : x + panel.shape[1]] = panel
        x += panel.shape[1]
    return sheet


def _counted(values: NDArray[np.float64], edges: Sequence[float], names: Sequence[str]) -> list[tuple[str, int]]:
    return list(zip(names, np.histogram(values, edges)[0].tolist(), strict=True))


def _draw(histogram: Histogram) -> Image:
    line, gap = text_size("X", _TEXT)[1] + 4, _TEXT
    rows = [(shortened(name, _TEXT, _BAR), count) for name, count in histogram.rows]
    name_width = max(text_size(name, _TEXT)[0] for name, _ in rows)
    most = max(1, *(count for _, count in rows))
    width = name_width + _BAR + text_size(str(most), _TEXT)[0] + 4 * gap
    width = max(width, text_size(histogram.title, _TEXT)[0] + 2 * gap)
    panel = np.full(((len(rows) + 3) * line, width, 3), _PAPER, np.uint8)
    draw_text(panel, histogram.title, gap, line // 2, _TEXT, _INK)
    for i, (name, count) in enumerate(rows):
        y, x = (i + 2) * line - line // 4, gap + name_width + gap
        draw_text(panel, name, x - gap - text_size(name, _TEXT)[0], y, _TEXT, _INK)
        end = x + -(-count * _BAR // most)
        panel[y + 2 : y + line - 4, x:end] = class_color(1)
        draw_text(panel, str(count), end + gap // 2, y, _TEXT, _INK)
    draw_text(panel, histogram.more, gap, (len(rows) + 2) * line - line // 4, _TEXT, _INK)
    return panel
