"""COCO's figures of a detector on a data set."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cornernet.data.formats import Format
from cornernet.errors import InputError
from cornernet.tasks.notices import report_dataset
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.data.dataset import CocoDataset
    from cornernet.evaluation.ap import Metrics
    from cornernet.inference.api import BaseDetector


class Evaluation(Protocol):
    """Computes the figures on a data set, and the COCO results that they come from."""

    def __call__(self, dataset: CocoDataset, *, progress: ProgressBar) -> tuple[Metrics, list[dict[str, Any]]]: ...


def evaluate_on(
    detector: BaseDetector,
    data: str,
    *,
    split: str = "val",
    val_share: float | None = None,
    format: Format | None = None,
    strict: bool = False,
    batch_size: int = 1,
    oracle: str | None = None,
    how: Evaluation | None = None,
    out: Path | None = None,
    settings: dict[str, Any] | None = None,
) -> Metrics:
    """The figures of ``detector`` on a split of ``data``, whose classes must be the detector's.

    ``oracle``, such as ``"heatmaps,offsets"``, puts the ground truth in place of these parts of the network's output
    (paper, section 4.4.6); it needs weights. ``how`` may compute the figures elsewhere. ``out`` is a folder for
    metrics.json, with the ``settings``, and for predictions.json. Raises ``InputError`` for data that cannot be used.
    """
    from cornernet.data.find import find_data, load_split
    from cornernet.data.strays import with_stray_notes
    from cornernet.evaluation.predict import evaluate_dataset
    from cornernet.files import atomic_write_json, make_folder

    usual = partial(evaluate_dataset, detector, batch_size=batch_size)
    compute = how or (usual if oracle is None else _oracle(detector, oracle))
    labels = find_data(data, format)
    dataset = load_split(labels, split, val_share=val_share, strict=strict, class_names=detector.class_names)
    if val_share is None:
        dataset = with_stray_notes(labels, [dataset])[0]
    report_dataset(dataset)
    dataset.refuse_losses(share=1.0)
    folder = make_folder(out) if out else None
    metrics, results = compute(dataset, progress=ProgressBar("evaluating"))
    if folder:
        settings = {"data": data, "split": split, "val_share": val_share, **(settings or {})}
        atomic_write_json(folder / "metrics.json", metrics.as_dict() | {"settings": settings})
        atomic_write_json(folder / "predictions.json", results, indent=None)
        if dataset.is_numbered:
            atomic_write_json(folder / "ground_truth.json", dataset.coco_dict(), indent=None)
        print(f"metrics.json and predictions.json: {folder}", file=sys.stderr)
    return metrics


def _oracle(detector: BaseDetector, words: str) -> Evaluation:
    """`evaluate_with_oracles`, waiting for the data set."""
    from cornernet.evaluation.oracles import evaluate_with_oracles, parse_parts
    from cornernet.inference.detector import Detector

    if not isinstance(detector, Detector):
        raise InputError("looks into the network", f"--oracle {words}", "evaluate the weights, not an exported file")
    return partial(evaluate_with_oracles, detector, parts=parse_parts(words))
