"""What kind of error costs how much AP: mend one kind, leave the rest, and see how far AP rises.

In the manner of TIDE (Bolya et al., ECCV 2020), with a detector's kinds of error that makes boxes of paired corners.
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

NEAR_IOU = 0.1  # under this a box has nothing to do with an object: TIDE's


class Diagnosis(NamedTuple):
    """The errors of one image with D detections and G objects, in crowd regions none.

    ``kinds`` (D,): ``"duplicate"``, ``"class"``, ``"pairing"``, ``"localisation"`` or ``"background"``, ``""`` where
    the detection is right. ``meant`` (D,): the object that a detection found or, by a class or localisation error,
    did not; else -1. ``missed`` (G,): ``"corner"`` or ``"pairing"``, ``""`` where the object is not missed.
    ``tl_seen`` and ``br_seen`` (G,): the best corner of its class that was seen at each of the object's corners, as an
    index into the sighting's corners, -1 for none.

    A corner lies *at* an object's corner where both x and y are nearer than the radius by which both corners of the
    object may move and still make a box of IoU 0.5 with it (paper, section 3.2). A detection is right where it is
    matched at IoU 0.5. Of the others, the first that applies:

    - duplicate: IoU of 0.5 or more with an object of its class, which a better detection found.
    - class: IoU of 0.5 or more with an object of another class.
    - pairing: its corners lie at the corners of two different objects of its class.
    - localisation: IoU of 0.1 to 0.5 with an object of its class.
    - background: all else.

    An object that was not found, and that no class or localisation error from the threshold up means, is missed: by
    *pairing* where both its corners were seen among the best of their heatmaps (their embeddings lie too far apart,
    or other pairs took their place), by a *corner* where one or both were not.
    """

    kinds: NDArray[np.str_]
    meant: NDArray[np.int64]
    missed: NDArray[np.str_]
    tl_seen: NDArray[np.int64]
    br_seen: NDArray[np.int64]


def diagnose(image_result: ImageResult, threshold: float) -> Diagnosis:
    """The kind of every error in an image; the threshold matters to what counts as missed alone."""
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
    tl_seen, br_seen = _seen(image_result, 0, image_result.tl), _seen(image_result, 2, image_result.br)
    missed = np.where((tl_seen >= 0) & (br_seen >= 0), "pairing", "corner")
    missed[record.crowd] = ""
    missed[meant[(meant >= 0) & ((kinds == "") | (detections.scores >= threshold))]] = ""
    return Diagnosis(kinds, meant, missed, tl_seen, br_seen)


def _radius(boxes: FloatArray) -> NDArray[np.float64]:
    """(G,) how far both corners of a box may move, in pixels."""
    width, height = torch.as_tensor((boxes[:, 2:] - boxes[:, :2]).T.astype(np.float64))
    return gaussian_radius(height, width, MIN_IOU).numpy()


def _joins_two(objects: FloatArray, boxes: FloatArray, of_class: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(D,) whether a box goes from one object's top-left to the bottom-right of another one of its class (D, G)."""
    tl, br = (_near(boxes[:, low : low + 2], objects, low) & of_class for low in (0, 2))
    joins_one = (tl & br).any(axis=1)
    return np.asarray(tl.any(axis=1) & br.any(axis=1) & ~joins_one)


def _near(points: FloatArray, objects: FloatArray, low: int) -> NDArray[np.bool_]:
    """(N, G) whether points (N, 2) lie at the objects' corners in columns ``low`` and ``low + 1``."""
    away = np.abs(points[:, None] - objects[:, low : low + 2]).max(axis=2)
    return away <= _radius(objects)


def _seen(image_result: ImageResult, low: int, corners: CornerPoints) -> NDArray[np.int64]:
    """(G,) the best corner of the object's class at its corner, -1 for none; corners are in the order of scores."""
    there = _near(corners.positions, image_result.record.boxes, low)
    there &= corners.labels[:, None] == image_result.record.labels
    first = there.argmax(axis=0) if len(there) else np.zeros(there.shape[1], np.int64)
    return np.where(there.any(axis=0), first, -1)


def corrected(image_result: ImageResult, diagnosis: Diagnosis, kinds: Collection[ErrorKind]) -> Detections:
    """The detections without errors of these kinds.

    Duplicates, background and boxes of wrongly paired corners are taken away. A box of the wrong class gets the right
    one, a box in the wrong place the object's; so do, with localisation, boxes that are right but not exact. Either
    goes away where the object has been found. A missed object gets the box of its two corners, and a pair's score: a
    corner that was seen has its place and score, one that was not the true place and score 1.
    """
    record, (boxes, scores, labels, names, size) = image_result.record, _parts(image_result.detections)
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
    return Detections(boxes[order], scores[order], labels[order], names, size)


def _parts(found: Detections) -> tuple[Any, ...]:
    return found.boxes.copy(), found.scores.copy(), found.labels.copy(), found.class_names, found.image_size


def _rebuilt(image_result: ImageResult, diagnosis: Diagnosis, g: int) -> tuple[NDArray[np.float32], float]:
    """Box and score of the pair that an object's corners would have made."""
    box, scores = image_result.record.boxes[g].copy(), [1.0, 1.0]
    sides = ((diagnosis.tl_seen[g], image_result.tl), (diagnosis.br_seen[g], image_result.br))
    for side, (seen, corners) in enumerate(sides):
        if seen >= 0:
            box[2 * side : 2 * side + 2], scores[side] = corners.positions[seen], float(corners.scores[seen])
    return box, float(image_result.decoding.score_of(*scores))


@dataclass(frozen=True)
class ErrorCost:
    """What a kind of error costs: by how much ``ap`` and ``ap50`` rise where it is mended alone (fractions).

    ``boxes`` counts the wrong detections of this kind from the threshold up, ``objects`` those missed by it.
    """

    kind: ErrorKind
    ap: float
    ap50: float
    boxes: int
    objects: int


def error_costs(
    image_results: Sequence[ImageResult], truth: dict[str, Any], category_ids: Sequence[int], threshold: float
) -> Iterator[ErrorCost]:
    """The cost of every kind, one after the other; ``truth`` is the sightings' ground truth in COCO's terms.

    The kinds' rises do not add up to what AP lacks: two errors may stand between an object and its box, and wrong
    boxes cost by the right ones that they outrank.
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
