"""The losses of heatmaps and of values at corners (paper, section 3.2), in float32 or float64."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cornernet.model.targets import OccupiedMaps, Targets

ALPHA, BETA = 2.0, 4.0


class Counts(NamedTuple):
    """The divisors of a batch's losses, scalars.

    ``tl_peaks`` and ``br_peaks`` count the cells of heatmaps whose target is 1; ``tl_cells`` and ``br_cells`` count the
    cells with a corner of any class. ``images`` divides losses that are summed over images.
    """

    tl_peaks: Tensor
    br_peaks: Tensor
    tl_cells: Tensor
    br_cells: Tensor
    images: Tensor


def count_targets(targets: Targets) -> Counts:
    """The counts of one batch, float32. They may be 0, and they may be summed over devices."""
    images = torch.as_tensor(float(len(targets.valid)), device=targets.valid.device)
    peaks = [(heatmap == 1).sum().float() for heatmap in targets.heatmaps]
    return Counts(peaks[0], peaks[1], targets.tl_is_owner.sum().float(), targets.br_is_owner.sum().float(), images)


def device_counts(targets: Targets) -> Counts:
    """The counts of this device's batch, at least 1; sums over images are not divided."""
    counts = count_targets(targets)
    tl_peaks, br_peaks, tl_cells, br_cells = (count.clamp_min(1) for count in counts[:4])
    return Counts(tl_peaks, br_peaks, tl_cells, br_cells, torch.ones_like(counts.images))


def world_counts(targets: Targets) -> Counts:
    """The counts of all devices' batches divided by the number of devices, because gradients are averaged over them."""
    counts, world = torch.stack(count_targets(targets)), 1
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(counts)
        world = torch.distributed.get_world_size()
    return Counts(*(counts.clamp_min(1) / world))


class _Background(torch.autograd.Function):
    """The focal loss of logits (B, C, H, W) if every target is 0: the sum of -p^2 log(1 - p).

    It takes one image at a time, in float32 at least. It keeps only the logits; autograd would keep six maps.
    """

    @staticmethod
    def forward(ctx, logits: Tensor) -> Tensor:
        ctx.save_for_backward(logits)
        precise = torch.promote_types(logits.dtype, torch.float32)
        total = logits.new_zeros((), dtype=precise)
        for image in logits:
            x = image.to(precise)
            total -= (x.sigmoid().square_() * F.logsigmoid(-x)).sum()
        return total

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        (logits,), (grad,) = ctx.saved_tensors, grad_outputs
        result = torch.empty_like(logits)
        for image, target in zip(logits, result, strict=True):
            x = image.to(grad.dtype)
            p = x.sigmoid()
            slope = (1 - p).mul_(F.logsigmoid(-x)).mul_(-2).add_(p).mul_(p.square_())
            target.copy_(slope.mul_(grad))
        return result


def focal_loss(logits: Tensor, target: Tensor, occupied_maps: OccupiedMaps, count: Tensor | None = None) -> Tensor:
    """Equation 1: summed over logits (B, C, H, W), divided by ``count``, the cells whose target is 1, at least 1.

    ``target`` (P, H, W) are the heatmaps of ``occupied_maps``; all others are 0. The loss of all maps as background is
    computed first and then corrected for the occupied maps.
    """
    occupied = at_least_float32(logits[occupied_maps.images, occupied_maps.classes])
    probability, positive = occupied.sigmoid(), target == 1
    background = probability**ALPHA * F.logsigmoid(-occupied)
    at_corner = (1 - probability) ** ALPHA * F.logsigmoid(occupied)
    exact = torch.where(positive, at_corner, (1 - target) ** BETA * background)
    count = positive.sum().clamp_min(1) if count is None else count
    return (_Background.apply(logits) - (exact - background).sum()) / count  # type: ignore[operator]


def corner_loss(
    values: Tensor, target: Tensor, is_owner: Tensor, count: Tensor | None = None, beta: float = 1.0
) -> Tensor:
    """Equation 3: smooth L1 of values (B, N, D) at corners, summed over all whose ``is_owner`` (B, N) is True.

    It is divided by ``count``, the cells with a corner, at least 1. It is quadratic up to ``beta``.
    """
    error = F.smooth_l1_loss(at_least_float32(values), target, reduction="none", beta=beta).sum(dim=-1)
    return torch.where(is_owner, error, 0.0).sum() / (is_owner.sum().clamp_min(1) if count is None else count)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32, because it cannot tell 1 from 1 - 1e-4; other floats as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
