"""The types that travel between the parts: numpy only, validated, shapes and units said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cornernet.errors import InputError

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

# the parts of the loss: our names, and those in OpenMMLab's logs
OPENMMLAB_LOSSES = {"heatmap": "det_loss", "offset": "off_loss", "pull": "pull_loss", "push": "push_loss"}

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input; every weights file carries its own (they differ).

    ``mean`` and ``std`` are in units of 0..255 and in the order of ``color_order``. An image is padded, never
    resized: to ``height | pad_mask`` by ``width | pad_mask`` (480x640 with 127 becomes 511x767), image in the middle.
    With a ``pad_multiple`` it is to the next multiples of that instead, so that a cell of the heatmaps is exactly as
    many pixels at test as in training, which the classic rule misses by a part in 200.
    ``padding`` says with what: ``"mean"`` is 0 after normalising, ``"black"`` is 0 before it. Where there is a
    ``max_size``, images with a longer side are scaled down to that many pixels first, in training as at test, and the
    boxes found are scaled back.
    """

    color_order: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    padding: Literal["mean", "black"] = "mean"
    pad_mask: int = 127
    pad_multiple: int | None = None
    max_size: int | None = None

    def __post_init__(self) -> None:
        if self.color_order not in ("RGB", "BGR"):
            raise ValueError(f"color_order must be RGB or BGR, not {self.color_order!r}")
        if self.padding not in ("mean", "black"):
            raise ValueError(f"padding must be 'mean' or 'black', not {self.padding!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std need three values each, std above 0")
        if self.pad_mask < 0 or self.pad_mask & (self.pad_mask + 1):
            raise ValueError(f"pad_mask must be a power of two less one, not {self.pad_mask}")
        if self.pad_multiple is not None and self.pad_multiple < 1:
            raise ValueError(f"pad_multiple must be at least 1 pixel, not {self.pad_multiple}")
        if self.max_size is not None and self.max_size < 1:
            raise ValueError(f"max_size must be at least 1 pixel, not {self.max_size}")

    @property
    def fill_rgb(self) -> tuple[float, float, float]:
        """The colour that padding stands for, as R, G, B in 0..255."""
        if self.padding == "black":
            return 0.0, 0.0, 0.0
        first, second, third = self.mean
        return (first, second, third) if self.color_order == "RGB" else (third, second, first)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input for an image, in pixels."""
        return self._padded(height), self._padded(width)

    def _padded(self, length: int) -> int:
        """In sums and quotients alone, which exporters know; ``length | pad_mask`` they do not."""
        if self.pad_multiple is None:
            return length // (self.pad_mask + 1) * (self.pad_mask + 1) + self.pad_mask
        return (length + self.pad_multiple - 1) // self.pad_multiple * self.pad_multiple

    def offset_of(self, height: int, width: int) -> tuple[int, int]:
        """Where the image's top left pixel lies inside the padded input: (top, left), in pixels."""
        padded_height, padded_width = self.padded_size(height, width)
        return (padded_height // 2 - height // 2, padded_width // 2 - width // 2)


@dataclass(frozen=True)
class Decoding:
    """How maps become boxes; every weights file carries its own (they differ). Defaults: paper, section 4.2.

    The best ``num_corners`` of each kind are paired where their embeddings differ by at most ``max_distance`` (or, in a
    network that pairs by size, the logarithms of the sizes that they say and have, on average); the
    best ``num_candidates`` pairs go on to soft-NMS. A pair's score is the ``"mean"`` of its corners' or their
    ``"harmonic"`` mean, which is low where either is (``pair_score``). The authors' code clips candidates to the image
    before soft-NMS (``clip``) and counts overlaps in boxes one pixel wider and higher (``plus_one``). At most
    ``num_boxes`` are kept: COCO's 100, or as many as there are corners where that is more.
    """

    num_corners: int = 100
    num_candidates: int = 1000
    max_distance: float = 0.5
    pair_score: Literal["mean", "harmonic"] = "mean"
    clip: bool = False
    plus_one: bool = False

    def __post_init__(self) -> None:
        if self.num_corners < 1 or self.num_candidates < 1 or self.max_distance < 0:
            raise ValueError(f"decoding needs at least one corner and candidate and no negative distance: {self}")
        if self.pair_score not in ("mean", "harmonic"):
            raise ValueError(f"pair_score is mean or harmonic, not {self.pair_score}")

    @property
    def num_boxes(self) -> int:
        """How many boxes soft-NMS keeps at most, of an image or a tile."""
        return max(100, self.num_corners)

    def score_of(self, tl: Any, br: Any) -> Any:
        """A pair's score from those of its top-left and its bottom-right corner: numbers, arrays or tensors."""
        return (tl + br) / 2 if self.pair_score == "mean" else 2 * tl * br / (tl + br + 1e-12)


@dataclass(frozen=True)
class LossSettings:
    """What each part of the loss counts in the sum that is minimised; the defaults are the paper's (section 4.1).

    ``normalize`` says what the parts are divided by. ``"device"``, the classic way: by the corners in each device's own
    batch, and pull and push are summed over its images, so that they depend on how images are spread over devices.
    ``"world"``: by the corners, and for pull and push the images, of all devices together. ``penalty_reduction`` says
    how far around a corner the heatmap's penalty is lowered: as far as the object's size allows (``"object"``), 2.5
    cells (``"fixed"``), nowhere (``"none"``); the last two are the paper's comparison (section 4.4.3).
    ``around`` says how many cells away from a corner offsets and embeddings are learnt too. 0 is the paper's; with 1 a
    peak that is a cell off still knows where the corner is and what it belongs to. At test nothing changes.
    ``size`` counts instead of pull and push in networks that pair by size; it is logged as pull, push is 0 there.
    """

    heatmap: float = 1.0
    offset: float = 1.0
    pull: float = 0.1
    push: float = 0.1
    size: float = 1.0
    around: int = 0
    normalize: Literal["device", "world"] = "device"
    penalty_reduction: Literal["object", "fixed", "none"] = "object"

    def __post_init__(self) -> None:
        if self.normalize not in ("device", "world"):
            raise ValueError(f"normalize must be device or world, not {self.normalize!r}")
        if self.penalty_reduction not in ("object", "fixed", "none"):
            raise ValueError(f"penalty_reduction must be object, fixed or none, not {self.penalty_reduction!r}")
        if min(self.heatmap, self.offset, self.pull, self.push, self.size, self.around) < 0:
            raise ValueError("loss weights, and cells around a corner, must be 0 or more")


@dataclass(frozen=True)
class Architecture:
    """The network in numbers: everything needed to build it, and all of it follows from a weights file.

    ``channels`` (depth + 1 of them) and ``blocks`` (likewise) go from the outermost level of an hourglass to the
    innermost. The defaults are HourglassNet-104 of the paper (section 3.5); ``corner_channels`` is the width inside
    a corner module's pooling paths, ``branch_channels`` that of the output branches' hidden layer and
    ``branch_kernel`` the size of its convolution. ``backbone`` ``"squeeze"`` is CornerNet-Squeeze's. Without
    ``corner_pooling`` the layers around it stay and nothing is pooled: the paper's comparison (section 4.4.1).
    ``pooling_reach`` is how many cells, of four pixels, a pool is over at most. The paper's pools go to the image's
    edge, ``None``; a network trained on crops then meets larger maxima in whole images than it ever saw. ``pairing`` is
    what says that two corners are of one object: the paper's ``"embedding"`` or the object's ``"size"``.
    """

    num_stacks: int = 2
    channels: tuple[int, ...] = (256, 256, 384, 384, 384, 512)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 2, 4)
    feature_channels: int = 256
    corner_channels: int = 128
    branch_channels: int = 256
    branch_kernel: Literal[1, 3] = 3
    backbone: Literal["hourglass", "squeeze"] = "hourglass"
    corner_pooling: bool = True
    pooling_reach: int | None = None
    pairing: Literal["embedding", "size"] = "embedding"

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if self.backbone not in ("hourglass", "squeeze") or self.branch_kernel not in (1, 3):
            raise ValueError(f"backbone must be hourglass or squeeze and branch_kernel 1 or 3: {self}")
        if self.pairing not in ("embedding", "size"):
            raise ValueError(f"pairing must be embedding or size, not {self.pairing!r}")
        if self.pooling_reach is not None and self.pooling_reach < 1:
            raise ValueError(f"pooling_reach must be at least 1 cell, not {self.pooling_reach}")
        if len(self.channels) != len(self.blocks) or len(self.channels) < 2:
            raise ValueError(
                f"channels and blocks need one entry per level, at least two levels: {self.channels} and {self.blocks}"
            )
        numbers = (*self.channels, *self.blocks, self.num_stacks, self.feature_channels)
        if min(*numbers, self.corner_channels, self.branch_channels) < 1 or self.channels[0] % 2:
            raise ValueError(f"every number must be at least 1 and the first channel count even: {self}")

    @property
    def depth(self) -> int:
        """Levels of an hourglass: how often it halves its input."""
        return len(self.channels) - 1


@dataclass(frozen=True)
class Candidates:
    """Paired corners of one image, before soft-NMS, best first.

    ``boxes`` (N, 4) x1 y1 x2 y2 in pixels of the image; ``scores`` (N,) of the pairs, by ``Decoding.score_of``;
    ``labels`` (N,); ``tl_scores`` and ``br_scores`` (N,) of the two corners; ``tl_cells`` and ``br_cells`` (N, 2) as
    (row, column) of the heatmap; ``distances`` (N,) of the corners from one object; ``views`` (N,) the index of the
    view that found it: 0 the image itself, with flip 1 its mirror, with several scales two for each scale.
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
        """The one behind a detection, of its label and with the nearest box (4,), and how far off that is.

        Boxes are clipped to the image, as detections are. In pixels, infinite where none has the label; of several
        scales, whose boxes are merged, not 0. Needs at least one candidate.
        """
        height, width = image_size
        apart = np.abs(np.clip(self.boxes, 0, [width, height, width, height]) - box).max(axis=1)
        apart[self.labels != label] = np.inf
        index = int(apart.argmin())
        return index, float(apart[index])


@dataclass(frozen=True)
class CornerPoints:
    """The best corners of one kind in one view of an image, best first.

    ``positions`` (K, 2) x, y in pixels of the image; ``scores`` and ``labels`` (K,); ``cells`` (K, 2) as (row, column)
    of the heatmap. One of two is there, as the network pairs: ``embeddings`` (K,), or ``sizes`` (K, 2), width and
    height in pixels of the image that the corner's object has by its word.
    """

    positions: FloatArray
    scores: FloatArray
    labels: IntArray
    cells: IntArray
    embeddings: FloatArray | None = None
    sizes: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Detections:
    """What was found in one image.

    ``boxes`` float32 (N, 4): x1 y1 x2 y2 in pixels of the original image, inside it. ``scores`` float32 (N,),
    descending. ``labels`` int64 (N,), indices into ``class_names``. ``image_size`` is (height, width).
    Raises ``ValueError`` where shapes or labels disagree.
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
        if not len(self.boxes) == len(self.scores) == len(self.labels):
            raise ValueError(
                f"{len(self.boxes)} boxes, {len(self.scores)} scores and {len(self.labels)} labels do not match"
            )
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

        Raises ``InputError`` where that package is not installed.
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
        """One JSON-ready dictionary a detection: ``box`` (x1 y1 x2 y2), ``score``, ``label``, ``class``."""
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
    """What the network saw: both corner heatmaps (h, w), the maximum over classes, as probabilities.

    They cover the padded input of ``padded_size`` (height, width) pixels, in which the image, as large as
    ``view_size`` (height, width), lies at ``offset`` (top, left). ``candidates`` are all pairs before soft-NMS.
    ``tl_corners`` and ``br_corners`` are the best of each kind, paired or not; as the heatmaps, those of the first
    view. ``distances`` (K, M): how far each two of them are from being one object's.
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
