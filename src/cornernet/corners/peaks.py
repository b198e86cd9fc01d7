"""Corners out of heatmaps: local maxima, the best k of all classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Corners(NamedTuple):
    """The best corners of one kind, descending: all (B, K). ``scores`` is -1 where a map has fewer peaks than K.

    ``cells`` is row * W + column on the map.
    """

    scores: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor
    cells: Tensor


def top_corners(heatmap: Tensor, k: int = 100) -> Corners:
    """The ``k`` best 3x3 local maxima of heatmap logits (B, C, H, W) over all classes; K = min(k, C * H * W).

    Paper, section 4.2. Maxima are taken of the probabilities in float32; equal neighbours are all maxima.
    """
    _, _, height, width = heatmap.shape
    probability = heatmap.float().sigmoid()
    is_peak = _largest_beside(_largest_beside(probability, 2), 3) == probability
    scores = torch.where(is_peak, probability, -1.0).flatten(1)
    scores, index = scores.topk(min(k, scores.shape[1]), dim=1)
    cells = index % (height * width)
    return Corners(scores, index // (height * width), cells // width, cells % width, cells)


def _largest_beside(x: Tensor, axis: int) -> Tensor:
    """The largest of each cell and its two neighbours along an axis; both ways ``max_pool2d``, a CPU's twenty-fold."""
    largest, cells = x.clone(), x.shape[axis] - 1
    for there, here in ((0, 1), (1, 0)):
        part = largest.narrow(axis, here, cells)
        torch.maximum(part, x.narrow(axis, there, cells), out=part)
    return largest
