"""The rows of the report's tables, with numbers as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cornernet.data.dataset import CocoDataset
from cornernet.evaluation.ap import Metrics
from cornernet.evaluation.error_analysis import ErrorCost, ErrorKind

_MOST_CLASSES, _MOST_CONFUSIONS = 20, 25
BACKGROUND, MISSED = "background", "missed"

# name, what it is, how it is corrected: as in evaluation/error_analysis.py
_KINDS: dict[ErrorKind, tuple[str, str, str]] = {
    "corner": (
        "Missed corner",
        "An object was not found, and one or both of its corners are not among the network's best.",
        "A missed corner is put in its place with score 1, a seen one keeps its own, and the two make a box.",
    ),
    "pairing": (
        "Wrong pairing",
        "A box joins the corners of two different objects of its class; or an object was not found though both of its"
        " corners were seen.",
        "Such boxes go, and such an object's corners make a box.",
    ),
    "class": (
        "Wrong class",
        "A box overlaps an object of another class by IoU 0.5 or more.",
        "It takes that object's class.",
    ),
    "localisation": (
        "Wrong place",
        "A box overlaps an object of its class, but by less than IoU 0.5 (and at least 0.1).",
        "It takes the object's place. So do boxes that are right but not exact: only AP, which asks for up to IoU"
        " 0.95, rises by that.",
    ),
    "duplicate": (
        "Duplicate",
        "A box overlaps an object of its class by IoU 0.5 or more, but a better one has found that object.",
        "It goes. AP falls where it was the more exact box.",
    ),
    "background": ("Background", "A box is none of this: no such object is there.", "It goes."),
}


class SplitRow(NamedTuple):
    """The content of a split, and its place."""

    name: str
    images: int
    boxes: int
    classes: int
    place: str


def split_row(split: CocoDataset) -> SplitRow:
    """The figures of a split; crowd regions do not count as boxes."""
    boxes = sum(int((~record.crowd).sum()) for record in split.images)
    return SplitRow(split.name, len(split.images), boxes, len(split.class_names), f"{split.format}, {split.json_path}")


class ClassRow(NamedTuple):
    """A class's figures; ``precision`` and ``recall`` at the threshold."""

    name: str
    ap: float
    ap50: float
    ap75: float
    precision: float
    recall: float
    boxes: int


def class_rows(metrics: Metrics, dataset: CocoDataset, confusions: NDArray[np.int64]) -> list[ClassRow]:
    """A row for each class, in the order of the data set's classes."""
    by_id = dict(zip(sorted(dataset.category_ids), metrics.per_class.values(), strict=True))
    rows = []
    for label, (name, id_) in enumerate(zip(dataset.class_names, dataset.category_ids, strict=True)):
        right, shown, boxes = confusions[label, label], confusions[:, label].sum(), confusions[label].sum()
        shares = (right / shown if shown else np.nan, right / boxes if boxes else np.nan)
        row = by_id[id_]
        rows.append(ClassRow(name, row["AP"], row["AP50"], row["AP75"], *shares, int(boxes)))
    return rows


class SizeRow(NamedTuple):
    """AP and AR of boxes of a size."""

    name: str
    ap: float
    ar: float


def size_rows(metrics: Metrics) -> list[SizeRow]:
    """COCO's three sizes."""
    names = {"s": "small, up to 32² pixels", "m": "medium, up to 96² pixels", "l": "large"}
    return [SizeRow(name, metrics.figures[f"AP{key}"], metrics.figures[f"AR{key}"]) for key, name in names.items()]


class Cell(NamedTuple):
    """A count, and its share of the row, which is its shade."""

    times: int
    share: float
    is_right: bool


def matrix_rows(confusions: NDArray[np.int64], names: Sequence[str]) -> list[tuple[str, list[Cell]]]:
    """The confusion matrix row by row, background last; empty if it is too wide to read."""
    if len(names) > _MOST_CLASSES:
        return []
    rows = []
    for i, (name, counts) in enumerate(zip([*names, BACKGROUND], confusions.tolist(), strict=True)):
        total = max(1, sum(counts))
        rows.append((name, [Cell(count, count / total, i == j) for j, count in enumerate(counts)]))
    return rows


def most_confused(confusions: NDArray[np.int64], names: Sequence[str]) -> list[tuple[str, str, int]]:
    """The largest counts of confusions between two classes: ground truth, predicted, count."""
    off = confusions[:-1, :-1].copy()
    np.fill_diagonal(off, 0)
    order = np.argsort(-off, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    pairs = [divmod(int(place), len(names)) for place in order]
    return [(names[i], names[j], int(off[i, j])) for i, j in pairs if off[i, j]]


class CostRow(NamedTuple):
    """A kind of error in words, its cost, and the length of its bar (0..1)."""

    name: str
    what: str
    fix: str
    cost: ErrorCost
    bar: float


def cost_rows(costs: Sequence[ErrorCost]) -> list[CostRow]:
    """The kinds of error, the most expensive first."""
    most = max((cost.ap for cost in costs), default=0.0) or 1.0
    ordered = sorted(costs, key=lambda cost: -cost.ap)
    return [CostRow(*_KINDS[cost.kind], cost, max(0.0, cost.ap / most)) for cost in ordered]
