"""``model.soft_nms`` as loops that exporters understand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._higher_order_ops import while_loop

from cornernet.model.soft_nms import MIN_SCORE, SIGMA

State = tuple[Tensor, Tensor, Tensor, Tensor]  # steps (B, 1), faded scores, indices and scores of what is kept
_TABLE = 256  # candidates whose overlaps are computed at once; few images have more that matter


def soft_nms_loop(
    boxes: Tensor, scores: Tensor, labels: Tensor, *, limit: int, plus_one: float
) -> tuple[Tensor, Tensor]:
    """Indices and scores, (B, limit) each, of the boxes that ``soft_nms`` keeps; fillers have a score of -1.

    ``boxes`` (B, N, 4), ``scores`` (B, N), best first, -1 for fillers, and ``labels`` (B, N), N at least ``limit``.

    A runtime needs over a microsecond for each operator of each step, whatever its size. So the decays of the best
    candidates are a table, computed before the loop. Where a faded score falls below the first one that is not in the
    table, a second loop begins again with all candidates.
    """
    table, shape = min(_TABLE, scores.shape[1]), (scores.shape[0], limit)
    has_more = scores.shape[1] > table
    remaining = torch.where(scores < MIN_SCORE, 0.0, scores)
    lowest = torch.full_like(remaining[:, :1], MIN_SCORE)
    bound = torch.maximum(remaining[:, table : table + 1], lowest) if has_more else lowest
    best_boxes, best_labels = boxes[:, :table], labels[:, :table]
    best_decays = _decays(best_boxes, best_labels, best_boxes, best_labels, plus_one) * (1 - torch.eye(table))

    def from_table(best: Tensor) -> Tensor:
        return best_decays.gather(1, best[..., None].expand(-1, -1, table))[:, 0]

    step, first = labels.new_full((shape[0], 1), 0), remaining[:, :table] * 1  # contiguous, as what a step returns
    state = _keep((step, first, labels.new_full(shape, 0), scores.new_full(shape, 0.0)), bound, from_table)
    if has_more:
        place = torch.arange(scores.shape[1])

        def computed(best: Tensor) -> Tensor:
            box = boxes.gather(1, best[..., None].expand(-1, -1, 4))
            decays = _decays(box, labels.gather(1, best), boxes, labels, plus_one)[:, 0]
            return torch.where(place == best, 0.0, decays)

        step, _, chosen, kept = state
        is_short = (step < limit) & (remaining[:, table : table + 1] > 0)
        again = torch.where(is_short, 0, step), torch.where(is_short, remaining, 0.0), chosen, kept
        state = _keep(again, lowest, computed)
    step, _, chosen, kept = state
    return chosen, torch.where(torch.arange(limit) < step, kept, -1.0)


def _decays(boxes: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, plus_one: float) -> Tensor:
    """(B, N, M): what each of N kept boxes multiplies the scores of M others by."""
    left, top, right, bottom = boxes[:, :, None].unbind(-1)
    other_left, other_top, other_right, other_bottom = others[:, None].unbind(-1)
    width = torch.minimum(right, other_right) - torch.maximum(left, other_left) + plus_one
    height = torch.minimum(bottom, other_bottom) - torch.maximum(top, other_top) + plus_one
    overlap = width.clamp_min(0) * height.clamp_min(0)
    area = (right - left + plus_one) * (bottom - top + plus_one)
    other_area = (other_right - other_left + plus_one) * (other_bottom - other_top + plus_one)
    iou = overlap / (area + other_area - overlap).clamp_min(1e-9)
    return torch.where(labels[:, :, None] == other_labels[:, None], torch.exp(-(iou * iou) / SIGMA), 1.0)


def _keep(state: State, bound: Tensor, decays_of: Callable[[Tensor], Tensor]) -> State:
    """Keep the best, until ``chosen`` is full or all scores are below ``bound`` (B, 1).

    ``decays_of`` takes an index (B, 1); its decay of that candidate itself is 0.
    """
    limit = state[2].shape[1]
    column = torch.arange(limit)

    def goes_on(step: Tensor, remaining: Tensor, chosen: Tensor, kept: Tensor) -> Tensor:
        return ((step < limit) & (remaining.amax(dim=1, keepdim=True) >= bound)).any()

    def keep_best(step: Tensor, remaining: Tensor, chosen: Tensor, kept: Tensor) -> State:
        score, best = remaining.max(dim=1, keepdim=True)
        is_active = score >= bound
        faded = torch.where(is_active, remaining * decays_of(best), remaining)
        here = is_active & (column == step)
        return step + is_active, faded, torch.where(here, best, chosen), torch.where(here, score, kept)

    return while_loop(goes_on, keep_best, state)
