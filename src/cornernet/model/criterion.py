"""Images to losses: what a training step computes."""

from __future__ import annotations

from torch import Tensor

from cornernet.config import LossSettings
from cornernet.errors import InputError
from cornernet.model.cornernet import CornerNet
from cornernet.model.head import CornerValues
from cornernet.model.losses import Counts, corner_loss, device_counts, focal_loss, world_counts
from cornernet.model.pairing.base import Pairing
from cornernet.model.targets import OccupiedMaps, Targets, expand_to_radius, make_targets


def batch_losses(
    model: CornerNet,
    images: Tensor,
    boxes: Tensor,
    labels: Tensor,
    settings: LossSettings = LossSettings(),
    occupied_maps: OccupiedMaps | None = None,
) -> dict[str, Tensor]:
    """The weighted losses by name, summed over all outputs of the backbone; their sum is minimised.

    ``images`` (B, 3, S, S) are normalised; ``boxes`` (B, N, 4) are in their pixels, ``labels`` (B, N) -1 for fillers.
    Offsets and pairing values are computed only at the objects' corners, where the losses read them. If
    ``normalize`` is ``"world"``, the mean of all devices' losses is the loss of all their images in one batch. If
    ``occupied_maps`` of these labels are given, on the same device, a GPU does not have to wait for them.
    """
    outputs = model(images)
    (height, width), (rows, columns) = images.shape[-2:], outputs[0].tl_heatmap.shape[-2:]
    targets = make_targets(boxes, labels, (height, width), (rows, columns), settings.penalty_reduction, occupied_maps)
    targets = expand_to_radius(targets, (rows, columns), settings.supervision_radius)
    counts = (world_counts if settings.normalize == "world" else device_counts)(targets)
    total: dict[str, Tensor] = {}
    for output in outputs:
        values = output.head.values_at(output.features, targets.tl_cells, targets.br_cells)
        heatmaps = output.tl_heatmap, output.br_heatmap
        losses = corner_losses(heatmaps, values, output.head.pairing, targets, counts, settings)
        total = {name: total.get(name, 0) + value for name, value in losses.items()}
    return total


def corner_losses(
    heatmaps: tuple[Tensor, Tensor],
    values: CornerValues,
    pairing: Pairing,
    targets: Targets,
    counts: Counts,
    settings: LossSettings = LossSettings(),
) -> dict[str, Tensor]:
    """One output's weighted losses: ``heatmap``, ``offset`` and those of ``pairing``, under their own names.

    ``heatmaps`` are the logits (B, C, H, W) of both corners; ``values`` are read at the cells of ``targets``.
    """
    tl_focal = focal_loss(heatmaps[0], targets.heatmaps[0], targets.occupied_maps, counts.tl_peaks)
    br_focal = focal_loss(heatmaps[1], targets.heatmaps[1], targets.occupied_maps, counts.br_peaks)
    tl_offset = corner_loss(values.tl_offsets, targets.tl_offsets, targets.tl_is_owner, counts.tl_cells)
    br_offset = corner_loss(values.br_offsets, targets.br_offsets, targets.br_is_owner, counts.br_cells)
    losses = {"heatmap": (tl_focal + br_focal) / 2, "offset": (tl_offset + br_offset) / 2}
    own = pairing.losses(values.tl_pairing, values.br_pairing, targets, counts)
    if own.keys() != pairing.config.losses.keys() or own.keys() & losses.keys():
        named, given = (", ".join(names) for names in (pairing.config.losses, own))
        raise InputError(
            f"its settings name the losses {named}, and losses() gives {given}",
            f"pairing rule {type(pairing).__name__}",
            "give the same names, and neither heatmap nor offset",
        )
    losses |= own
    weights = {"heatmap": settings.heatmap, "offset": settings.offset}
    weights |= pairing.config.losses | settings.pairing_weights
    return {name: weights[name] * loss for name, loss in losses.items()}
