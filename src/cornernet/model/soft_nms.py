"""Gaussian soft-NMS (Bodla et al., 2017) per class, for a batch of images at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SIGMA = 0.5  # of the Gaussian that lowers the score of overlapping boxes
MIN_SCORE = 0.001  # a box below it is dropped
_FEW = 320  # candidates whose overlaps are faster to compute all at once
MERGE_POWER = 10  # a larger one gives boxes of small overlap a smaller share in a merged box


class Kept(NamedTuple):
    """What soft-NMS keeps, best first, on the CPU: ``boxes`` (B, K, 4), merged if that was requested.

    All others (B, K): ``chosen``, indices into the candidates; ``scores`` after decay; ``valid``, False for fillers.
    """

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
    min_score: float = MIN_SCORE,
    limit: int = 100,
    plus_one: float = 0.0,
    corner_scores: tuple[Tensor, Tensor] | None = None,
) -> Kept:
    """Keep the best ``limit`` of boxes (B, N, 4), scores (B, N), labels (B, N); ``valid`` (B, N) masks fillers.

    The best candidate is kept, and the scores of the others of its class are multiplied by exp(-IoU^2 / SIGMA). This is
    repeated until ``limit`` are kept. Scores never rise, so boxes are kept in the order of their final scores.
    Candidates below ``min_score`` are dropped. ``plus_one`` is added to widths and heights, as the authors' code does
    (1 pixel). Of equal scores the earlier candidate comes first.

    With ``corner_scores``, (B, N) of the top-left and of the bottom-right corners, a kept box is *merged*: its x1, y1
    become the mean of the x1, y1 of all boxes of its class, weighted by top-left scores times (1 - decay)^10 (its own
    by its score alone); its x2, y2 likewise by bottom-right scores. Source: the authors' multi-scale test.
    """
    if valid is not None:
        scores = torch.where(valid, scores, -1.0)
    precise = torch.promote_types(boxes.dtype, torch.float32)
    columns = boxes.to(precise), scores.to(precise), labels, *(corner_scores or ())
    batch, limit = len(scores), min(limit, scores.shape[1])
    kept = Kept(
        torch.zeros(batch, limit, 4, dtype=precise),
        torch.zeros(batch, limit, dtype=torch.int64),
        torch.full((batch, limit), -1, dtype=precise),
        torch.zeros(batch, limit, dtype=torch.bool),
    )
    images = zip(*(column.cpu().numpy() for column in columns), strict=True)
    rows = zip(*(column.numpy() for column in kept), strict=True)
    for image, row in zip(images, rows, strict=True):
        _keep(*image, row=row, min_score=min_score, plus_one=plus_one)
    return kept


def _keep(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    *corner_scores: np.ndarray,
    row: tuple[np.ndarray, ...],
    min_score: float,
    plus_one: float,
) -> None:
    """``soft_nms`` of one image; fills ``row``, the image's row of each array of ``Kept``."""
    kept, chosen, final, valid = row
    candidates = np.flatnonzero(scores >= min_score)
    corners, remaining, labels = boxes[candidates].T.copy(), scores[candidates], labels[candidates]
    tl, br = [column[candidates] for column in corner_scores] or (None, None)
    low, high = corners[:2], corners[2:]
    area = np.prod(high - low + plus_one, axis=0)

    def decays_of(rows: slice) -> np.ndarray:
        sides = np.minimum(high[:, None], high[:, rows, None]) - np.maximum(low[:, None], low[:, rows, None]) + plus_one
        overlap = np.prod(sides.clip(0), axis=0) * (labels == labels[rows, None])
        # Boxes without area must not become NaN.
        iou = overlap / (area + area[rows, None] - overlap).clip(1e-9)
        return np.exp(-(iou * iou) / SIGMA)

    decays = decays_of(slice(None)) if len(candidates) <= _FEW else None
    for step in range(min(len(valid), len(candidates))):
        best = int(remaining.argmax())
        if remaining[best] < min_score:  # scores never rise
            break
        decay = decays[best] if decays is not None else decays_of(slice(best, best + 1))[0]
        chosen[step], final[step], valid[step] = candidates[best], remaining[best], True
        kept[step] = corners[:, best]
        if tl is not None and br is not None:
            shares = np.where(remaining >= min_score, (1 - decay) ** MERGE_POWER, 0)
            shares[best] = 1
            kept[step] = *_mean(low, shares * tl), *_mean(high, shares * br)
        remaining *= decay
        remaining[best] = -1


def _mean(corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean (2,) of corners (2, N)."""
    return (corners * weights).sum(1) / max(float(weights.sum()), 1e-12)
