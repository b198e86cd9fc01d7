"""The types that the parts of the package exchange; they have numpy arrays only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import InputError, nearest
from cornernet.later import later

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


class Detection(NamedTuple):
    """One object: ``box`` (4,) x1 y1 x2 y2 in pixels of the image, ``score``, ``label`` and the ``class_name``."""

    box: FloatArray
    score: float
    label: int
    class_name: str


@dataclass(frozen=True, repr=False)
class Detections:
    """What was found in one image.

    ``boxes`` float32 (N, 4): x1 y1 x2 y2 in pixels of the original image, inside it. ``scores`` float32 (N,),
    descending. ``labels`` int64 (N,), indices into ``class_names``. ``image_size`` is (height, width). ``image`` is
    what a detector was called with, for ``draw`` and ``save``; ``stream`` keeps none, so that memory does not grow.
    Raises ``ValueError`` for numbers, labels or an order that cannot be.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    class_names: Sequence[str]
    image_size: tuple[int, int]
    image: Any = field(default=None, compare=False)

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

    def __iter__(self) -> Iterator[Detection]:
        for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True):
            yield Detection(box, float(score), int(label), self.class_names[int(label)])

    @overload
    def __getitem__(self, index: int) -> Detection: ...
    @overload
    def __getitem__(self, index: slice | Sequence[Any] | NDArray[Any]) -> Detections: ...
    def __getitem__(self, index: Any) -> Any:
        """One ``Detection`` for a number; ``Detections`` for a slice, a mask (N,) or a list of numbers.

        The order stays that of the scores. Raises ``IndexError`` for numbers outside, or a mask of another length, and
        ``TypeError`` for anything else: classes are chosen with ``of``.
        """
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            label = int(self.labels[index])
            return Detection(self.boxes[index], float(self.scores[index]), label, self.class_names[label])
        which = index if isinstance(index, slice) else _index_array(index)
        return self._chosen(np.sort(np.arange(len(self))[which]))

    def __repr__(self) -> str:
        counts = Counter(self.class_names[label] for label in self.labels)
        found = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "nothing"
        return f"Detections({found}; image of {self.image_size[1]}x{self.image_size[0]} pixels)"

    def _repr_html_(self) -> str:
        """For notebooks: the picture, if the image is known, and a table."""
        return later("outputs.one_image:as_html")(self)

    def above(self, threshold: float) -> Detections:
        """Those with a score of at least ``threshold``."""
        return self._chosen(self.scores >= threshold)

    def of(self, *classes: str | int) -> Detections:
        """Those of these classes, by names or numbers from 0; ``InputError`` for what is none of ``class_names``."""
        labels = [self._label_of(each) for each in classes]
        return self._chosen(np.isin(self.labels, labels))

    def _label_of(self, given: Any) -> int:
        if given in self.class_names:
            return self.class_names.index(given)
        is_number = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
        if is_number and 0 <= given < len(self.class_names):
            return int(given)
        if isinstance(given, (list, tuple, set)):
            raise InputError("several classes in one", f"of({given!r})", "give them one by one: of(*names)")
        known = f"there are {', '.join(self.class_names)}, or their numbers from 0"
        raise InputError("no such class", given, nearest(str(given), self.class_names, known))

    def draw(
        self, image: Any = None, *, line_width: int | None = None, labels: bool = True, scores: bool = True
    ) -> NDArray[np.uint8]:
        """The image (H, W, 3) RGB with these boxes, their classes (``labels``) and ``scores``.

        ``line_width`` is in pixels, by default as suits the picture. ``image`` is one of those that a detector takes;
        by default the one that it was called with. Raises ``InputError`` if there is none, or if it has another size.
        """
        return later("outputs.one_image:draw_on")(self, image, line_width, labels, scores)

    def save(self, path: str | os.PathLike[str], image: Any = None, *, format: str | None = None, **style: Any) -> Path:
        """Write a picture (.jpg, .png), our JSON (.json) or YOLO's lines (.txt), by the ending; returns the path.

        ``format`` may be ``"coco"``: a COCO file with the scores. Only a picture needs the image, and takes the
        ``style`` of ``draw``.
        Raises ``InputError`` for another ending and for a place that cannot be written to.
        """
        return later("outputs.one_image:save_detections")(self, Path(path), image, format, **style)

    def to_supervision(self) -> Any:
        """The same as ``supervision.Detections``, class names in ``data["class_name"]``.

        Raises ``InputError`` if that package is not installed.
        """
        return _package("supervision").Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.labels.astype(int),
            data={"class_name": np.array([self.class_names[label] for label in self.labels], str)},
        )

    def to_pandas(self) -> Any:
        """A ``pandas.DataFrame`` with a row a box: x1, y1, x2, y2, score, label, class.

        Raises ``InputError`` if pandas is not installed.
        """
        columns: dict[str, Any] = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        columns |= {"score": self.scores, "label": self.labels}
        names = np.array([self.class_names[label] for label in self.labels], object)
        return _package("pandas").DataFrame(columns | {"class": names})

    def as_dicts(self) -> list[dict[str, Any]]:
        """A dictionary for JSON for each detection: ``box`` (x1 y1 x2 y2), ``score``, ``label``, ``class``."""
        return [
            {
                "box": [round(float(v), 3) for v in found.box],
                "score": round(found.score, 5),
                "label": found.label,
                "class": found.class_name,
            }
            for found in self
        ]

    def _chosen(self, keep: NDArray[Any]) -> Detections:
        return replace(self, boxes=self.boxes[keep], scores=self.scores[keep], labels=self.labels[keep])


def _index_array(index: Any) -> NDArray[Any]:
    """A mask or numbers as an array (N,); ``TypeError`` for anything else."""
    array = np.asarray(index) if np.ndim(index) == 1 else None
    if array is not None and array.size == 0:
        return array.astype(int)  # an empty list is one of real numbers to numpy
    if array is None or array.dtype.kind not in "bui":
        raise TypeError(f"detections are indexed by a number, a slice, a mask or a list of numbers, not {index!r}")
    return array


def _package(name: str) -> Any:
    """A package that people have or not; ``InputError`` if it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise InputError(f"{name} is not installed", fix=f"pip install {name}") from None
        raise InputError(f"{name} cannot be loaded ({error})", fix=f"pip install --upgrade {name}") from None


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
