"""The whole road: an image in, boxes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from cornernet.corners.pair import Pairs, corner_positions, pair_corners
from cornernet.corners.peaks import top_corners
from cornernet.corners.soft_nms import soft_nms
from cornernet.data.images import read_image, require_memory, resize, scaled_size, shrink, to_rgb
from cornernet.data.pad import to_input
from cornernet.errors import InputError
from cornernet.network.cornernet import CornerNet, StackOutput, channels_last
from cornernet.network.fused import fuse
from cornernet.structures import Candidates, Decoding, Detections, Preprocessing
from cornernet.weights.zoo import open_weights


@dataclass(frozen=True)
class Explanation:
    """What the network saw: both corner heatmaps (h, w), the maximum over classes, as probabilities.

    They cover the padded input of ``padded_size`` (height, width) pixels, in which the image lies at ``offset``
    (top, left). ``candidates`` are all pairs before soft-NMS.
    """

    detections: Detections
    candidates: Candidates
    tl_heatmap: np.ndarray
    br_heatmap: np.ndarray
    offset: tuple[int, int]
    padded_size: tuple[int, int]


class Look(NamedTuple):
    """One view of a batch: pairs in pixels of the images, and where they come from."""

    pairs: Pairs
    output: StackOutput
    shifts: Tensor
    padded_size: tuple[int, int]


class Detector:
    """A trained network with its preprocessing and class names: call it with images.

    ``flip=True`` looks at the mirror image too, one soft-NMS over both; several ``scales`` look at the image in those
    sizes (each with its mirror where ``flip`` is set), and that soft-NMS merges the boxes. ``max_size`` scales larger
    images down to that many pixels a side, and the boxes back. ``precision`` may be ``torch.bfloat16`` or ``float16``:
    the network then computes in it, pairing does not.
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
        precision: torch.dtype | None = None,
    ) -> None:
        if precision is not None and model.fused is not None:
            raise ValueError(f"a fused network computes in {model.fused}; give the precision to fuse()")
        self.model, self.class_names, self.preprocessing = model.eval(), tuple(class_names), preprocessing
        self.decoding, self.threshold = decoding, threshold
        self.flip, self.scales, self.max_size, self.precision = flip, tuple(scales), max_size, precision

    @overload
    def __call__(self, images: list[Any]) -> list[Detections]: ...
    @overload
    def __call__(self, images: str | os.PathLike[str] | np.ndarray | Image) -> Detections: ...
    def __call__(self, images: Any) -> Any:
        """Detections of one image, or a list of them for a list of images.

        An image is a path, a PIL image, or an array (H, W), (H, W, 3) RGB or (H, W, 4) of uint8 or uint16. All 100
        best are returned; ``detections.above(detector.threshold)`` are those worth showing. ``stream`` shares passes.
        """
        if isinstance(images, list):
            return list(self.stream(images))
        return next(self.stream([images]))

    def stream(self, images: Iterable[Any], batch_size: int = 1) -> Iterator[Detections]:
        """Detections one after another, for any number of images; neighbours of one padded size share a batch."""
        batch: list[np.ndarray] = []
        for item in images:
            image = _pixels(item)
            same = batch and self.padded_sizes(image) == self.padded_sizes(batch[0])
            if batch and (len(batch) == batch_size or not same):
                yield from self._detect(batch)
                batch = []
            batch.append(image)
        if batch:
            yield from self._detect(batch)

    @torch.inference_mode()
    def explain(self, image: Any) -> Explanation:
        """Detections of one image with heatmaps and candidates, for looking; heatmaps are those of the first view."""
        pixels = _pixels(image)
        small, shrunk = shrink(pixels, self.max_size)
        looks = [self._look([small], *view) for view in self._views]
        first = looks[0]
        heatmaps = [
            h[0].float().sigmoid().amax(0).cpu().numpy() for h in (first.output.tl_heatmap, first.output.br_heatmap)
        ]
        left, top = (int(v) for v in first.shifts[0].tolist())
        detections = self._suppress([look.pairs for look in looks], [pixels], [shrunk])[0]
        return Explanation(
            detections, _candidates(looks, shrunk), heatmaps[0], heatmaps[1], (top, left), first.padded_size
        )

    @property
    def _views(self) -> list[tuple[float, bool]]:
        """Scale and whether mirrored, of all views of an image."""
        return [(scale, mirrored) for scale in self.scales for mirrored in ((False, True) if self.flip else (False,))]

    def padded_sizes(self, image: np.ndarray) -> list[tuple[int, int]]:
        """The input's (height, width) in all scales; images that agree in them can share a batch."""
        height, width = image.shape[:2]
        shrunk = min(1.0, self.max_size / max(height, width)) if self.max_size else 1.0
        small = round(height * shrunk), round(width * shrunk)
        return [self.preprocessing.padded_size(*scaled_size(*small, scale)) for scale in self.scales]

    @torch.inference_mode()
    def _detect(self, images: list[np.ndarray]) -> list[Detections]:
        small, shrunk = zip(*(shrink(image, self.max_size) for image in images), strict=True)
        return self._suppress([self._look(small, *view).pairs for view in self._views], images, shrunk)

    def _look(self, images: Sequence[np.ndarray], scale: float, mirrored: bool) -> Look:
        """The network's answer to one view of images, and its pairs in pixels of the images."""
        pixels = [resize(image, scale) for image in images]
        sizes = [image.shape[1::-1] for image in pixels]
        if mirrored:
            pixels = [image[:, ::-1] for image in pixels]
        padded = self.preprocessing.padded_size(*pixels[0].shape[:2])
        output, shifts = self._forward(pixels, padded)
        pairs = self._pair(output, shifts, padded)
        boxes, limits = pairs.boxes, pairs.boxes.new_tensor(sizes)[:, None]
        if mirrored:
            width, (x1, y1, x2, y2) = limits[..., 0], boxes.unbind(-1)
            boxes = torch.stack((width - x2, y1, width - x1, y2), dim=-1)
        if self.decoding.clip:
            boxes = torch.minimum(boxes.clamp_min(0), limits.repeat(1, 1, 2))
        return Look(pairs._replace(boxes=boxes / scale), output, shifts, padded)

    def _forward(self, images: Sequence[np.ndarray], padded: tuple[int, int]) -> tuple[StackOutput, Tensor]:
        """The last stack's output, and the images' (left, top) in the input of ``padded`` (height, width) pixels."""
        parameter = next(self.model.parameters())
        if parameter.device.type == "cpu":
            require_memory(*padded, self.model.bytes_per_pixel * len(images), "image")
        pixels, shifts = to_input(images, self.preprocessing, parameter.device)
        with torch.autocast(parameter.device.type, self.precision, enabled=self.precision is not None):
            return self.model(pixels, last_only=True)[-1], shifts

    def _pair(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> Pairs:
        """Peaks, embeddings and offsets at the peaks alone, pairs; boxes in pixels of the view."""
        count = self.decoding.num_corners
        tl, br = top_corners(output.tl_heatmap, count), top_corners(output.br_heatmap, count)
        values = output.head.values_at(output.features, tl.cells, br.cells)
        rows, columns = output.tl_heatmap.shape[-2:]
        scale = (padded[1] / columns, padded[0] / rows)
        return pair_corners(
            tl,
            br,
            corner_positions(tl, values.tl_offsets, scale, shifts),
            corner_positions(br, values.br_offsets, scale, shifts),
            output.head.pairing.distance(values.tl_embeddings, values.br_embeddings),
            max_distance=self.decoding.max_distance,
            limit=self.decoding.num_candidates,
        )

    def _suppress(self, views: list[Pairs], images: Sequence[np.ndarray], scales: Sequence[float]) -> list[Detections]:
        """One soft-NMS over the pairs of all views; boxes / scales are in pixels of the images."""
        names = ("boxes", "scores", "labels", "valid", "tl_scores", "br_scores")
        boxes, scores, labels, valid, *corners = (torch.cat([getattr(v, n) for v in views], 1) for n in names)
        merge = (corners[0], corners[1]) if len(self.scales) > 1 else None
        kept = soft_nms(boxes, scores, labels, valid, plus_one=float(self.decoding.plus_one), corner_scores=merge)
        found = []
        for i, (image, scale) in enumerate(zip(images, scales, strict=True)):
            keep = kept.valid[i]
            height, width = image.shape[:2]
            limits = np.array([width, height, width, height], np.float32)
            inside = (kept.boxes[i][keep] / scale).cpu().numpy().clip(0, limits)
            solid = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
            score = kept.scores[i][keep].cpu().numpy()
            label = labels[i][kept.chosen[i][keep]].cpu().numpy()
            found.append(Detections(inside[solid], score[solid], label[solid], self.class_names, (height, width)))
        return found


def _pixels(image: Any) -> np.ndarray:
    return read_image(image) if isinstance(image, (str, os.PathLike)) else to_rgb(image)


def _candidates(looks: list[Look], shrunk: float) -> Candidates:
    """All valid pairs of the first image, of all views, best first."""
    columns = []
    for number, look in enumerate(looks):
        pairs, map_width = look.pairs, look.output.tl_heatmap.shape[-1]
        found = {name: getattr(pairs, name)[0][pairs.valid[0]].cpu().numpy() for name in Pairs._fields}
        cells = [np.stack(np.divmod(found[name], map_width), axis=1) for name in ("tl_cells", "br_cells")]
        view = np.full(len(found["labels"]), number)
        scores = found["tl_scores"], found["br_scores"]
        columns.append((found["boxes"] / shrunk, found["labels"], *scores, *cells, found["distances"], view))
    merged = Candidates(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    order = np.argsort(-merged.scores, kind="stable")
    return Candidates(*(getattr(merged, field.name)[order] for field in fields(Candidates)))


def load(
    weights: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    flip: bool = False,
    scales: Sequence[float] = (1.0,),
    max_size: int | None = None,
    precision: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Detector:
    """A ``Detector`` from a weights file of any dialect alone, or from a release's name.

    On the GPU where there is one, unless ``device`` says otherwise. A release is fetched on first use, ``progress``
    told (done, total) in bytes. The other options are ``Detector``'s. The network is fused (``network.fused``): for
    testing alone.
    Raises ``InputError`` where the file is absent, damaged or not weights.
    """
    stored = open_weights(weights, progress=progress)
    try:
        model = stored.build()
    except InputError as error:
        raise InputError(f"{weights}: {error}") from None
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
    )
