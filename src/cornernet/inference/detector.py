"""The whole road: an image in, boxes out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from cornernet.config import Decoding, Preprocessing
from cornernet.errors import InputError
from cornernet.inference.api import AnyImage, BaseDetector, group_neighbours, to_pixels
from cornernet.inference.explanation import ViewOutput, explain_views
from cornernet.inference.preprocess import to_input
from cornernet.inference.views import View, ViewBatch, batch_views, make_tiling, make_views, pairs_in_image
from cornernet.media.images import Pixels, require_memory, scaled_size, shrink, shrunk_size
from cornernet.model.cornernet import CornerNet, StackOutput, channels_last
from cornernet.model.decode import DecodedMaps, Pairs, decode, pixels_per_cell
from cornernet.model.fuse import fuse
from cornernet.model.soft_nms import MIN_SCORE, soft_nms
from cornernet.structures import Detections, Explanation
from cornernet.weights.zoo import open_weights


class Detector(BaseDetector):
    """A trained network with its preprocessing and class names: call it with images.

    ``flip=True`` looks at the mirror image too, one soft-NMS over both; several ``scales`` look at the image in those
    sizes (each with its mirror where ``flip`` is set), and that soft-NMS merges the boxes. ``max_size`` scales larger
    images down to that many pixels a side, and the boxes back; by default as in training. ``tile`` looks at an image,
    in each scale, in square tiles of that many pixels, neighbours sharing ``tile_overlap`` (a quarter, if not said):
    the network needs memory for a tile, and one soft-NMS joins the boxes of all; see ``views.Tiling``. ``precision``
    may be ``torch.bfloat16`` or ``float16``: the network then computes in it, pairing does not.

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
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        max_size: int | None = None,
        tile: int | None = None,
        tile_overlap: int | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        if precision is not None and model.fused is not None:
            raise ValueError(f"a fused network computes in {model.fused}; give the precision to fuse()")
        self.model, self.class_names, self.preprocessing = model, tuple(class_names), preprocessing
        self.decoding, self.threshold = decoding, threshold
        self.flip, self.scales, self.precision = flip, tuple(scales), precision
        self.max_size = preprocessing.max_size if max_size is None else max_size
        self.tiling = None if tile is None else make_tiling(tile, tile_overlap)
        self.can_explain = self.tiling is None  # tiles have no view of the whole image

    def stream(
        self, images: Iterable[AnyImage], batch_size: int = 1, *, min_score: float = 0.0
    ) -> Iterator[Detections]:
        """Detections one after another, for any number of images; neighbours of one padded size share a batch.

        With tiles, those of one image do. Detections below ``min_score`` are left out; of many tiles, most pairs then
        need no soft-NMS.
        """
        together = 1 if self.tiling else batch_size
        for batch in group_neighbours(map(to_pixels, images), together, self.pass_key):
            yield from self._detect(batch, batch_size, min_score)

    @torch.inference_mode()
    def explain(self, image: AnyImage) -> Explanation:
        """Detections of one image with heatmaps and candidates, for looking; heatmaps are those of the first view.

        Raises ``InputError`` with tiles, which have no view of the whole image.
        """
        if not self.can_explain:
            raise InputError("an explanation is of a view of the whole image", fix="leave --tile out")
        pixels = to_pixels(image)
        small, shrunk = shrink(pixels, self.max_size)
        views = self._views(small)
        seen = [self._look(batch) for batch in batch_views([small], [views], 1, self.preprocessing)]
        found = [_pairs_of(0, each.pairs) for each in seen]
        return explain_views(self._suppress(found, views, pixels, shrunk), seen, shrunk)

    def pass_key(self, image: Pixels) -> Hashable:
        """The input's (height, width) in all scales: images that agree in them can share a batch."""
        small = shrunk_size(image.shape[0], image.shape[1], self.max_size)
        return tuple(self.preprocessing.padded_size(*scaled_size(*small, scale)) for scale in self.scales)

    @torch.inference_mode()
    def _detect(self, images: Sequence[Pixels], batch_size: int, min_score: float) -> list[Detections]:
        """All views of all images through the network, then one soft-NMS for each image."""
        small, shrunk = zip(*(shrink(image, self.max_size) for image in images), strict=True)
        views = [self._views(image) for image in small]
        found: list[list[Pairs]] = [[] for _ in images]
        for batch in batch_views(small, views, batch_size, self.preprocessing):
            pairs = self._look(batch).pairs
            for row, i in enumerate(batch.images):
                found[i].append(_pairs_of(row, pairs))
        return [self._suppress(*each, min_score) for each in zip(found, views, images, shrunk, strict=True)]

    def _views(self, image: Pixels) -> list[View]:
        return make_views(image.shape[0], image.shape[1], self.scales, self.flip, self.tiling)

    def _look(self, batch: ViewBatch) -> ViewOutput:
        """The network's answer to a batch of views, and its pairs in pixels of the images."""
        padded = self.preprocessing.padded_size(*batch.views[0].size)
        with _evaluation_mode(self.model):
            output, shifts = self._forward(batch.pixels, padded)
            decoded = self._decode(output, shifts, padded)
        pairs = pairs_in_image(decoded.pairs, batch.views, clip=self.decoding.clip, stride=self.model.backbone.stride)
        return ViewOutput(pairs, batch.views, output, decoded, shifts, padded)

    def _forward(self, images: Sequence[Pixels], padded: tuple[int, int]) -> tuple[StackOutput, Tensor]:
        """The last stack's output, and the images' (left, top) in the input of ``padded`` (height, width) pixels."""
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
        return "look at it in parts with --tile, or scale it down with --max-size"

    def _decode(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> DecodedMaps:
        """Corners and pairs in pixels of the views, from the network's output for an input of ``padded`` pixels."""
        return decode(output, pixels_per_cell(output, padded), shifts[:, None], self.decoding)

    def _suppress(
        self, found: Sequence[Pairs], views: Sequence[View], image: Pixels, shrunk: float, min_score: float = 0.0
    ) -> Detections:
        """One soft-NMS over the pairs (N,) of all views of an image, whose boxes / ``shrunk`` are in its pixels."""
        names = ("boxes", "scores", "labels", "valid", "tl_scores", "br_scores")
        boxes, scores, labels, valid, *corners = (torch.cat([getattr(v, n) for v in found])[None] for n in names)
        merge = (corners[0], corners[1]) if len(self.scales) > 1 else None
        # Boxes are merged with their rivals, also with those of a lower score.
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
    """For the block, every layer is in evaluation mode; afterwards each one is as it was."""
    # a fused network has no other mode
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
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    max_size: int | None = None,
    tile: int | None = None,
    tile_overlap: int | None = None,
    precision: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Detector:
    """A ``Detector`` from a weights file of any dialect alone, or from a release's name.

    On the GPU where there is one, unless ``device`` says otherwise. A release is fetched on first use, ``progress``
    told (done, total) in bytes. The other options are ``Detector``'s. The network is fused (``model.fuse``): for
    testing alone.
    Raises ``InputError`` where the file is absent, damaged or not weights.
    """
    stored = open_weights(weights, progress=progress)
    try:
        model = stored.build()
    except InputError as error:
        raise error.at(weights) from None
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = fuse(channels_last(model.to(place)), precision or torch.float32)
    return Detector(
        model,
        stored.class_names,
        stored.preprocessing,
        decoding=stored.decoding,
        threshold=stored.threshold,
        flip=flip,
        scales=scales,
        max_size=max_size,
        tile=tile,
        tile_overlap=tile_overlap,
    )
