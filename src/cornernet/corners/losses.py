"""The four losses (paper, sections 3.2 to 3.4), from logits and in float32 whatever the network computes in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cornernet.corners.targets import Targets
from cornernet.structures import LossWeights

ALPHA, BETA = 2.0, 4.0
MARGIN = 1.0


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Equation 1: scalar, summed over (B, C, H, W), divided by the number of cells whose target is 1 (at least 1)."""
    logits = logits.float()
    probability = logits.sigmoid()
    positive = target == 1
    at_corner = (1 - probability) ** ALPHA * F.logsigmoid(logits)
    elsewhere = (1 - target) ** BETA * probability**ALPHA * F.logsigmoid(-logits)
    return -torch.where(positive, at_corner, elsewhere).sum() / positive.sum().clamp_min(1)


def offset_loss(offsets: Tensor, target: Tensor, owns: Tensor) -> Tensor:
    """Equation 3: scalar smooth-L1 of (B, N, 2) in cells, summed over x and y, per cell that holds a corner."""
    error = F.smooth_l1_loss(offsets.float(), target, reduction="none").sum(dim=-1)
    return torch.where(owns, error, 0.0).sum() / owns.sum().clamp_min(1)


def pull_push_loss(tl: Tensor, br: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 4 and 5 for embeddings (B, N, 1) of the objects' own corners: pull and push, summed over images.

    Both are unweighted. Images with no object give no pull, with fewer than two no push.
    """
    tl, br = tl.float().squeeze(-1), br.float().squeeze(-1)
    count = valid.sum(dim=1)
    mean = (tl + br) / 2
    pull = torch.where(valid, (tl - mean) ** 2 + (br - mean) ** 2, 0.0).sum(dim=1) / count.clamp_min(1)
    gap = (MARGIN - (mean[:, :, None] - mean[:, None]).abs()).clamp_min(0)
    others = valid[:, :, None] & valid[:, None]
    others &= ~torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    push = torch.where(others, gap, 0.0).sum(dim=(1, 2)) / (count * (count - 1)).clamp_min(1)
    return pull.sum(), push.sum()


def corner_losses(
    tl_heatmap: Tensor,
    br_heatmap: Tensor,
    tl_offsets: Tensor,
    br_offsets: Tensor,
    tl_embeddings: Tensor,
    br_embeddings: Tensor,
    targets: Targets,
    weights: LossWeights = LossWeights(),
) -> dict[str, Tensor]:
    """One stack's weighted losses: ``heatmap``, ``offset``, ``pull``, ``push``; their sum is what is minimised.

    Heatmaps are logits (B, C, H, W); offsets (B, N, 2) and embeddings (B, N, 1) are those read at the targets' cells.
    """
    heatmap = (focal_loss(tl_heatmap, targets.tl_heatmap) + focal_loss(br_heatmap, targets.br_heatmap)) / 2
    tl_offset = offset_loss(tl_offsets, targets.tl_offsets, targets.tl_owns)
    br_offset = offset_loss(br_offsets, targets.br_offsets, targets.br_owns)
    pull, push = pull_push_loss(tl_embeddings, br_embeddings, targets.valid)
    return {
        "heatmap": weights.heatmap * heatmap,
        "offset": weights.offset * (tl_offset + br_offset) / 2,
        "pull": weights.pull * pull,
        "push": weights.push * push,
    }
