"""The whole road: an image in, boxes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from cornernet.config import Decoding, Preprocessing
from cornernet.errors import InputError
from cornernet.inference.batching import group_neighbours
from cornernet.inference.explanation import ViewOutput, all_candidates, corner_points
from cornernet.inference.preprocess import to_input
from cornernet.inference.views import Tiling, join_pairs, make_tiling
from cornernet.media.images import read_image, require_memory, resize, scaled_size, shrink, to_rgb
from cornernet.model.cornernet import CornerNet, StackOutput, channels_last
from cornernet.model.decode import Corners, Pairs, corner_positions, pair_corners, top_corners
from cornernet.model.fuse import fuse
from cornernet.model.soft_nms import MIN_SCORE, soft_nms
from cornernet.structures import Detections, Explanation
from cornernet.weights.zoo import open_weights


class Detector:
    """A trained network with its preprocessing and class names: call it with images.

    ``flip=True`` looks at the mirror image too, one soft-NMS over both; several ``scales`` look at the image in those
    sizes (each with its mirror where ``flip`` is set), and that soft-NMS merges the boxes. ``max_size`` scales larger
    images down to that many pixels a side, and the boxes back; by default as in training. ``tile`` looks at an image,
    in each scale, in square tiles of that many pixels, neighbours sharing ``tile_overlap`` (a quarter, if not said):
    the network needs memory for a tile, and one soft-NMS joins the boxes of all; see ``tiles.Tiling``. ``precision``
    may be ``torch.bfloat16`` or ``float16``: the network then computes in it, pairing does not.

    ``min_score`` is the lowest score that comes out, 0.001. Whoever needs no lower one than a threshold may set it to
    that: nothing else changes, and of many tiles most pairs need no soft-NMS. Scales that are merged keep theirs.
    """

    min_score = MIN_SCORE

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
        self.model, self.class_names, self.preprocessing = model.eval(), tuple(class_names), preprocessing
        self.decoding, self.threshold = decoding, threshold
        self.flip, self.scales, self.precision = flip, tuple(scales), precision
        self.max_size = preprocessing.max_size if max_size is None else max_size
        self.tiling = None if tile is None else make_tiling(tile, tile_overlap)

    @overload
    def __call__(self, images: list[Any]) -> list[Detections]: ...
    @overload
    def __call__(self, images: str | os.PathLike[str] | np.ndarray | Image) -> Detections: ...
    def __call__(self, images: Any) -> Any:
        """Detections of one image, or a list of them for a list of images.

        An image is a path, a PIL image, or an array (H, W), (H, W, 3) RGB or (H, W, 4) of uint8 or uint16. The best
        are returned, ``decoding.num_boxes`` (of every tile): 100, unless the weights say otherwise;
        ``detections.above(detector.threshold)`` are those worth showing. ``stream`` shares passes.
        """
        if isinstance(images, list):
            return list(self.stream(images))
        return next(self.stream([images]))

    def stream(self, images: Iterable[Any], batch_size: int = 1) -> Iterator[Detections]:
        """Detections one after another, for any number of images; neighbours of one padded size share a batch.

        With tiles, those of one image do.
        """
        if self.tiling:
            yield from (self._detect_in_tiles(_pixels(item), self.tiling, batch_size) for item in images)
            return
        for batch in group_neighbours(map(_pixels, images), batch_size, self.padded_sizes):
            yield from self._detect(batch)

    @torch.inference_mode()
    def explain(self, image: Any) -> Explanation:
        """Detections of one image with heatmaps and candidates, for looking; heatmaps are those of the first view.

        Raises ``InputError`` with tiles, which have no view of the whole image.
        """
        if self.tiling:
            raise InputError("an explanation is of a view of the whole image: leave --tile out")
        pixels = _pixels(image)
        small, shrunk = shrink(pixels, self.max_size)
        looks = [self._look([small], *view) for view in self._views]
        first = looks[0]
        tl_heatmap, br_heatmap = (
            h[0].float().sigmoid().amax(0).cpu().numpy() for h in (first.output.tl_heatmap, first.output.br_heatmap)
        )
        left, top = (int(v) for v in first.shifts[0].tolist())
        scale, width = self.scales[0] * shrunk, first.output.tl_heatmap.shape[-1]
        pairing, corners = first.output.head.pairing, self._corners(*first[1:])
        tl, br = (corner_points(*each, scale, width, pairing) for each in corners)
        (tl_all, tl_positions, tl_said), (br_all, br_positions, br_said) = corners
        distances = pairing.distance(tl_said, br_said, tl_positions, br_positions)[0]
        return Explanation(
            self._suppress([look.pairs for look in looks], [pixels], [shrunk])[0],
            all_candidates(looks, shrunk),
            tl_heatmap,
            br_heatmap,
            (top, left),
            resize(small, self.scales[0]).shape[:2],
            first.padded_size,
            tl,
            br,
            distances[tl_all.scores[0] >= 0][:, br_all.scores[0] >= 0].cpu().numpy(),
        )

    @property
    def _views(self) -> list[tuple[float, bool]]:
        """Scale and whether mirrored, of all views of an image."""
        return [(scale, mirrored) for scale in self.scales for mirrored in ((False, True) if self.flip else (False,))]

    @property
    def _lowest_score(self) -> float:
        """At which soft-NMS stops: for boxes that are merged with their lesser rivals always the usual one."""
        return self.min_score if len(self.scales) == 1 else MIN_SCORE

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

    @torch.inference_mode()
    def _detect_in_tiles(self, image: np.ndarray, tiling: Tiling, batch_size: int) -> Detections:
        small, shrunk = shrink(image, self.max_size)
        views, most = [], 1
        for scale, mirrored in self._views:
            pixels = resize(small, scale)
            tiles, found = tiling.tiles(*pixels.shape[:2]), []
            for start in range(0, len(tiles), batch_size):
                batch = tiles[start : start + batch_size]
                found.append((self._look([tile.cut(pixels) for tile in batch], 1.0, mirrored).pairs, batch))
            pairs = join_pairs(found, self._lowest_score)
            views.append(pairs._replace(boxes=pairs.boxes / scale))
            most = max(most, len(tiles))
        return self._suppress(views, [image], [shrunk], most=most)[0]

    def _look(self, images: Sequence[np.ndarray], scale: float, mirrored: bool) -> ViewOutput:
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
        return ViewOutput(pairs._replace(boxes=boxes / scale), output, shifts, padded)

    def _forward(self, images: Sequence[np.ndarray], padded: tuple[int, int]) -> tuple[StackOutput, Tensor]:
        """The last stack's output, and the images' (left, top) in the input of ``padded`` (height, width) pixels."""
        parameter = next(self.model.parameters())
        if parameter.device.type == "cpu":
            require_memory(*padded, self.model.bytes_per_pixel * len(images), "image", self._memory_fix)
        try:
            pixels, shifts = to_input(images, self.preprocessing, parameter.device)
            with torch.autocast(parameter.device.type, self.precision, enabled=self.precision is not None):
                return self.model(pixels, last_only=True)[-1], shifts
        except torch.OutOfMemoryError:
            many = f"{len(images)} x {padded[0]}x{padded[1]} pixels (height x width)"
            raise InputError(f"image: the GPU's memory is too small for {many}; {self._memory_fix}") from None

    @property
    def _memory_fix(self) -> str:
        if self.tiling:
            return "make the tiles smaller with --tile, or fewer at once with --batch-size"
        return "look at it in parts with --tile, or scale it down with --max-size"

    def _pair(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> Pairs:
        """Pairs of the best corners; boxes in pixels of the view."""
        (tl, tl_positions, tl_embeddings), (br, br_positions, br_embeddings) = self._corners(output, shifts, padded)
        return pair_corners(
            tl,
            br,
            tl_positions,
            br_positions,
            output.head.pairing.distance(tl_embeddings, br_embeddings, tl_positions, br_positions),
            self.decoding,
        )

    def _corners(
        self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]
    ) -> tuple[tuple[Corners, Tensor, Tensor], tuple[Corners, Tensor, Tensor]]:
        """Of each kind peaks, and at them alone positions in pixels of the view, and embeddings."""
        count = self.decoding.num_corners
        tl, br = top_corners(output.tl_heatmap, count), top_corners(output.br_heatmap, count)
        values = output.head.values_at(output.features, tl.cells, br.cells)
        rows, columns = output.tl_heatmap.shape[-2:]
        scale = (padded[1] / columns, padded[0] / rows)
        tl_positions = corner_positions(tl, values.tl_offsets, scale, shifts)
        br_positions = corner_positions(br, values.br_offsets, scale, shifts)
        return (tl, tl_positions, values.tl_pairing), (br, br_positions, values.br_pairing)

    def _suppress(
        self, views: list[Pairs], images: Sequence[np.ndarray], scales: Sequence[float], most: int = 1
    ) -> list[Detections]:
        """One soft-NMS over all views' pairs of at most ``most`` tiles; boxes / scales are in pixels of the images."""
        names = ("boxes", "scores", "labels", "valid", "tl_scores", "br_scores")
        boxes, scores, labels, valid, *corners = (torch.cat([getattr(v, n) for v in views], 1) for n in names)
        merge = (corners[0], corners[1]) if len(self.scales) > 1 else None
        plus_one = float(self.decoding.plus_one)
        lowest, limit = self._lowest_score, self.decoding.num_boxes * most
        kept = soft_nms(
            boxes, scores, labels, valid, min_score=lowest, limit=limit, plus_one=plus_one, corner_scores=merge
        )
        found = []
        for i, (image, scale) in enumerate(zip(images, scales, strict=True)):
            keep = kept.valid[i]
            height, width = image.shape[:2]
            limits = np.array([width, height, width, height], np.float32)
            inside = (kept.boxes[i][keep] / scale).cpu().numpy().clip(0, limits)
            solid = (inside[:, 2] > inside[:, 0]) & (inside[:, 3] > inside[:, 1])
            score = kept.scores[i][keep].cpu().numpy()
            label = labels[i].cpu()[kept.chosen[i][keep]].numpy()
            found.append(Detections(inside[solid], score[solid], label[solid], self.class_names, (height, width)))
        return found


def _pixels(image: Any) -> np.ndarray:
    return read_image(image) if isinstance(image, (str, os.PathLike)) else to_rgb(image)


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
        tile=tile,
        tile_overlap=tile_overlap,
    )
