"""Corners out of heatmaps: local maxima, the best k of all classes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


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
    is_peak = F.max_pool2d(probability, 3, stride=1, padding=1) == probability
    scores = torch.where(is_peak, probability, -1.0).flatten(1)
    scores, index = scores.topk(min(k, scores.shape[1]), dim=1)
    cells = index % (height * width)
    return Corners(scores, index // (height * width), cells // width, cells % width, cells)
