"""The types that the parts of the package exchange; they have numpy arrays only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import InputError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Candidates:
    """Paired corners of one image, before soft-NMS, best first.

    ``boxes`` (N, 4) x1 y1 x2 y2 in pixels of the image; ``scores`` (N,) of the pairs, by ``Decoding.score_of``;
    ``labels`` (N,); ``tl_scores`` and ``br_scores`` (N,) of the two corners; ``tl_cells`` and ``br_cells`` (N, 2) as
    (row, column) of the heatmap; ``distances`` (N,) of the two corners by the pairing rule; ``views`` (N,) the index of
    the view that found it: 0 is the image itself, with flip 1 is its mirror, several scales have two views each.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    tl_scores: FloatArray
    br_scores: FloatArray
    tl_cells: IntArray
    br_cells: IntArray
    distances: FloatArray
    views: IntArray

    def __len__(self) -> int:
        return len(self.boxes)

    def nearest(self, box: FloatArray, label: int, image_size: tuple[int, int]) -> tuple[int, float]:
        """The index of the candidate with the detection's ``label`` and the nearest ``box`` (4,), and the difference.

        The difference is the largest of the four sides in pixels, with boxes clipped to the image as detections are. It
        is infinite if no candidate has the label, and not 0 for several scales, whose boxes are merged. Needs at least
        one candidate.
        """
        height, width = image_size
        differences = np.abs(np.clip(self.boxes, 0, [width, height, width, height]) - box).max(axis=1)
        differences[self.labels != label] = np.inf
        index = int(differences.argmin())
        return index, float(differences[index])


@dataclass(frozen=True)
class PairingWords:
    """How people and programs are shown the values that a pairing rule predicts at each corner.

    ``name`` is their key in JSON and their name among exported maps. ``form`` is the format of one corner's values, and
    ``legend`` explains it. ``differ`` says what a large distance means; the distance follows it.
    """

    name: str
    legend: str
    form: str
    differ: str


@dataclass(frozen=True)
class CornerPoints:
    """The best corners of one kind in one view of an image, best first.

    ``positions`` (K, 2) x, y in pixels of the image; ``scores`` and ``labels`` (K,); ``cells`` (K, 2) as (row, column)
    of the heatmap. ``values`` (K, D) is what each corner predicts for pairing, such as an embedding, or a width and a
    height in pixels of the image; ``words`` describes them.
    """

    positions: FloatArray
    scores: FloatArray
    labels: IntArray
    cells: IntArray
    values: FloatArray
    words: PairingWords

    def __len__(self) -> int:
        return len(self.scores)

    def text(self, index: int) -> str:
        """A corner's values for people: ``"e +0.52"``, ``"32x16"``."""
        return self.words.form.format(*self.values[index])

    def as_dict(self, index: int, digits: int) -> dict[str, Any]:
        """A corner's values for JSON, rounded: one number, or a list of them, under the name of the values."""
        values = [round(float(value), digits) for value in self.values[index]]
        return {self.words.name: values[0] if len(values) == 1 else values}


@dataclass(frozen=True)
class Detections:
    """What was found in one image.

    ``boxes`` float32 (N, 4): x1 y1 x2 y2 in pixels of the original image, inside it. ``scores`` float32 (N,),
    descending. ``labels`` int64 (N,), indices into ``class_names``. ``image_size`` is (height, width).
    Raises ``ValueError`` for numbers, labels or an order that cannot be.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    class_names: Sequence[str]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "boxes", np.asarray(self.boxes, np.float32).reshape(-1, 4))
        set_(self, "scores", np.asarray(self.scores, np.float32).reshape(-1))
        set_(self, "labels", np.asarray(self.labels, np.int64).reshape(-1))
        set_(self, "class_names", tuple(self.class_names))
        counts = len(self.boxes), len(self.scores), len(self.labels)
        if len(set(counts)) > 1:
            raise ValueError("{} boxes, {} scores and {} labels do not match".format(*counts))
        if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise ValueError(f"a label lies outside the {len(self.class_names)} class names")
        if np.any(np.diff(self.scores) > 0):
            raise ValueError("scores must descend")

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, threshold: float) -> Detections:
        """Those with a score of at least ``threshold``."""
        keep = self.scores >= threshold
        return Detections(self.boxes[keep], self.scores[keep], self.labels[keep], self.class_names, self.image_size)

    def to_supervision(self) -> Any:
        """The same as ``supervision.Detections``, class names in ``data["class_name"]``.

        Raises ``InputError`` if that package is not installed.
        """
        try:
            supervision = import_module("supervision")
        except ImportError:
            raise InputError("supervision is not installed: pip install supervision") from None
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.labels.astype(int),
            data={"class_name": np.array([self.class_names[label] for label in self.labels], str)},
        )

    def as_dicts(self) -> list[dict[str, Any]]:
        """A dictionary for JSON for each detection: ``box`` (x1 y1 x2 y2), ``score``, ``label``, ``class``."""
        return [
            {
                "box": [round(float(v), 3) for v in box],
                "score": round(float(score), 5),
                "label": int(label),
                "class": self.class_names[label],
            }
            for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True)
        ]


@dataclass(frozen=True)
class Explanation:
    """What the network saw: both corner heatmaps (h, w) as probabilities, the maximum over classes.

    They cover the padded input of ``padded_size`` (height, width) pixels. The image has ``view_size`` (height, width)
    there and lies at ``offset`` (top, left). ``candidates`` are all pairs before soft-NMS. ``tl_corners`` and
    ``br_corners`` are the best corners of each kind, paired or not, and ``distances`` (K, M) those of every pair of
    them by the pairing rule. Heatmaps and corners are those of the first view.
    """

    detections: Detections
    candidates: Candidates
    tl_heatmap: FloatArray
    br_heatmap: FloatArray
    offset: tuple[int, int]
    view_size: tuple[int, int]
    padded_size: tuple[int, int]
    tl_corners: CornerPoints
    br_corners: CornerPoints
    distances: FloatArray
