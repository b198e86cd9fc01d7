"""A detector over a whole data set: COCO results and figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.data.prefetch import ahead
from cornernet.detector import Detector
from cornernet.evaluation.ap import Metrics, coco_metrics, to_coco_results


def predict_dataset(
    detector: Detector,
    dataset: CocoDataset,
    *,
    batch_size: int = 1,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """COCO results of every image, or of every ``world``-th from ``rank`` on; ``progress(done, total)`` after each."""
    results: list[dict[str, Any]] = []
    records = dataset.images[rank::world]
    images = ahead(ImageRecord.read, records, depth=batch_size + 2)
    found = detector.stream(images, batch_size=batch_size)
    for i, (record, detections) in enumerate(zip(records, found, strict=True), start=1):
        results += to_coco_results(detections, record.id, dataset.category_ids)
        if progress:
            progress(i, len(records))
    return results


def evaluate_dataset(
    detector: Detector,
    dataset: CocoDataset,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Metrics, list[dict[str, Any]]]:
    """COCO's figures on a data set whose classes are the detector's, and the results they were computed from."""
    results = predict_dataset(detector, dataset, batch_size=batch_size, progress=progress)
    return coco_metrics(dataset.coco_dict(), results), results
