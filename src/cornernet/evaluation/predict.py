"""Run a detector over a data set: COCO results and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from cornernet.config import Decoding
from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.evaluation.ap import Metrics, coco_metrics, to_coco_results
from cornernet.inference.api import BaseDetector
from cornernet.media.prefetch import ahead
from cornernet.structures import CornerPoints, Detections


def predict_dataset(
    detector: BaseDetector,
    dataset: CocoDataset,
    *,
    batch_size: int = 1,
    rank: int = 0,
    world: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """COCO results of every image, or of every ``world``-th from ``rank``; ``progress(done, total)`` after each."""
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
    detector: BaseDetector,
    dataset: CocoDataset,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Metrics, list[dict[str, Any]]]:
    """COCO's figures on a data set whose classes are the detector's, and the results they were computed from."""
    results = predict_dataset(detector, dataset, batch_size=batch_size, progress=progress)
    return coco_metrics(dataset.coco_dict(), results), results


class ImageResult(NamedTuple):
    """One image: its ground truth, its detections, and the best corners of each kind, paired by ``decoding`` or not."""

    record: ImageRecord
    detections: Detections
    tl: CornerPoints
    br: CornerPoints
    decoding: Decoding = Decoding()


def predict_images(
    detector: BaseDetector, records: Sequence[ImageRecord], *, progress: Callable[[int, int], None] | None = None
) -> list[ImageResult]:
    """Every image through the network once; ``progress(done, total)`` after each.

    Raises ``InputError`` for an image that cannot be read, and as ``BaseDetector.explain`` does.
    """
    image_results = []
    images = ahead(ImageRecord.read, records, depth=3)
    for i, (record, image) in enumerate(zip(records, images, strict=True), start=1):
        found = detector.explain(image)
        corners = found.tl_corners, found.br_corners
        image_results.append(ImageResult(record, found.detections, *corners, detector.decoding))
        if progress:
            progress(i, len(records))
    return image_results


def evenly_spaced(records: Sequence[ImageRecord], count: int) -> list[ImageRecord]:
    """At most ``count`` records, evenly spaced."""
    places = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [records[place] for place in places]
