"""``model.soft_nms`` as a loop that exporters understand."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from cornernet.model.soft_nms import MIN_SCORE, SIGMA


def soft_nms_loop(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, limit: int, plus_one: float
) -> tuple[Tensor, Tensor]:
    """Indices and scores, (B, limit) each, of the boxes that ``soft_nms`` keeps; fillers have a score of -1.

    ``boxes`` (B, N, 4), ``scores`` (B, N), -1 for fillers, and ``labels`` (B, N), N at least ``limit``.
    """
    area = (boxes[..., 2:] - boxes[..., :2] + plus_one).prod(dim=-1)
    place, column = torch.arange(scores.shape[1]), torch.arange(limit)

    def goes_on(step: Tensor, remaining: Tensor, chosen: Tensor, kept: Tensor) -> Tensor:
        return (step < limit) & (remaining >= 0).any()

    def keep_best(step: Tensor, remaining: Tensor, chosen: Tensor, kept: Tensor) -> tuple[Tensor, ...]:
        score, best = remaining.max(dim=1, keepdim=True)
        box = boxes.gather(1, best[..., None].expand(-1, -1, 4))
        low, high = torch.maximum(boxes, box)[..., :2], torch.minimum(boxes, box)[..., 2:]
        overlap = (high - low + plus_one).clamp_min(0).prod(dim=-1)
        iou = overlap / (area + area.gather(1, best) - overlap).clamp_min(1e-9)
        same = labels == labels.gather(1, best)
        faded = torch.where(same, remaining * torch.exp(-(iou * iou) / SIGMA), remaining)
        faded = torch.where((place == best) | (faded < MIN_SCORE), -1.0, faded)
        here = column == step
        return step + 1, faded, torch.where(here, best, chosen), torch.where(here, score, kept)

    nothing = scores.new_full((scores.shape[0], limit), -1.0)
    first = torch.where(scores < MIN_SCORE, -1.0, scores), torch.zeros_like(nothing, dtype=torch.int64), nothing
    _, _, chosen, kept = while_loop(goes_on, keep_best, (torch.zeros((), dtype=torch.int64), *first))
    return chosen, kept
