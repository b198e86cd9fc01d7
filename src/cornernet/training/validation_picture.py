"""A picture of a validation: some images, each with its ground truth and with what was detected."""

from __future__ import annotations

from typing import Any

import numpy as np

from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.drawing.draw import draw_boxes, draw_detections
from cornernet.drawing.text import Image
from cornernet.evaluation.predict import evenly_spaced
from cornernet.media.scaling import shrink
from cornernet.structures import Detections

_IMAGES, _SIDE, _GAP = 4, 480, 4  # images, the longer side of each in pixels, pixels between them


def validation_picture(dataset: CocoDataset, results: list[dict[str, Any]]) -> Image:
    """Up to four images, evenly spaced in the data set, one a row: ground truth left, boxes of at least 0.3 right.

    ``results`` are COCO results of the whole data set. uint8 (H, W, 3) RGB; images with boxes are preferred.
    """
    with_boxes = [record for record in dataset.images if not record.crowd.all()]
    rows = []
    for record in evenly_spaced(with_boxes or dataset.images, _IMAGES):
        image, scale = shrink(record.read(), _SIDE)
        real, found = ~record.crowd, _detections_of(record, dataset, results, scale)
        truth = draw_boxes(image, record.boxes[real] * scale, record.labels[real], dataset.class_names)
        rows.append(np.concatenate([truth, _gap(truth.shape[0], _GAP), draw_detections(image, found)], axis=1))
    width = max(row.shape[1] for row in rows)
    parts = []
    for row in rows:
        filled = np.concatenate([row, _gap(row.shape[0], width - row.shape[1])], axis=1)
        parts += [*([_gap(_GAP, width)] if parts else []), filled]
    return np.concatenate(parts)


def _gap(height: int, width: int) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def _detections_of(
    record: ImageRecord, dataset: CocoDataset, results: list[dict[str, Any]], scale: float
) -> Detections:
    mine = [result for result in results if result["image_id"] == record.id]
    corners = np.array([result["bbox"] for result in mine], np.float32).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    label_of = {category: label for label, category in enumerate(dataset.category_ids)}
    return Detections(
        corners * np.float32(scale),
        np.array([result["score"] for result in mine], np.float32),
        np.array([label_of[result["category_id"]] for result in mine], np.int64),
        dataset.class_names,
        (max(1, round(record.height * scale)), max(1, round(record.width * scale))),
    )
