"""The losses of maps that a test made itself."""

from __future__ import annotations

from torch import Tensor

from cornernet.config import EmbeddingConfig, LossSettings, PairingConfig
from cornernet.model.criterion import corner_losses
from cornernet.model.head import CornerValues
from cornernet.model.losses import device_counts
from cornernet.model.targets import Targets


def losses_of(
    tl_heatmap: Tensor,
    br_heatmap: Tensor,
    *values: Tensor,
    targets: Targets,
    pairing: PairingConfig = EmbeddingConfig(),  # noqa: B008 - frozen
    settings: LossSettings = LossSettings(),
) -> dict[str, Tensor]:
    """``criterion.corner_losses``; ``values`` are offsets and pairing values of both corners, at the targets' cells."""
    rule = pairing.make(1, 1)
    counts = device_counts(targets)
    return corner_losses((tl_heatmap, br_heatmap), CornerValues(*values), rule, targets, counts, settings)
