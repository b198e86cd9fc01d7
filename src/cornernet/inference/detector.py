"""From an image to boxes, with the network in PyTorch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from cornernet.config import Decoding, Preprocessing
from cornernet.devices import find_device
from cornernet.errors import InputError
from cornernet.inference.api import AnyImage, BaseDetector, all_pixels, group_neighbours, to_pixels
from cornernet.inference.explanation import ViewOutput, explain_views
from cornernet.inference.preprocess import to_input
from cornernet.inference.views import View, ViewBatch, batch_views, make_tiling, make_views, pairs_in_image
from cornernet.media.images import Pixels, require_memory
from cornernet.media.scaling import scaled_size, shrink, shrunk_size
from cornernet.model.cornernet import CornerNet, StackOutput, channels_last
from cornernet.model.decode import DecodedMaps, Pairs, decode, pixels_per_cell
from cornernet.model.fuse import fuse
from cornernet.model.soft_nms import MIN_SCORE, soft_nms
from cornernet.structures import Detections, Explanation
from cornernet.waiting import adapt_waiting
from cornernet.weights.zoo import open_weights


class ViewOptions(TypedDict, total=False):
    """The options of ``Detector`` that choose the views of an image; it has their defaults."""

    flip: bool
    scales: Sequence[float]
    max_size: int | None
    tile: int | None
    tile_overlap: int | None


class Detector(BaseDetector):
    """A trained network with its preprocessing and class names: call it with images.

    With ``flip`` it also detects in the mirror image, and one soft-NMS takes the boxes of both. With several ``scales``
    it detects in the image at these sizes (also mirrored with ``flip``), and soft-NMS merges the boxes. Images with a
    side longer than ``max_size`` pixels are scaled down, and their boxes back; by default as in training. ``tile``
    cuts the image, at each scale, into tiles of that many pixels, which overlap by ``tile_overlap`` (by default a
    quarter): the network needs memory for one tile, and one soft-NMS takes the boxes of all (``views.Tiling``).
    ``precision`` may be ``torch.bfloat16`` or ``float16``: the network computes in it, pairing does not.

    The model may be in training: it is in evaluation mode only while a detector computes.
    """

    def __init__(
        self,
        model: CornerNet,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        *,
        decoding: Decoding = Decoding(),
        threshold: float = 0.3,
        precision: torch.dtype | None = None,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        max_size: int | None = None,
        tile: int | None = None,
        tile_overlap: int | None = None,
    ) -> None:
        if precision is not None and model.fused is not None:
            raise ValueError(f"a fused network computes in {model.fused}; give the precision to fuse()")
        self.model, self.class_names, self.preprocessing = model, tuple(class_names), preprocessing
        self.decoding, self.threshold = decoding, threshold
        self.flip, self.scales, self.precision = flip, tuple(scales), precision
        self.max_size = preprocessing.max_size if max_size is None else max_size
        self.tiling = None if tile is None else make_tiling(tile, tile_overlap)
        self.can_explain = self.tiling is None  # tiles have no view of the whole image
        adapt_waiting()

    def stream(
        self, images: Iterable[AnyImage], batch_size: int = 1, *, min_score: float = 0.0
    ) -> Iterator[Detections]:
        """Detections one after another, for any number of images; neighbours of one padded size share a batch.

        With tiles, a batch has tiles of one image. Detections below ``min_score`` are left out; with many tiles this
        removes most pairs before soft-NMS.
        """
        together = 1 if self.tiling else batch_size
        for batch in group_neighbours(all_pixels(images), together, self.pass_key):
            yield from self._detect(batch, batch_size, min_score)

    @torch.inference_mode()
    def explain(self, image: AnyImage) -> Explanation:
        """Detections of one image with heatmaps and candidates; the heatmaps are those of the first view.

        Raises ``InputError`` with tiles, which have no view of the whole image.
        """
        if not self.can_explain:
            raise InputError("an explanation is of a view of the whole image", fix="leave --tile out")
        pixels = to_pixels(image)
        small, shrunk = shrink(pixels, self.max_size)
        views = self._views(small)
        outputs = [self._run(batch) for batch in batch_views([small], [views], 1, self.preprocessing)]
        found = [_pairs_of(0, each.pairs) for each in outputs]
        return explain_views(self._suppress(found, views, pixels, shrunk), outputs, shrunk)

    def pass_key(self, image: Pixels) -> Hashable:
        """The input's (height, width) in all scales."""
        small = shrunk_size(image.shape[0], image.shape[1], self.max_size)
        return tuple(self.preprocessing.padded_size(*scaled_size(*small, scale)) for scale in self.scales)

    @torch.inference_mode()
    def _detect(self, images: Sequence[Pixels], batch_size: int, min_score: float) -> list[Detections]:
        """All views of all images through the network, then one soft-NMS for each image."""
        small, shrunk = zip(*(shrink(image, self.max_size) for image in images), strict=True)
        views = [self._views(image) for image in small]
        found: list[list[Pairs]] = [[] for _ in images]
        for batch in batch_views(small, views, batch_size, self.preprocessing):
            pairs = self._run(batch).pairs
            for row, i in enumerate(batch.images):
                found[i].append(_pairs_of(row, pairs))
        return [self._suppress(*each, min_score) for each in zip(found, views, images, shrunk, strict=True)]

    def _views(self, image: Pixels) -> list[View]:
        return make_views(image.shape[0], image.shape[1], self.scales, self.flip, self.tiling)

    def _run(self, batch: ViewBatch) -> ViewOutput:
        """The network's output for a batch of views, and its pairs in pixels of the images."""
        padded = self.preprocessing.padded_size(*batch.views[0].size)
        with _evaluation_mode(self.model):
            output, shifts = self._forward(batch.pixels, padded)
            decoded = self._decode(output, shifts, padded)
        pairs = pairs_in_image(decoded.pairs, batch.views, clip=self.decoding.clip, stride=self.model.backbone.stride)
        return ViewOutput(pairs, batch.views, output, decoded, shifts, padded)

    def _forward(self, images: Sequence[Pixels], padded: tuple[int, int]) -> tuple[StackOutput, Tensor]:
        """The network's last output, and the images' (left, top) in the input of ``padded`` (height, width) pixels."""
        parameter = next(self.model.parameters())
        if parameter.device.type == "cpu":
            require_memory(*padded, self.model.bytes_per_pixel * len(images), "image", self._memory_fix)
        try:
            pixels, shifts = to_input(images, self.preprocessing, parameter.device)
            with torch.autocast(parameter.device.type, self.precision, enabled=self.precision is not None):
                return self.model(pixels, last_only=True)[-1], shifts
        except torch.OutOfMemoryError:
            what = f"{len(images)} x {padded[0]}x{padded[1]} pixels (height x width)"
            raise InputError(f"the GPU's memory is too small for {what}", "image", self._memory_fix) from None

    @property
    def _memory_fix(self) -> str:
        if self.tiling:
            return "make the tiles smaller with --tile, or fewer at once with --batch-size"
        return "cut it into tiles with --tile, or scale it down with --max-size"

    def _decode(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> DecodedMaps:
        """Corners and pairs in pixels of the views, from the network's output for an input of ``padded`` pixels."""
        return decode(output, pixels_per_cell(output, padded), shifts[:, None], self.decoding)

    def _suppress(
        self, found: Sequence[Pairs], views: Sequence[View], image: Pixels, shrunk: float, min_score: float = 0.0
    ) -> Detections:
        """One soft-NMS over the pairs (N,) of all views of an image; boxes / ``shrunk`` are in its pixels."""
        names = ("boxes", "scores", "labels", "valid", "tl_scores", "br_scores")
        boxes, scores, labels, valid, *corners = (torch.cat([getattr(v, n) for v in found])[None] for n in names)
        merge = (corners[0], corners[1]) if len(self.scales) > 1 else None
        # Boxes of lower scores are merged too.
        lowest = MIN_SCORE if merge else max(min_score, MIN_SCORE)
        tiles = max(Counter((view.scale, view.mirrored) for view in views).values())
        limit, plus_one = self.decoding.num_boxes * tiles, float(self.decoding.plus_one)
        kept = soft_nms(
            boxes, scores, labels, valid, min_score=lowest, limit=limit, plus_one=plus_one, corner_scores=merge
        )
        keep, (height, width) = kept.valid[0], image.shape[:2]
        limits = np.array([width, height, width, height], np.float32)
        inside = (kept.boxes[0][keep] / shrunk).numpy().clip(0, limits)
        solid = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
        score, label = kept.scores[0][keep].numpy(), labels[0].cpu()[kept.chosen[0][keep]].numpy()
        result = Detections(inside[solid], score[solid], label[solid], self.class_names, (height, width))
        return result.above(min_score) if merge else result


def _pairs_of(row: int, pairs: Pairs) -> Pairs:
    """The pairs of one view of a batch."""
    return Pairs(*(column[row] for column in pairs))


@contextmanager
def _evaluation_mode(model: CornerNet) -> Iterator[None]:
    """For the block, all layers are in evaluation mode; afterwards each has the mode it had before."""
    # a fused network is always in evaluation mode
    training = [] if model.fused else [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def load_detector(
    weights: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    precision: torch.dtype | None = None,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[ViewOptions],
) -> Detector:
    """A ``Detector`` from a weights file of any dialect, or from a release's name. ``options`` are ``Detector``'s.

    It runs on the GPU if there is one, or on ``device``. ``threshold`` replaces the weights' own. A release is fetched
    on first use; ``progress`` gets (done, total) in bytes. The network is fused (``model.fuse``), so it is for testing
    only.
    Raises ``InputError`` if the file is absent, damaged or has no weights.
    """
    stored = open_weights(weights, progress=progress)
    try:
        model = stored.build()
    except InputError as error:
        raise error.at(weights) from None
    place = torch.device(device) if isinstance(device, torch.device) else find_device(device)
    model = fuse(channels_last(model.to(place)), precision or torch.float32)
    lowest = stored.threshold if threshold is None else threshold
    names, decoding = stored.class_names, stored.decoding
    return Detector(model, names, stored.preprocessing, decoding=decoding, threshold=lowest, **options)
