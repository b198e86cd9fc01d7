"""COCO's average precision and recall of boxes, computed by faster-coco-eval."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from cornernet.errors import InputError
from cornernet.structures import Detections

METRIC_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")

_CLASS_FIGURES = ("AP", "AP50", "AP75")
_ONE_COLUMN_AT_MOST = 20


@dataclass(frozen=True)
class Metrics:
    """COCO's twelve figures over all classes, and AP of each class; from 0 to 1, NaN if there is nothing to count.

    ``figures`` has the keys ``METRIC_NAMES``: s, m, l are boxes below 32^2, up to 96^2, and above 96^2 pixels.
    ``per_class`` has ``AP``, ``AP50``, ``AP75`` and ``boxes``, the number of ground-truth boxes, by class name.
    ``images`` and ``boxes`` count the ground truth without crowd regions.
    """

    figures: dict[str, float]
    per_class: dict[str, dict[str, float]]
    images: int
    boxes: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: ``figures``, ``per_class``, ``images``, ``boxes``; ``None`` for a figure that is NaN."""
        return {
            "figures": {name: _json_number(value) for name, value in self.figures.items()},
            "per_class": {
                name: {key: _json_number(value) for key, value in row.items()} for name, row in self.per_class.items()
            },
            "images": self.images,
            "boxes": self.boxes,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Metrics:
        """The figures of ``as_dict``, back from JSON."""
        rows = {name: {key: _figure(value) for key, value in row.items()} for name, row in values["per_class"].items()}
        figures = {name: _figure(value) for name, value in values["figures"].items()}
        return cls(figures, rows, values["images"], values["boxes"])

    def __str__(self) -> str:
        return self.table()

    def table(self) -> str:
        """Both tables as text for a terminal of 80 columns, in per cent; more than 20 classes take two columns."""
        lines = [
            f"{_counted(self.images, 'image')}, {_counted(self.boxes, 'ground-truth box', 'es')}; per cent",
            "",
            *self._figure_lines(),
        ]
        if self.per_class:
            lines += ["", *self._class_lines()]
        return "\n".join(line.rstrip() for line in lines)

    def _figure_lines(self) -> Iterable[str]:
        for names in (METRIC_NAMES[:6], METRIC_NAMES[6:]):
            yield "".join(f"{name:>8}" for name in names)
            yield "".join(f"{_percent(self.figures[name]):>8}" for name in names)

    def _class_lines(self) -> Iterable[str]:
        columns = 1 if len(self.per_class) <= _ONE_COLUMN_AT_MOST else 2
        width = min(max(_columns_of(name) for name in ("class", *self.per_class)), 50 if columns == 1 else 14)
        header = _fit("class", width) + "".join(f"{key:>6}" for key in _CLASS_FIGURES) + f"{'boxes':>7}"
        rows = [
            _fit(name, width) + "".join(f"{_percent(row[key]):>6}" for key in _CLASS_FIGURES) + f"{row['boxes']:>7.0f}"
            for name, row in self.per_class.items()
        ]
        down = math.ceil(len(rows) / columns)
        yield "  ".join([header] * columns)
        yield "  ".join(["-" * len(header)] * columns)
        for i in range(down):
            yield "  ".join(rows[i::down])


def coco_metrics(ground_truth: dict[str, Any], predictions: list[dict[str, Any]]) -> Metrics:
    """COCO's figures of predicted boxes; neither argument is changed.

    ``ground_truth`` is a COCO dictionary (``images``, ``annotations``, ``categories``; a missing ``area`` is the box's,
    a missing ``iscrowd`` is 0). ``predictions`` are COCO results: ``image_id``, ``category_id``, ``bbox`` (x y width
    height, pixels), ``score``; the best 100 of each image and class count. Without predictions the figures are 0,
    without ground-truth boxes NaN. Crowd regions need not be found, and predictions inside them are not mistakes.
    Raises ``InputError`` for an unknown image or category, or a number that is not finite.
    """
    categories = sorted(ground_truth["categories"], key=lambda category: category["id"])
    images = {image["id"] for image in ground_truth["images"]}
    known = {category["id"] for category in categories}
    _check("annotation", ground_truth["annotations"], images, known)
    _check("prediction", predictions, images, known)

    # New ids: to the evaluator, annotation id 0 means "unmatched".
    truth = [_annotation(index, annotation) for index, annotation in enumerate(ground_truth["annotations"], start=1)]
    real = Counter(box["category_id"] for box in truth if not box["iscrowd"])
    names = _unique_names(categories)
    if not images or not categories:
        nothing: dict[str, float] = dict.fromkeys(METRIC_NAMES, math.nan)
        empty_rows = {name: {**dict.fromkeys(_CLASS_FIGURES, math.nan), "boxes": 0} for name in names}
        return Metrics(nothing, empty_rows, len(images), 0)

    coco = COCO(
        {
            "images": [{"id": image} for image in images],
            "categories": [{"id": category["id"]} for category in categories],
            "annotations": truth,
        }
    )
    # With an empty outline, the library does not make one from each box.
    found = coco.loadRes([{**prediction, "segmentation": []} for prediction in predictions])
    evaluator = COCOeval_faster(coco, found, "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()

    # Precision is (T, R, K, A, M): IoU thresholds, recalls, classes, areas (first: all), detections an image.
    precision = evaluator.eval["precision"][:, :, :, 0, -1]
    per_class = {
        name: {
            "AP": _mean(precision[:, :, k]),
            "AP50": _mean(precision[0, :, k]),
            "AP75": _mean(precision[5, :, k]),
            "boxes": real[category["id"]],
        }
        for k, (name, category) in enumerate(zip(names, categories, strict=True))
    }
    figures = {
        name: math.nan if value < 0 else float(value) for name, value in zip(METRIC_NAMES, evaluator.stats, strict=True)
    }
    return Metrics(figures, per_class, len(images), sum(real.values()))


def to_coco_results(detections: Detections, image_id: int, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Detections of one image as COCO results, JSON-ready.

    ``category_ids[label]`` is the data set's id of a class (COCO's 80 classes have ids up to 90). ``bbox`` is x y width
    height in pixels with 3 decimals; ``score`` has 6. Raises ``ValueError`` if there is not one id for each class.
    """
    if len(category_ids) != len(detections.class_names):
        raise ValueError(f"{len(category_ids)} category ids for {len(detections.class_names)} classes")
    return [
        {
            "image_id": image_id,
            "category_id": int(category_ids[label]),
            "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(score, 6),
        }
        for (x1, y1, x2, y2), score, label in zip(
            detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist(), strict=True
        )
    ]


def _annotation(index: int, annotation: dict[str, Any]) -> dict[str, Any]:
    box = annotation["bbox"]
    return {
        "id": index,
        "image_id": annotation["image_id"],
        "category_id": annotation["category_id"],
        "bbox": box,
        "area": annotation.get("area", box[2] * box[3]),
        "iscrowd": int(annotation.get("iscrowd", 0)),
    }


def _check(what: str, entries: list[dict[str, Any]], images: set[int], categories: set[int]) -> None:
    for index, entry in enumerate(entries):
        if entry["image_id"] not in images:
            fault = f"is of image {entry['image_id']}, which is not in the ground truth"
            raise InputError(fault, f"{what} {index}", "evaluate against the file the images came from")
        if entry["category_id"] not in categories:
            fault = f"is of category {entry['category_id']}, which is not in the ground truth"
            raise InputError(fault, f"{what} {index}", "its ids may be numbered otherwise")
        if len(entry["bbox"]) != 4 or not all(map(math.isfinite, (*entry["bbox"], entry.get("score", 0)))):
            raise InputError("needs a bbox of four finite numbers and a finite score", f"{what} {index}")


def _unique_names(categories: list[dict[str, Any]]) -> list[str]:
    times = Counter(category["name"] for category in categories)
    return [c["name"] if times[c["name"]] == 1 else f"{c['name']} ({c['id']})" for c in categories]


def _mean(precision: np.ndarray) -> float:
    counted = precision[precision > -1]
    return float(counted.mean()) if counted.size else math.nan


def _figure(value: float | None) -> float:
    return math.nan if value is None else value


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def _counted(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"


def _columns_of(text: str) -> int:
    """The width of a text in columns of a terminal: two for wide East Asian characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def _fit(text: str, width: int) -> str:
    if _columns_of(text) > width:
        while _columns_of(text) > width - 2:
            text = text[:-1]
        text += ".."
    return text + " " * (width - _columns_of(text))
