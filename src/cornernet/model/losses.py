"""The four losses (paper, sections 3.2 and 3.3), from logits and in float32 at least."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cornernet.config import LossSettings
from cornernet.model.targets import OccupiedMaps, Targets

ALPHA, BETA = 2.0, 4.0
MARGIN = 1.0
_SIZE_BETA = 0.1  # a tenth of the size: what is worse counts linearly


class Counts(NamedTuple):
    """What the losses of a batch are divided by, scalars: cells of each corner whose target is 1, cells that hold a
    corner of any class, and for pull and push (summed over images where it is 1) the images."""

    tl_peaks: Tensor
    br_peaks: Tensor
    tl_cells: Tensor
    br_cells: Tensor
    images: Tensor


def count_targets(targets: Targets) -> Counts:
    """The counts of one batch, float32, not yet at least 1; they may be summed over devices."""
    images = torch.as_tensor(float(len(targets.valid)), device=targets.valid.device)
    peaks = [(heatmap == 1).sum().float() for heatmap in targets.heatmaps]
    return Counts(peaks[0], peaks[1], targets.tl_is_owner.sum().float(), targets.br_is_owner.sum().float(), images)


class _Background(torch.autograd.Function):
    """The focal loss of logits (B, C, H, W) where every target is 0: the sum of -p^2 log(1 - p).

    An image at a time, in float32 at least; of the half dozen maps that autograd would keep, only the logits are.
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
    """Equation 1: scalar, summed over logits (B, C, H, W), divided by ``count`` (cells whose target is 1, at least 1).

    ``target`` (P, H, W) are the ``planes`` that hold objects; in all others it is 0. Those are counted as background
    first, and put right.
    """
    held = _precise(logits[occupied_maps.images, occupied_maps.classes])
    probability, positive = held.sigmoid(), target == 1
    background = probability**ALPHA * F.logsigmoid(-held)
    at_corner = (1 - probability) ** ALPHA * F.logsigmoid(held)
    right = torch.where(positive, at_corner, (1 - target) ** BETA * background)
    count = positive.sum().clamp_min(1) if count is None else count
    return (_Background.apply(logits) - (right - background).sum()) / count  # type: ignore[operator]


def offset_loss(
    offsets: Tensor, target: Tensor, is_owner: Tensor, count: Tensor | None = None, beta: float = 1.0
) -> Tensor:
    """Equation 3: scalar smooth-L1 of (B, N, 2) in cells, summed over x and y, divided by ``count`` (cells that hold a
    corner, at least 1). Quadratic up to ``beta``. Of logarithms of sizes alike."""
    error = F.smooth_l1_loss(_precise(offsets), target, reduction="none", beta=beta).sum(dim=-1)
    return torch.where(is_owner, error, 0.0).sum() / (is_owner.sum().clamp_min(1) if count is None else count)


def pull_push_loss(
    tl: Tensor, br: Tensor, valid: Tensor, tl_is_owner: Tensor | None = None, br_is_owner: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Equations 4 and 5 for embeddings (B, N, 1) of the objects' own corners: pull and push, summed over images.

    Both are unweighted. Images with no object give no pull, with fewer than two no push. With embeddings (B, N * K, 1)
    of K cells around each corner (``targets.spread``) and those that are an object's own, likewise (B, N * K), each of
    them is pulled to the mean of the two in the middle, and an object counts their average.
    """
    tl, br = (_precise(side).view(*valid.shape, -1) for side in (tl, br))  # (B, N, K)
    middle = tl.shape[-1] // 2
    count = valid.sum(dim=1)
    mean = (tl[..., middle] + br[..., middle]) / 2
    pull = tl.new_zeros(())
    for side, is_owner in ((tl, tl_is_owner), (br, br_is_owner)):
        pulled = valid[..., None] if is_owner is None or tl.shape[-1] == 1 else is_owner.view(side.shape)
        apart = torch.where(pulled, (side - mean[..., None]) ** 2, 0.0).sum(dim=-1) / pulled.sum(dim=-1).clamp_min(1)
        pull = pull + apart.sum(dim=1) / count.clamp_min(1)
    gap = (MARGIN - (mean[:, :, None] - mean[:, None]).abs()).clamp_min(0)
    others = valid[:, :, None] & valid[:, None]
    others &= ~torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    push = torch.where(others, gap, 0.0).sum(dim=(1, 2)) / (count * (count - 1)).clamp_min(1)
    return pull.sum(), push.sum()


def _precise(values: Tensor) -> Tensor:
    """In float32 at least: half precision cannot tell 1 from 1 - 1e-4."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def corner_losses(
    tl_heatmap: Tensor,
    br_heatmap: Tensor,
    tl_offsets: Tensor,
    br_offsets: Tensor,
    tl_embeddings: Tensor,
    br_embeddings: Tensor,
    targets: Targets,
    weights: LossSettings = LossSettings(),
    counts: Counts | None = None,
    sizes: Tensor | None = None,
) -> dict[str, Tensor]:
    """One stack's weighted losses: ``heatmap``, ``offset``, ``pull``, ``push``; their sum is what is minimised.

    Divided by ``counts``, or in the classic way: by the batch's own, pull and push summed over images.
    Heatmaps are logits (B, C, H, W); offsets (B, N, 2) and embeddings (B, N, 1) are those read at the targets' cells,
    N * K of them where those are spread. With the objects' ``sizes`` (B, N, 2), logarithms, embeddings (B, N, 2) are
    what corners say of them; their smooth-L1 is then ``pull``, and ``push`` is 0.
    """
    tl_peaks, br_peaks, tl_cells, br_cells, images = counts or (None, None, None, None, 1)
    tl_focal = focal_loss(tl_heatmap, targets.heatmaps[0], targets.occupied_maps, tl_peaks)
    br_focal = focal_loss(br_heatmap, targets.heatmaps[1], targets.occupied_maps, br_peaks)
    heatmap = (tl_focal + br_focal) / 2
    tl_offset = offset_loss(tl_offsets, targets.tl_offsets, targets.tl_is_owner, tl_cells)
    br_offset = offset_loss(br_offsets, targets.br_offsets, targets.br_is_owner, br_cells)
    losses = {"heatmap": weights.heatmap * heatmap, "offset": weights.offset * (tl_offset + br_offset) / 2}
    if sizes is not None:
        sizes = sizes.repeat_interleave(tl_embeddings.shape[1] // max(1, sizes.shape[1]), dim=1)
        tl_size = offset_loss(tl_embeddings, sizes, targets.tl_is_owner, tl_cells, _SIZE_BETA)
        br_size = offset_loss(br_embeddings, sizes, targets.br_is_owner, br_cells, _SIZE_BETA)
        size = weights.size * (tl_size + br_size) / 2
        return losses | {"pull": size, "push": torch.zeros_like(size)}
    pull, push = (
        loss / images
        for loss in pull_push_loss(
            tl_embeddings, br_embeddings, targets.valid, targets.tl_is_owner, targets.br_is_owner
        )
    )
    return losses | {"pull": weights.pull * pull, "push": weights.push * push}
