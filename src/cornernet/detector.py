"""The whole road: an image in, boxes out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from cornernet.corners.pair import Pairs, corner_positions, pair_corners
from cornernet.corners.peaks import top_corners
from cornernet.corners.soft_nms import soft_nms
from cornernet.data.images import read_image, require_memory, shrink, to_rgb
from cornernet.data.pad import to_input
from cornernet.errors import InputError
from cornernet.network.cornernet import CornerNet, StackOutput, channels_last
from cornernet.structures import Candidates, Detections, Preprocessing
from cornernet.weights.store import load_weights


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


class Detector:
    """A trained network with its preprocessing and class names: call it with images.

    ``flip=True`` looks at the mirror image too, one soft-NMS over both. ``max_size`` scales larger images down to that
    many pixels a side, and the boxes back. ``precision`` may be ``torch.bfloat16`` or ``float16``: the network then
    computes in it, pairing does not.
    """

    def __init__(
        self,
        model: CornerNet,
        class_names: Sequence[str],
        preprocessing: Preprocessing,
        *,
        threshold: float = 0.3,
        flip: bool = False,
        max_size: int | None = None,
        precision: torch.dtype | None = None,
    ) -> None:
        self.model, self.class_names, self.preprocessing = model.eval(), tuple(class_names), preprocessing
        self.threshold, self.flip, self.max_size, self.precision = threshold, flip, max_size, precision

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
            same = batch and self._padded_size(image) == self._padded_size(batch[0])
            if batch and (len(batch) == batch_size or not same):
                yield from self._detect(batch)
                batch = []
            batch.append(image)
        if batch:
            yield from self._detect(batch)

    def explain(self, image: Any) -> Explanation:
        """Detections of one image with heatmaps and candidates, for looking."""
        pixels = _pixels(image)
        small, scale = shrink(pixels, self.max_size)
        output, shifts, padded = self._forward([small])
        pairs = self._pair(output, shifts, padded)
        heatmaps = [heat[0].float().sigmoid().amax(0).cpu().numpy() for heat in (output.tl_heatmap, output.br_heatmap)]
        left, top = (int(v) for v in shifts[0].tolist())
        views = [pairs, self._mirrored([small])] if self.flip else [pairs]
        detections = self._suppress(views, [pixels], [scale])[0]
        candidates = _candidates(views, scale, heatmaps[0].shape[1])
        return Explanation(detections, candidates, heatmaps[0], heatmaps[1], (top, left), padded)

    def _padded_size(self, image: np.ndarray) -> tuple[int, int]:
        height, width = image.shape[:2]
        scale = min(1.0, self.max_size / max(height, width)) if self.max_size else 1.0
        return self.preprocessing.padded_size(round(height * scale), round(width * scale))

    @torch.inference_mode()
    def _detect(self, images: list[np.ndarray]) -> list[Detections]:
        small, scales = zip(*(shrink(image, self.max_size) for image in images), strict=True)
        views = [self._pair(*self._forward(small))]
        if self.flip:
            views.append(self._mirrored(small))
        return self._suppress(views, images, scales)

    def _forward(self, images: Sequence[np.ndarray]) -> tuple[StackOutput, Tensor, tuple[int, int]]:
        """The last stack's output, the images' (left, top) in the input, and the input's (height, width)."""
        parameter = next(self.model.parameters())
        padded = self.preprocessing.padded_size(*images[0].shape[:2])
        if parameter.device.type == "cpu":
            require_memory(*padded, self.model.bytes_per_pixel * len(images), "image")
        pixels, shifts = to_input(images, self.preprocessing, parameter.device)
        with (
            torch.inference_mode(),
            torch.autocast(parameter.device.type, self.precision, enabled=self.precision is not None),
        ):
            return self.model(pixels, last_only=True)[-1], shifts, padded

    @torch.inference_mode()
    def _pair(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> Pairs:
        """Peaks, embeddings and offsets at the peaks alone, pairs; boxes in pixels of the (scaled) image."""
        tl, br = top_corners(output.tl_heatmap), top_corners(output.br_heatmap)
        values = output.head.values_at(output.features, tl.cells, br.cells)
        rows, columns = output.tl_heatmap.shape[-2:]
        scale = (padded[1] / columns, padded[0] / rows)
        return pair_corners(
            tl,
            br,
            corner_positions(tl, values.tl_offsets, scale, shifts),
            corner_positions(br, values.br_offsets, scale, shifts),
            output.head.pairing.distance(values.tl_embeddings, values.br_embeddings),
        )

    def _mirrored(self, images: Sequence[np.ndarray]) -> Pairs:
        """Pairs found in the images' mirrors, mapped back."""
        pairs = self._pair(*self._forward([image[:, ::-1] for image in images]))
        widths = pairs.boxes.new_tensor([[image.shape[1]] for image in images])
        x1, y1, x2, y2 = pairs.boxes.unbind(-1)
        return pairs._replace(boxes=torch.stack((widths - x2, y1, widths - x1, y2), dim=-1))

    def _suppress(self, views: list[Pairs], images: Sequence[np.ndarray], scales: Sequence[float]) -> list[Detections]:
        boxes, scores, labels, valid = (torch.cat([getattr(v, n) for v in views], 1) for n in Pairs._fields[:4])
        kept = soft_nms(boxes, scores, labels, valid)
        found = []
        for i, (image, scale) in enumerate(zip(images, scales, strict=True)):
            chosen = kept.chosen[i][kept.valid[i]]
            height, width = image.shape[:2]
            limits = np.array([width, height, width, height], np.float32)
            inside = (boxes[i][chosen] / scale).cpu().numpy().clip(0, limits)
            solid = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
            score = kept.scores[i][kept.valid[i]].cpu().numpy()
            label = labels[i][chosen].cpu().numpy()
            found.append(Detections(inside[solid], score[solid], label[solid], self.class_names, (height, width)))
        return found


def _pixels(image: Any) -> np.ndarray:
    return read_image(image) if isinstance(image, (str, os.PathLike)) else to_rgb(image)


def _candidates(views: list[Pairs], scale: float, map_width: int) -> Candidates:
    """All valid pairs of the first image, of all views, best first."""
    columns = []
    for number, pairs in enumerate(views):
        found = {name: getattr(pairs, name)[0][pairs.valid[0]].cpu().numpy() for name in Pairs._fields}
        cells = [np.stack(np.divmod(found[name], map_width), axis=1) for name in ("tl_cells", "br_cells")]
        view = np.full(len(found["labels"]), number)
        scores = found["tl_scores"], found["br_scores"]
        columns.append((found["boxes"] / scale, found["labels"], *scores, *cells, found["distances"], view))
    merged = Candidates(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    order = np.argsort(-merged.scores, kind="stable")
    return Candidates(*(getattr(merged, field.name)[order] for field in fields(Candidates)))


def load(
    weights: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    flip: bool = False,
    max_size: int | None = None,
    precision: torch.dtype | None = None,
) -> Detector:
    """A ``Detector`` from a weights file alone; on the GPU where there is one, unless ``device`` says otherwise.

    Raises ``InputError`` where the file is absent, damaged or not weights.
    """
    stored = load_weights(Path(weights))
    try:
        model = stored.build()
    except InputError as error:
        raise InputError(f"{weights}: {error}") from None
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = channels_last(model.to(place))
    return Detector(
        model,
        stored.class_names,
        stored.preprocessing,
        threshold=stored.threshold,
        flip=flip,
        max_size=max_size,
        precision=precision,
    )
