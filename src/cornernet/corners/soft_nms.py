"""Gaussian soft-NMS (Bodla et al., 2017) per class, for a batch of images at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Kept(NamedTuple):
    """What soft-NMS keeps, best first, all (B, K): ``chosen`` indices into the candidates, ``scores`` after decay,
    ``valid``, False for rows that only fill up."""

    chosen: Tensor
    scores: Tensor
    valid: Tensor


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    valid: Tensor | None = None,
    *,
    sigma: float = 0.5,
    min_score: float = 0.001,
    limit: int = 100,
    plus_one: float = 0.0,
) -> Kept:
    """Keep the best ``limit`` of boxes (B, N, 4), scores (B, N), labels (B, N); ``valid`` (B, N) masks fillers.

    The best candidate is kept; the others of its class lose score by exp(-IoU^2 / sigma); again, until ``limit`` are
    kept. A score only ever falls, so the order of keeping is the order of final scores and the first ``limit`` are
    final. What falls below ``min_score`` is dropped. ``plus_one`` is added to widths and heights, as the authors'
    code does (1 pixel). Equal scores: the earlier candidate first.
    """
    batch, count = scores.shape
    limit = min(limit, count)
    remaining = scores.float()
    if valid is not None:
        remaining = torch.where(valid, remaining, -1.0)
    remaining = torch.where(remaining < min_score, -1.0, remaining)
    boxes = boxes.float()
    low, high = boxes[..., :2], boxes[..., 2:]
    area = (high - low + plus_one).prod(dim=-1)
    image = torch.arange(batch, device=scores.device)
    index = labels.new_zeros((batch, limit), dtype=torch.int64)
    kept = remaining.new_full((batch, limit), -1.0)
    for step in range(limit):
        best_score, best = remaining.max(dim=1)
        if step % 16 == 0 and not bool((best_score >= 0).any()):  # reading the device is slow: now and then
            break
        index[:, step], kept[:, step] = best, best_score
        box = boxes[image, best][:, None]
        size = torch.minimum(high, box[..., 2:]) - torch.maximum(low, box[..., :2]) + plus_one
        overlap = size.clamp_min(0).prod(dim=-1)
        union = area + area[image, best][:, None] - overlap
        iou = overlap / union.clamp_min(1e-9)  # boxes without area, and fillers, must not become NaN
        same = labels == labels[image, best][:, None]
        remaining = remaining * torch.where(same, torch.exp(-(iou**2) / sigma), 1.0)
        remaining[image, best] = -1.0
        remaining = torch.where(remaining < min_score, -1.0, remaining)
    return Kept(index, kept, kept >= 0)
