"""The report's pictures, as data inside the page: images with most mistakes, and corner heatmaps."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import NamedTuple

import cv2

from cornernet.data.dataset import ImageRecord
from cornernet.drawing.draw import draw_boxes, draw_detections, draw_pairings, draw_seen
from cornernet.drawing.text import Image
from cornernet.evaluation.matching import match
from cornernet.evaluation.predict import ImageResult
from cornernet.inference.api import BaseDetector
from cornernet.media.scaling import shrink

_SIDE, _QUALITY = 640, 82


class Picture(NamedTuple):
    """A JPEG as a data URI, its width and height in pixels, what it shows, and its short title."""

    uri: str
    width: int
    height: int
    alt: str
    title: str


class Row(NamedTuple):
    """Pictures of one image: its file's name, a line about it, the pictures."""

    name: str
    note: str
    pictures: list[Picture]


def embed(image: Image, alt: str, title: str) -> Picture:
    """A picture for the page, its longer side at most 640 pixels."""
    small = shrink(image, _SIDE)[0]
    data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
    uri = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
    return Picture(uri, small.shape[1], small.shape[0], alt, title)


def worst(image_results: Sequence[ImageResult], threshold: float, count: int = 6) -> list[Row]:
    """The images with most mistakes, ground truth and detections side by side; images without mistakes are left out.

    A mistake is an object that no detection of at least ``threshold`` found, or such a detection that found none.
    """
    rows = []
    for image_result in image_results:
        shown = image_result.detections.above(threshold)
        matches = match(image_result.record, shown)
        right = int((matches.objects >= 0).sum())
        wrong = int((~matches.ignored).sum()) - right
        rows.append((int((~image_result.record.crowd).sum()) - right, wrong, image_result))
    rows = sorted(rows, key=lambda row: -(row[0] + row[1]))[:count]
    return [_compared(image_result, threshold, missed, wrong) for missed, wrong, image_result in rows if missed + wrong]


def _compared(image_result: ImageResult, threshold: float, missed: int, wrong: int) -> Row:
    record, names = image_result.record, image_result.detections.class_names
    image, real = record.read(), ~record.crowd
    ground_truth = draw_boxes(image, record.boxes[real], record.labels[real], names)
    found = draw_detections(image, image_result.detections, threshold)
    note = f"objects: {real.sum()}, not found: {missed}; wrong boxes: {wrong}"
    pictures = [
        embed(ground_truth, f"{record.file_name}: the ground truth, dashed boxes", "truth"),
        embed(found, f"{record.file_name}: what was detected", "detected"),
    ]
    return Row(record.file_name, note, pictures)


def seen(detector: BaseDetector, records: Sequence[ImageRecord], threshold: float) -> list[Row]:
    """Corner heatmaps and paired corners of images."""
    rows = []
    for record in records:
        image = shrink(record.read(), detector.max_size)[0]
        explanation = detector.explain(image)
        heatmaps = draw_seen(image, explanation)
        pairs = draw_pairings(image, explanation.candidates, explanation.detections, threshold)
        pictures = [
            embed(heatmaps, f"{record.file_name}: where corners were seen", "corner heatmaps"),
            embed(pairs, f"{record.file_name}: which corners were paired", "paired corners"),
        ]
        rows.append(Row(record.file_name, f"boxes: {len(explanation.detections.above(threshold))}", pictures))
    return rows
