"""How much AP each kind of error costs: correct the errors of one kind, and see how much AP rises.

As in TIDE (Bolya et al., ECCV 2020), with the kinds of error of a detector that pairs corners.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from cornernet.evaluation.ap import coco_metrics, to_coco_results
from cornernet.evaluation.matching import MIN_IOU, match
from cornernet.evaluation.predict import ImageResult
from cornernet.model.targets import gaussian_radius
from cornernet.structures import CornerPoints, Detections, FloatArray

ErrorKind = Literal["corner", "pairing", "class", "localisation", "duplicate", "background"]
ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)

NEAR_IOU = 0.1  # a box with less belongs to no object (as in TIDE)


class Diagnosis(NamedTuple):
    """The errors of one image with D detections and G objects; crowd regions have no errors.

    ``kinds`` (D,): ``"duplicate"``, ``"class"``, ``"pairing"``, ``"localisation"`` or ``"background"``, ``""`` for a
    correct detection. ``meant`` (D,): the object of a detection that is correct or has a class or localisation error,
    else -1. ``missed`` (G,): ``"corner"`` or ``"pairing"``, ``""`` for an object that is not missed. ``tl_found`` and
    ``br_found`` (G,): the best corner of the object's class at each of its corners, as an index into the image's
    corners, -1 for none.

    A corner is *at* an object's corner if x and y differ by at most the radius by which both corners of the object may
    move so that the IoU stays 0.5 (paper, section 3.2). A detection is correct if it is matched at IoU 0.5. The kind of
    any other detection is the first that applies:

    - duplicate: IoU of 0.5 or more with an object of its class, which a better detection found.
    - class: IoU of 0.5 or more with an object of another class.
    - pairing: its corners are at the corners of two different objects of its class.
    - localisation: IoU of 0.1 to 0.5 with an object of its class.
    - background: all others.

    An object is missed if no detection found it, and none of at least the threshold has a class or localisation error
    for it. The reason is *pairing* if both its corners are among the best corners (their distance is too large, or
    other pairs have better scores), and *corner* if they are not.
    """

    kinds: NDArray[np.str_]
    meant: NDArray[np.int64]
    missed: NDArray[np.str_]
    tl_found: NDArray[np.int64]
    br_found: NDArray[np.int64]


def diagnose(image_result: ImageResult, threshold: float) -> Diagnosis:
    """The kind of every error in an image; the threshold only decides which objects are missed."""
    record, detections = image_result.record, image_result.detections
    matches = match(record, detections)
    of_class = (detections.labels[:, None] == record.labels) & ~record.crowd
    own, other = np.where(of_class, matches.ious, 0.0), np.where(of_class, 0.0, matches.ious)
    own_most, other_most = (ious.max(axis=1, initial=0.0) for ious in (own, other))
    pairs = _joins_two(record.boxes, detections.boxes, of_class)
    wrong = (matches.objects < 0) & ~matches.ignored
    rules = {
        "duplicate": own_most >= MIN_IOU,
        "class": other_most >= MIN_IOU,
        "pairing": pairs,
        "localisation": own_most >= NEAR_IOU,
    }
    kinds = np.where(wrong, np.select(list(rules.values()), list(rules), "background"), "")
    meant = matches.objects.copy()
    for kind, ious in (("class", other), ("localisation", own)):
        if ious.size:
            meant = np.where(kinds == kind, ious.argmax(axis=1), meant)
    tl_found, br_found = _found(image_result, 0, image_result.tl), _found(image_result, 2, image_result.br)
    missed = np.where((tl_found >= 0) & (br_found >= 0), "pairing", "corner")
    missed[record.crowd] = ""
    missed[meant[(meant >= 0) & ((kinds == "") | (detections.scores >= threshold))]] = ""
    return Diagnosis(kinds, meant, missed, tl_found, br_found)


def _joins_two(objects: FloatArray, boxes: FloatArray, of_class: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(D,) whether a box goes from one object's top-left to the bottom-right of another one of its class (D, G)."""
    tl, br = (_near(boxes[:, low : low + 2], objects, low) & of_class for low in (0, 2))
    joins_one = (tl & br).any(axis=1)
    return np.asarray(tl.any(axis=1) & br.any(axis=1) & ~joins_one)


def _near(points: FloatArray, objects: FloatArray, low: int) -> NDArray[np.bool_]:
    """(N, G) whether points (N, 2) are at the objects' corners in columns ``low`` and ``low + 1``."""
    width, height = torch.as_tensor((objects[:, 2:] - objects[:, :2]).T.astype(np.float64))
    away = np.abs(points[:, None] - objects[:, low : low + 2]).max(axis=2)
    return away <= gaussian_radius(height, width, MIN_IOU).numpy()


def _found(image_result: ImageResult, low: int, corners: CornerPoints) -> NDArray[np.int64]:
    """(G,) the best corner of the object's class at its corner, -1 for none; corners are in the order of scores."""
    near = _near(corners.positions, image_result.record.boxes, low)
    near &= corners.labels[:, None] == image_result.record.labels
    first = near.argmax(axis=0) if len(near) else np.zeros(near.shape[1], np.int64)
    return np.where(near.any(axis=0), first, -1)


def corrected(image_result: ImageResult, diagnosis: Diagnosis, kinds: Collection[ErrorKind]) -> Detections:
    """The detections without errors of these kinds.

    Duplicates, background and pairing errors are removed. A class error gets the class of its object, a localisation
    error the box of its object; either is removed if the object is already found. With localisation, correct detections
    get exact boxes. A missed object gets the box of its two corners and a pair's score: a corner that was found keeps
    its position and score, another one gets the true position and score 1.
    """
    record, detections = image_result.record, image_result.detections
    boxes, scores, labels = detections.boxes.copy(), detections.scores.copy(), detections.labels.copy()
    keep = ~np.isin(diagnosis.kinds, [kind for kind in kinds if kind in ("duplicate", "pairing", "background")])
    found = set(diagnosis.meant[diagnosis.kinds == ""].tolist()) - {-1}
    for i in np.flatnonzero(np.isin(diagnosis.kinds, [kind for kind in kinds if kind in ("class", "localisation")])):
        keep[i] = diagnosis.meant[i] not in found
        found.add(int(diagnosis.meant[i]))
        labels[i] = record.labels[diagnosis.meant[i]]
    if "localisation" in kinds:
        near = (diagnosis.meant >= 0) & (diagnosis.kinds != "class")
        boxes[near] = record.boxes[diagnosis.meant[near]]
    added = np.flatnonzero(np.isin(diagnosis.missed, list(kinds)))
    rebuilt = [_rebuilt(image_result, diagnosis, int(g)) for g in added]
    boxes = np.concatenate([boxes[keep], np.array([box for box, _ in rebuilt], np.float32).reshape(-1, 4)])
    scores = np.concatenate([scores[keep], np.array([score for _, score in rebuilt], np.float32)])
    labels = np.concatenate([labels[keep], record.labels[added]])
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order], labels[order], detections.class_names, detections.image_size)


def _rebuilt(image_result: ImageResult, diagnosis: Diagnosis, g: int) -> tuple[NDArray[np.float32], float]:
    """Box and score of the pair of an object's corners."""
    box, scores = image_result.record.boxes[g].copy(), [1.0, 1.0]
    sides = ((diagnosis.tl_found[g], image_result.tl), (diagnosis.br_found[g], image_result.br))
    for side, (index, corners) in enumerate(sides):
        if index >= 0:
            box[2 * side : 2 * side + 2], scores[side] = corners.positions[index], float(corners.scores[index])
    return box, float(image_result.decoding.score_of(*scores))


@dataclass(frozen=True)
class ErrorCost:
    """The cost of a kind of error: the rise of ``ap`` and ``ap50`` (fractions) if only this kind is corrected.

    ``boxes`` counts the detections of at least the threshold with this error, ``objects`` the objects missed by it.
    """

    kind: ErrorKind
    ap: float
    ap50: float
    boxes: int
    objects: int


def error_costs(
    image_results: Sequence[ImageResult], truth: dict[str, Any], category_ids: Sequence[int], threshold: float
) -> Iterator[ErrorCost]:
    """The cost of every kind, one after the other; ``truth`` is the images' ground truth as a COCO dictionary.

    The sum of all costs is not 1 - AP: an object may have two errors, and a wrong box only costs if its score is
    higher than that of correct ones.
    """
    diagnoses = [diagnose(image_result, threshold) for image_result in image_results]

    def figures(kinds: Collection[ErrorKind]) -> dict[str, float]:
        results = []
        for image_result, diagnosis in zip(image_results, diagnoses, strict=True):
            results += to_coco_results(corrected(image_result, diagnosis, kinds), image_result.record.id, category_ids)
        return coco_metrics(truth, results).figures

    before = figures(())
    for kind in ERROR_KINDS:
        after = figures((kind,))
        boxes = sum(
            int(((d.kinds == kind) & (s.detections.scores >= threshold)).sum())
            for s, d in zip(image_results, diagnoses, strict=True)
        )
        objects = sum(int((d.missed == kind).sum()) for d in diagnoses)
        yield ErrorCost(kind, after["AP"] - before["AP"], after["AP50"] - before["AP50"], boxes, objects)
