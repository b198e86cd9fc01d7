"""The outcome of every pair of corners: the steps from corners to boxes again, with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from cornernet.config import Decoding
from cornernet.model.soft_nms import SIGMA, soft_nms
from cornernet.structures import Explanation, FloatArray, IntArray

Outcome = Literal["box", "class", "position", "distance", "candidates", "score", "suppressed", "boxes", "outside"]


@dataclass(frozen=True)
class Pair:
    """A top-left and a bottom-right corner, as ranks among the best corners, and their outcome.

    ``score`` is the pair's by ``Decoding.score_of``, ``distance`` the pairing rule's. ``outcome`` is the first that
    applies:

    - ``class``: the corners are of two classes;
    - ``position``: the bottom-right corner is not right of and below the top-left one;
    - ``distance``: the distance is more than ``Decoding.max_distance``;
    - ``candidates``: the score is not among the best ``Decoding.num_candidates``;
    - ``score``: the score is below the threshold;
    - ``suppressed``: soft-NMS lowered it to ``final``, below the threshold, mostly because of its overlap ``iou`` with
      the box ``by``;
    - ``outside``: nothing of the box lies inside the image;
    - ``boxes``: ``Decoding.num_boxes`` others have a better score;
    - ``box``: it is a box of the result.

    ``number`` and ``by`` are numbers of the result's boxes, from 1; ``by`` is ``None`` for a box below the threshold.
    ``final``, the score after soft-NMS, is ``None`` for a pair that was rejected before, ``iou`` if no box overlaps it.
    """

    tl: int
    br: int
    outcome: Outcome
    score: float
    distance: float
    final: float | None = None
    number: int | None = None
    by: int | None = None
    iou: float | None = None

    @property
    def could_be(self) -> bool:
        """Whether the corners have one class and the right positions."""
        return self.outcome not in ("class", "position")


class PairOutcomes:
    """Every pair of the best corners of an image in one view, with its outcome.

    ``boxes`` are the pairs of the detections of at least ``threshold``, in their order. ``scale`` is the image's scale
    by ``BaseDetector.max_size``. Raises ``ValueError`` for an explanation of several views.
    """

    def __init__(self, seen: Explanation, decoding: Decoding, threshold: float, scale: float = 1.0) -> None:
        if seen.candidates.views.any():
            raise ValueError("pairs are explained of one view: without flip and scales")
        self.seen, self.decoding, self.threshold = seen, decoding, threshold
        self.tl, self.br = seen.tl_corners, seen.br_corners
        self._plus_one = decoding.plus_one / scale
        found = seen.candidates
        tensors = (torch.as_tensor(column)[None] for column in (found.boxes, found.scores, found.labels))
        kept = soft_nms(*tensors, plus_one=self._plus_one)
        is_kept = kept.valid[0].numpy()
        self._kept: IntArray = kept.chosen[0].numpy()[is_kept]
        self._rank = {int(candidate): rank for rank, candidate in enumerate(self._kept)}
        self._candidate = _candidates_of_pairs(seen)
        shown = kept.scores[0].numpy()[is_kept] >= threshold
        self._number: dict[int, int] = {}
        for candidate in self._kept[shown]:
            if self._is_inside(found.boxes[candidate]):
                self._number[int(candidate)] = len(self._number) + 1
        pair_of = {candidate: pair for pair, candidate in self._candidate.items()}
        self.boxes = [self.pair(*pair_of[candidate]) for candidate in self._number]

    def pair(self, tl: int, br: int) -> Pair:
        """The pair of the ``tl``-th best top-left and the ``br``-th best bottom-right corner."""
        score = float(self.decoding.score_of(self.tl.scores[tl], self.br.scores[br]))
        distance = float(self.seen.distances[tl, br])
        candidate = self._candidate.get((tl, br))
        if candidate is not None:
            return self._suppressed(tl, br, candidate, score, distance)
        if self.tl.labels[tl] != self.br.labels[br]:
            outcome = "class"
        elif not (self.br.positions[br] > self.tl.positions[tl]).all():
            outcome = "position"
        else:
            outcome = "distance" if distance > self.decoding.max_distance else "candidates"
        return Pair(tl, br, outcome, score, distance)

    def rivals(self, box: Pair, most: int = 3) -> list[Pair]:
        """Other pairs of a box's two corners, at most ``most`` for each corner: likely ones first, by score."""
        with_tl = [self.pair(box.tl, br) for br in range(len(self.br)) if br != box.br]
        with_br = [self.pair(tl, box.br) for tl in range(len(self.tl)) if tl != box.tl]
        for side in (with_tl, with_br):
            side.sort(key=lambda pair: (not pair.could_be, -pair.score))
        return with_tl[:most] + with_br[:most]

    def around(self, x: float, y: float, most: int = 5) -> list[Pair]:
        """The nearest pairs around a point in pixels of the image, with a corner to its top left and its bottom right.

        A corner's distance from the point is divided by its score. A pair's distance is the sum of both, and twice the
        sum if the classes differ.
        """
        tl_away = _weighted_distance(np.array([x, y]) - self.tl.positions, self.tl.scores)
        br_away = _weighted_distance(self.br.positions - np.array([x, y]), self.br.scores)
        away = tl_away[:, None] + br_away
        away = np.where(self.tl.labels[:, None] == self.br.labels, away, 2 * away)
        nearest = [index for index in away.argsort(axis=None, kind="stable")[:most] if np.isfinite(away.flat[index])]
        return [self.pair(*(int(i) for i in np.unravel_index(index, away.shape))) for index in nearest]

    def box(self, pair: Pair) -> FloatArray:
        """(4,) x1 y1 x2 y2 in pixels of the image: the pair's corners, in any position."""
        return np.concatenate([self.tl.positions[pair.tl], self.br.positions[pair.br]])

    def labels(self, pair: Pair) -> tuple[int, int]:
        """The classes of both corners."""
        return int(self.tl.labels[pair.tl]), int(self.br.labels[pair.br])

    def _suppressed(self, tl: int, br: int, candidate: int, score: float, distance: float) -> Pair:
        """The outcome of a pair that was an input of soft-NMS."""
        found, rank = self.seen.candidates, self._rank.get(candidate, len(self._kept))
        rivals = self._kept[:rank]
        rivals = rivals[found.labels[rivals] == found.labels[candidate]]
        ious = _iou(found.boxes[candidate], found.boxes[rivals], self._plus_one)
        final = score * float(np.exp(-(ious**2).sum() / SIGMA))
        number, by, iou = self._number.get(candidate), None, None
        if ious.any():
            strongest = int(ious.argmax())
            by, iou = self._number.get(int(rivals[strongest])), float(ious[strongest])
        if number is not None:
            outcome = "box"
        elif score < self.threshold:
            outcome = "score"
        elif final < self.threshold:
            outcome = "suppressed"
        else:
            outcome = "boxes" if candidate not in self._rank else "outside"
        return Pair(tl, br, outcome, score, distance, final, number, by, iou)

    def _is_inside(self, box: FloatArray) -> bool:
        """Whether a part of a box is inside the image."""
        height, width = self.seen.detections.image_size
        x1, y1, x2, y2 = np.clip(box, 0, [width, height, width, height])
        return bool(x2 > x1 and y2 > y1)


def _candidates_of_pairs(seen: Explanation) -> dict[tuple[int, int], int]:
    """The index of the candidate of each pair of corners that is one."""
    found = seen.candidates
    ranks = [
        {(int(label), *map(int, cell)): i for i, (label, cell) in enumerate(zip(each.labels, each.cells, strict=True))}
        for each in (seen.tl_corners, seen.br_corners)
    ]
    rows = zip(found.labels, found.tl_cells, found.br_cells, strict=True)
    return {
        (ranks[0][int(label), *map(int, tl)], ranks[1][int(label), *map(int, br)]): i
        for i, (label, tl, br) in enumerate(rows)
    }


def _weighted_distance(away: FloatArray, scores: FloatArray) -> FloatArray:
    """(K,) distance / score of corners ``away`` (K, 2) pixels from a point, infinite on the wrong side of it."""
    return np.where((away >= 0).all(axis=1), np.hypot(*away.T) / np.maximum(scores, 1e-6), np.inf)


def _iou(box: FloatArray, others: FloatArray, plus: float) -> FloatArray:
    """(N,) IoU of a box with (N, 4) others as in soft-NMS, with ``plus`` pixels added to all widths and heights."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]) + plus
    shared = np.maximum(sides, 0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2] + plus).prod(axis=1) + (box[2:] - box[:2] + plus).prod()
    return shared / np.maximum(areas - shared, 1e-9)
