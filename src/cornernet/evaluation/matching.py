"""Match detections with objects: precision, recall, F1, confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cornernet.data.dataset import ImageRecord
from cornernet.evaluation.predict import ImageResult
from cornernet.structures import Detections, FloatArray

MIN_IOU = 0.5
THRESHOLDS = np.arange(1, 100) / 100


class Matches(NamedTuple):
    """The matches of D detections and G objects of one image.

    ``objects`` (D,): the object that a detection found, -1 for none; ``ignored`` (D,): it is inside a crowd region of
    its class, where COCO counts no mistakes; ``ious`` (D, G), 0 for crowd regions.
    """

    objects: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    ious: NDArray[np.float64]


def match(record: ImageRecord, detections: Detections) -> Matches:
    """COCO's matching at IoU 0.5: best detections first, each gets the free object of its class of largest IoU."""
    overlaps = _overlaps(detections.boxes, record.boxes)
    of_class = detections.labels[:, None] == record.labels
    covered = overlaps / _areas(detections.boxes)[:, None].clip(1e-9)
    in_crowd = (of_class & record.crowd & (covered >= MIN_IOU)).any(axis=1)
    union = _areas(detections.boxes)[:, None] + _areas(record.boxes) - overlaps
    ious = np.where(record.crowd, 0.0, overlaps / union.clip(1e-9))
    objects = _greedy(np.where(of_class, ious, 0.0))
    return Matches(objects, in_crowd & (objects < 0), ious)


def _greedy(ious: NDArray[np.float64]) -> NDArray[np.int64]:
    """(D,) object of each detection, in their order: the free one with the largest IoU, -1 if that is too small."""
    free, objects = ious.copy(), np.full(len(ious), -1)
    for i in range(len(ious)):
        best = int(free[i].argmax()) if free.shape[1] else -1
        if best >= 0 and free[i, best] >= MIN_IOU:
            objects[i] = best
            free[:, best] = 0
    return objects


def _areas(boxes: FloatArray) -> NDArray[np.float64]:
    return (boxes[:, 2:].astype(np.float64) - boxes[:, :2]).prod(axis=1)


def _overlaps(boxes: FloatArray, others: FloatArray) -> NDArray[np.float64]:
    """(D, G) pixels that boxes (D, 4) and others (G, 4) share."""
    low = np.maximum(boxes[:, None, :2].astype(np.float64), others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return (high - low).clip(0).prod(axis=2)


class Ranking(NamedTuple):
    """All detections of a data set, best first: ``scores``, ``labels``, and whether each is ``right``, all (N,).

    ``objects`` (C,) counts the objects of each class.
    """

    scores: FloatArray
    labels: NDArray[np.int64]
    right: NDArray[np.bool_]
    objects: NDArray[np.int64]


def rank(image_results: Sequence[ImageResult]) -> Ranking:
    """The detections of all images in one order; those in crowd regions are left out."""
    classes = len(image_results[0].detections.class_names)
    scores, labels, right = [], [], []
    objects = np.zeros(classes, np.int64)
    for record, detections, *_ in image_results:
        matches = match(record, detections)
        scores.append(detections.scores[~matches.ignored])
        labels.append(detections.labels[~matches.ignored])
        right.append(matches.objects[~matches.ignored] >= 0)
        objects += np.bincount(record.labels[~record.crowd], minlength=classes)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return Ranking(np.concatenate(scores)[order], np.concatenate(labels)[order], np.concatenate(right)[order], objects)


def precision_recall(ranking: Ranking, label: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Recalls and precisions of a class, one of each for each detection; precision never rises, as COCO computes it."""
    right = ranking.right[ranking.labels == label].cumsum()
    precision = right / np.arange(1, len(right) + 1)
    return right / max(1, ranking.objects[label]), np.maximum.accumulate(precision[::-1])[::-1]


class Scores(NamedTuple):
    """Precision, recall and F1 of all classes together at each of ``THRESHOLDS``, and the best threshold.

    Precision is NaN where nothing is shown; ``best`` is ``None`` where no detection is right.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]
    best: float | None


def f1_scores(ranking: Ranking) -> Scores:
    """F1 at each threshold; of equally good thresholds the middle one is best."""
    ascending = ranking.scores[::-1]
    # in the scores' own precision, as Detections.above compares
    shown = len(ascending) - np.searchsorted(ascending, THRESHOLDS.astype(ascending.dtype))
    right = np.concatenate([[0], ranking.right.cumsum()])[shown]
    objects = int(ranking.objects.sum())
    f1 = 2 * right / np.maximum(1, shown + objects)
    peak = np.flatnonzero(f1 == f1.max())
    best = float(THRESHOLDS[peak[len(peak) // 2]]) if f1.max() > 0 else None
    precision = np.where(shown > 0, right / np.maximum(1, shown), np.nan)
    return Scores(precision, right / max(1, objects), f1, best)


def confusion_matrix(image_results: Sequence[ImageResult], threshold: float) -> NDArray[np.int64]:
    """(C + 1, C + 1) counts of detections of at least ``threshold``: rows are true classes, columns predicted ones.

    The last row is background, the last column missed objects. Each detection counts with the object that it found; the
    others, best first, with the unmatched object of the largest IoU, at least 0.5. So a row sums to the objects of its
    class, a column to the detections of its class (without those in crowd regions).
    """
    classes = len(image_results[0].detections.class_names)
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    for record, detections, *_ in image_results:
        shown = detections.above(threshold)
        matches = match(record, shown)
        objects = matches.objects.copy()
        left = np.where((objects < 0)[:, None] & ~matches.ignored[:, None], matches.ious, 0.0)
        left[:, objects[objects >= 0]] = 0
        objects = np.maximum(objects, _greedy(left))
        truth = np.append(record.labels, classes)[objects]  # -1: the last
        np.add.at(counts, (truth[~matches.ignored], shown.labels[~matches.ignored]), 1)
        missed = ~record.crowd
        missed[objects[objects >= 0]] = False
        counts[:, classes] += np.bincount(record.labels[missed], minlength=classes + 1)
    return counts
