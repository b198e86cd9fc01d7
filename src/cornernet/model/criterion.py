"""Images to losses: what a training step computes, without Lightning."""

from __future__ import annotations

import torch
from torch import Tensor

from cornernet.config import LossSettings
from cornernet.model.cornernet import CornerNet
from cornernet.model.losses import Counts, corner_losses, count_targets
from cornernet.model.targets import OccupiedMaps, Targets, expand_to_radius, make_targets


def batch_losses(
    model: CornerNet,
    images: Tensor,
    boxes: Tensor,
    labels: Tensor,
    weights: LossSettings = LossSettings(),
    occupied_maps: OccupiedMaps | None = None,
) -> dict[str, Tensor]:
    """The four weighted losses, summed over all stacks, of normalised images (B, 3, S, S) and their objects.

    Offsets and embeddings are computed at the objects' corners alone, the only places where the losses read them. With
    ``normalize`` ``"world"`` the mean of all devices' losses is the loss of all their images in one batch. ``planes``
    of these labels, on the same device, save a GPU from waiting.
    """
    outputs = model(images)
    (height, width), (rows, columns) = images.shape[-2:], outputs[0].tl_heatmap.shape[-2:]
    targets = make_targets(boxes, labels, (height, width), (rows, columns), weights.penalty_reduction, occupied_maps)
    targets = expand_to_radius(targets, (rows, columns), weights.supervision_radius)
    counts = _world_counts(targets) if weights.normalize == "world" else None
    total: dict[str, Tensor] = {}
    for output in outputs:
        sizes = output.head.pairing.truth(boxes[..., :2], boxes[..., 2:])
        values = output.head.values_at(output.features, targets.tl_cells, targets.br_cells)
        losses = corner_losses(
            output.tl_heatmap, output.br_heatmap, *values, targets=targets, weights=weights, counts=counts, sizes=sizes
        )
        total = {name: total.get(name, 0) + value for name, value in losses.items()}
    return total


def _world_counts(targets: Targets) -> Counts:
    """The counts of all devices' batches together, per device: gradients are averaged over devices afterwards."""
    counts, world = torch.stack(count_targets(targets)), 1
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(counts)
        world = torch.distributed.get_world_size()
    return Counts(*(counts.clamp_min(1) / world))
