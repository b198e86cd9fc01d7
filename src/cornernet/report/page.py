"""The report: what a trained network can do, its errors, and what they cost, in one page that needs no other file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from cornernet.data.dataset import CocoDataset
from cornernet.evaluation.ap import METRIC_NAMES, coco_metrics, to_coco_results
from cornernet.evaluation.cost import count_cost
from cornernet.evaluation.error_analysis import error_costs
from cornernet.evaluation.matching import confusion_matrix, f1_scores, rank
from cornernet.evaluation.predict import evenly_spaced, predict_images
from cornernet.files import atomic_write
from cornernet.inference.api import BaseDetector
from cornernet.media.scaling import shrunk_size
from cornernet.report.figures import curves, f1_figure, precision_recall_figures
from cornernet.report.rows import (
    BACKGROUND,
    MISSED,
    class_rows,
    cost_rows,
    matrix_rows,
    most_confused,
    size_rows,
    split_row,
)
from cornernet.report.thumbnails import seen, worst
from cornernet.weights.store import Weights

_EXPLAINED = 3  # images whose heatmaps are shown


@dataclass(frozen=True)
class Subject:
    """What a report is about: ``detector`` runs on ``dataset``; the rest is shown as it is.

    ``source`` is the weights file, ``log`` the result of ``logs.read_log``, ``recipe`` YAML.
    """

    title: str
    source: str
    weights: Weights
    detector: BaseDetector
    dataset: CocoDataset
    splits: Sequence[CocoDataset]
    log: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None
    recipe: str | None = None


@dataclass(frozen=True)
class ReportSummary:
    """The number of images, AP, and the threshold of the best F1, ``None`` if that is 0."""

    images: int
    ap: float
    threshold: float | None


def write_report(
    path: Path, subject: Subject, *, images: int = 500, progress: Callable[[int, int], None] | None = None
) -> ReportSummary:
    """Write the report as HTML, from at most ``images`` images of the data set, evenly spaced.

    Raises ``InputError`` if the file cannot be written or an image cannot be read.
    """
    detector, names = subject.detector, subject.detector.class_names
    records = evenly_spaced(subject.dataset.images, images)
    left_out = {record.id for record in subject.dataset.images} - {record.id for record in records}
    dataset = subject.dataset.without(left_out, set())
    image_results = predict_images(detector, records, progress=progress)
    ground_truth = dataset.coco_dict()
    results = [r for s in image_results for r in to_coco_results(s.detections, s.record.id, dataset.category_ids)]
    metrics, ranking = coco_metrics(ground_truth, results), rank(image_results)
    scores = f1_scores(ranking)
    threshold = detector.threshold if scores.best is None else scores.best
    confusions = confusion_matrix(image_results, threshold)
    content = {
        "title": subject.title,
        "facts": _facts(subject),
        "splits": [split_row(split) for split in subject.splits],
        "recipe": subject.recipe,
        "dataset": dataset,
        "all_images": len(subject.dataset.images),
        "metrics": metrics,
        "figure_names": METRIC_NAMES,
        "classes": class_rows(metrics, dataset, confusions),
        "sizes": size_rows(metrics),
        "curves": curves(*subject.log) if subject.log else [],
        "best": scores.best,
        "threshold": threshold,
        "f1": float(scores.f1.max()),
        "f1_figure": f1_figure(scores, threshold),
        "precision_recall": precision_recall_figures(ranking, names),
        "columns": [*names, MISSED],
        "background": BACKGROUND,
        "matrix": matrix_rows(confusions, names),
        "confused": most_confused(confusions, names),
        "costs": cost_rows(list(error_costs(image_results, ground_truth, dataset.category_ids, threshold))),
        "worst": worst(image_results, threshold),
        "seen": seen(detector, evenly_spaced(records, _EXPLAINED), threshold),
    }
    atomic_write(path, _template().render(content).encode())
    return ReportSummary(len(records), metrics.figures["AP"], scores.best)


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("cornernet.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: "–" if np.isnan(value) else f"{100 * value:.1f}"
    environment.filters["points"] = lambda value: (
        "–" if np.isnan(value) else f"{round(100 * value, 1) or 0.0:+.1f}".replace("-", "−")
    )
    return environment.get_template("template.html")


def _facts(subject: Subject) -> list[tuple[str, str]]:
    """The training, the network, and what running it costs."""
    weights, image = subject.weights, subject.dataset.images[0]
    seen = shrunk_size(image.height, image.width, subject.detector.max_size)
    height, width = subject.detector.preprocessing.padded_size(*seen)
    cost = count_cost(weights.architecture, len(weights.class_names), (height, width))
    return [
        ("recipe", str(weights.info.get("recipe", "–"))),
        ("epochs", str(weights.info.get("epochs", "–"))),
        ("weights", subject.source),
        ("network", f"{cost.parameters:.2f} million parameters; {cost.gflops:.1f} GFLOP for {width}x{height} pixels"),
        ("report made", time.strftime("%Y-%m-%d %H:%M")),
    ]
