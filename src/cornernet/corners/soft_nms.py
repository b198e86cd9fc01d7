"""Gaussian soft-NMS (Bodla et al., 2017) per class, for a batch of images at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIGMA = 0.5  # of the Gaussian by which overlap lowers a score
MIN_SCORE = 0.001  # a box below it is dropped
LIMIT = 100  # boxes that are kept: COCO's figures count no more
MERGE_POWER = 10  # how sharply a rival's share in a merged box falls with its overlap


class Kept(NamedTuple):
    """What soft-NMS keeps, best first: ``boxes`` (B, K, 4), merged where that was asked for, and all (B, K):
    ``chosen`` indices into the candidates, ``scores`` after decay, ``valid``, False for rows that only fill up."""

    boxes: Tensor
    chosen: Tensor
    scores: Tensor
    valid: Tensor


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    valid: Tensor | None = None,
    *,
    sigma: float = SIGMA,
    min_score: float = MIN_SCORE,
    limit: int = LIMIT,
    plus_one: float = 0.0,
    corner_scores: tuple[Tensor, Tensor] | None = None,
) -> Kept:
    """Keep the best ``limit`` of boxes (B, N, 4), scores (B, N), labels (B, N); ``valid`` (B, N) masks fillers.

    The best candidate is kept; the others of its class lose score by exp(-IoU^2 / sigma); again, until ``limit`` are
    kept. A score only ever falls, so the order of keeping is the order of final scores and the first ``limit`` are
    final. What falls below ``min_score`` is dropped. ``plus_one`` is added to widths and heights, as the authors'
    code does (1 pixel). Equal scores: the earlier candidate first.

    With ``corner_scores``, (B, N) of the top-left and of the bottom-right corners, a kept box is *merged*: its x1, y1
    become the mean of its own and of its rivals' x1, y1, weighted by their top-left scores times (1 - decay)^10 (its
    own by its score alone), its x2, y2 likewise by bottom-right scores. Source: the authors' multi-scale test.
    """
    batch, count = scores.shape
    limit = min(limit, count)
    precise = torch.promote_types(boxes.dtype, torch.float32)
    boxes, remaining = boxes.to(precise), scores.to(precise)
    if valid is not None:
        remaining = torch.where(valid, remaining, -1.0)
    remaining = torch.where(remaining < min_score, -1.0, remaining)
    low, high = boxes[..., :2], boxes[..., 2:]
    area = (high - low + plus_one).prod(dim=-1)
    image = torch.arange(batch, device=scores.device)
    index = labels.new_zeros((batch, limit), dtype=torch.int64)
    kept = remaining.new_full((batch, limit), -1.0)
    merged = boxes.new_zeros((batch, limit, 4)) if corner_scores is not None else None
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
        decay = torch.where(same, torch.exp(-(iou**2) / sigma), 1.0)
        if merged is not None and corner_scores is not None:
            shares = torch.where(remaining >= 0, (1 - decay) ** MERGE_POWER, 0.0)
            shares[image, best] = 1.0
            merged[:, step] = torch.cat(
                [_mean(c, shares * s) for c, s in zip((low, high), corner_scores, strict=True)], 1
            )
        remaining = remaining * decay
        remaining[image, best] = -1.0
        remaining = torch.where(remaining < min_score, -1.0, remaining)
    found = boxes.gather(1, index[..., None].expand(-1, -1, 4)) if merged is None else merged
    return Kept(found, index, kept, kept >= 0)


def _mean(corners: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean (B, 2) of corners (B, N, 2)."""
    weights = weights.to(corners.dtype)
    return (corners * weights[..., None]).sum(1) / weights.sum(1, keepdim=True).clamp_min(1e-12)
