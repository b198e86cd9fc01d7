"""The report's charts: a training's curves, F1 against the threshold, precision against recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from cornernet.evaluation.matching import THRESHOLDS, Ranking, Scores, precision_recall
from cornernet.report.charts import Line, Upright, line_chart
from cornernet.report.logs import loss_parts, smooth


class Figure(NamedTuple):
    """A chart under its title."""

    title: str
    chart: Markup


def curves(training: Sequence[dict[str, Any]], validation: Sequence[dict[str, Any]]) -> list[Figure]:
    """Losses, rate and AP over epochs, from a log's lines (``logs.read_log``); charts without values are left out."""
    x = [entry["x"] for entry in training]
    x_range = (0.0, max([entry["x"] for entry in (*training, *validation)], default=1.0))

    def lines(names: Sequence[str]) -> list[Line]:
        return [Line(name, x, smooth([entry.get(name) for entry in training])) for name in names]

    points = [
        Line(name, [e["x"] for e in validation], [e.get(name) for e in validation], marked=True)
        for name in ("AP", "AP50", "AP75")
    ]
    rate = Line("learning rate", x, [entry.get("lr") for entry in training])
    charts = (
        ("loss, smoothed", lines(["loss"]), True),
        ("parts of the loss, smoothed", lines(loss_parts(training)), True),
        ("learning rate", [rate], True),
        ("validation", points, False),
    )
    return [
        Figure(
            title,
            line_chart(
                drawn,
                label=f"{title} over epochs",
                x_title="epoch",
                x_range=x_range,
                y_range=None if log else (0, 1),
                log=log,
            ),
        )
        for title, drawn, log in charts
        if any(y is not None for line in drawn for y in line.y)
    ]


def f1_figure(scores: Scores, threshold: float) -> Figure:
    """F1, precision and recall against the threshold of detections' scores."""
    x = THRESHOLDS.tolist()
    lines = [Line("F1", x, scores.f1.tolist()), Line("precision", x, scores.precision.tolist())]
    lines.append(Line("recall", x, scores.recall.tolist()))
    chart = line_chart(
        lines,
        label=f"F1, precision and recall against the threshold; F1 is best at {threshold:.2f}",
        x_title="threshold",
        x_range=(0, 1),
        y_range=(0, 1),
        upright=Upright(threshold, f"{threshold:.2f}"),
    )
    return Figure("all classes, IoU 0.5", chart)


def precision_recall_figures(ranking: Ranking, names: Sequence[str]) -> list[Figure]:
    """Precision against recall at IoU 0.5, a small chart for each class that has objects."""
    figures = []
    for label, name in enumerate(names):
        if not ranking.objects[label]:
            continue
        recall, precision = precision_recall(ranking, label)
        chart = line_chart(
            [Line(name, recall.tolist(), precision.tolist())],
            label=f"precision against recall of {name}",
            x_title="recall",
            x_range=(0, 1),
            y_range=(0, 1),
            size=(220, 180),
        )
        figures.append(Figure(name, chart))
    return figures
