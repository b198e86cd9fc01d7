"""Detection as one module of tensor operators for images of any size: what exporters trace.

``inference.detector.Detector`` computes parts of it in numpy, or with sizes that it knows when it runs.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.config import Decoding, Preprocessing
from cornernet.export.soft_nms_loop import soft_nms_loop
from cornernet.inference.preprocess import normalize
from cornernet.model.cornernet import CornerNet
from cornernet.model.decode import Corners, decode


class MapsGraph(nn.Module):
    """Images, uint8 (B, 3, H, W) RGB, to the six maps of the last output, as ``model.cornernet.DenseMaps``."""

    def __init__(self, model: CornerNet, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.model, self.preprocessing = model, preprocessing

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the results of ``forward``; pairing maps have the name of the pairing rule."""
        value = self.model.architecture.pairing.name
        return "tl_heatmap", "br_heatmap", f"tl_{value}", f"br_{value}", "tl_offset", "br_offset"

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.dense_maps(self.to_input(images)[0], last_only=True)[-1])

    def to_input(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The network's input (B, 3, H, W), its width and height (2,), and the images' left and top in it (2,)."""
        height, width = images.shape[2:]
        padded_height, padded_width = self.preprocessing.padded_size(height, width)
        top, left = self.preprocessing.offset_of(height, width)
        margins = left, padded_width - width - left, top, padded_height - height - top
        pixels = images.float()  # first: TensorRT has uint8 only for inputs
        if self.preprocessing.padding == "black":
            pixels = normalize(F.pad(pixels, margins), self.preprocessing)
        else:
            pixels = F.pad(normalize(pixels, self.preprocessing), margins)
        return pixels, _tensor(padded_width, padded_height), _tensor(left, top)


class BoxesGraph(MapsGraph):
    """Images, uint8 (B, 3, H, W) RGB, to boxes (B, N, 4), scores and labels (B, N), and the number of boxes (B,).

    N is ``Decoding.num_boxes``, usually 100. Boxes are x1 y1 x2 y2 in pixels of the image. Fillers after the last box
    have boxes and scores of 0 and labels of -1.
    """

    @property
    def outputs(self) -> tuple[str, ...]:
        return "boxes", "scores", "labels", "count"

    def __init__(self, model: CornerNet, preprocessing: Preprocessing, decoding: Decoding) -> None:
        super().__init__(model, preprocessing)
        self.decoding = decoding

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        height, width = images.shape[2:]
        limits = _tensor(width, height, width, height)
        pixels, size, shift = self.to_input(images)
        output = self.model(pixels, last_only=True)[-1]
        rows, columns = output.tl_heatmap.shape[2:]
        values_at = partial(output.head.values_at, neighbourhoods=gather_neighbourhoods)
        scale, peaks = size / _tensor(columns, rows), top_corners_padded
        pairs = decode(output, scale, shift, self.decoding, find_peaks=peaks, values_at=values_at).pairs
        boxes = torch.minimum(pairs.boxes, limits) if self.decoding.clip else pairs.boxes
        limit = min(self.decoding.num_boxes, boxes.shape[1])
        plus_one = float(self.decoding.plus_one)
        chosen, scores = soft_nms_loop(boxes, pairs.scores, pairs.labels, limit=limit, plus_one=plus_one)
        boxes, labels = torch.minimum(_rows(boxes, chosen), limits), pairs.labels.gather(1, chosen)
        solid = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1) & (scores >= 0)
        ranks = torch.where(solid, torch.arange(limit, 0, -1, dtype=torch.float32), 0.0)
        order = ranks.topk(limit, dim=1).indices  # the solid ones first, in the same order
        found = solid.gather(1, order)
        return (
            torch.where(found[..., None], _rows(boxes, order), 0.0),
            torch.where(found, scores.gather(1, order), 0.0),
            torch.where(found, labels.gather(1, order), -1),
            found.sum(dim=1),
        )


def top_corners_padded(heatmap: Tensor, k: int) -> Corners:
    """``model.decode.top_corners`` with always ``k`` corners, so shapes are known: fillers have score -1, cell 0."""
    height, width = heatmap.shape[2:]
    # onnxruntime's Sigmoid has steps of 3e-8 near 0: neighbours would become equal, and both would be peaks
    probability = 1 / (1 + torch.exp(-heatmap.float()))
    is_peak = F.max_pool2d(probability, 3, stride=1, padding=1) == probability
    scores = F.pad(torch.where(is_peak, probability, -1.0).flatten(1), (0, k), value=-1.0)
    scores, index = scores.topk(k, dim=1)
    index = torch.where(scores >= 0, index, 0)
    labels = index // (height * width)
    cells = index - labels * (height * width)
    rows = cells // width
    return Corners(scores, labels, rows, cells - rows * width, cells)


def gather_neighbourhoods(features: Tensor, cells: Tensor) -> Tensor:
    """``model.layers.neighbourhoods``, (B, K, 9, C), of maps that are not channels-last, without a transposition."""
    batch, channels, height, width = features.shape
    shifts, row = torch.arange(-1, 2), cells // width
    rows = row[..., None, None] + shifts[:, None]
    columns = (cells - row * width)[..., None, None] + shifts
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = torch.where(inside, rows * width + columns, 0).flatten(1)
    found = features.flatten(2).gather(2, index[:, None].expand(-1, channels, -1))
    found = torch.where(inside.flatten(1)[:, None], found, 0.0)
    return found.transpose(1, 2).reshape(batch, cells.shape[1], 9, channels)


def _rows(values: Tensor, index: Tensor) -> Tensor:
    """Rows of values (B, N, 4) at ``index`` (B, K)."""
    return values.gather(1, index[..., None].expand(-1, -1, 4))


def _tensor(*sizes: int) -> Tensor:
    """Sizes as float32; they are known only when the exported file runs."""
    return torch.stack([torch.scalar_tensor(size) for size in sizes])
