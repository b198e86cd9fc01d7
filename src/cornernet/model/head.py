"""The head: from a backbone feature to the six maps (paper, figure 7)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from cornernet.config import Architecture
from cornernet.model.corner_pool import corner_pool_pair
from cornernet.model.layers import Branch, ConvBN, DenseBranch, neighbourhoods
from cornernet.model.pairing.base import Pairing

HEATMAP_BIAS = -2.19  # a probability of 0.1 at the start


class CornerModule(nn.Module):
    """Corner pooling inside a residual block: ``corner`` is ``"tl"`` (top-left) or ``"br"`` (bottom-right).

    ``window`` is the largest number of cells that a pool covers. Without ``pooling`` its two inputs are added.
    """

    def __init__(
        self, channels: int, corner_channels: int, corner: str, *, pooling: bool = True, window: int | None = None
    ) -> None:
        super().__init__()
        self.vertical = ConvBN(channels, corner_channels, 3)
        self.horizontal = ConvBN(channels, corner_channels, 3)
        self.merge = ConvBN(corner_channels, channels, 3)
        self.shortcut = ConvBN(channels, channels, 1, relu=False)
        self.out = ConvBN(channels, channels, 3)
        self.pool = partial(corner_pool_pair, reverse=corner == "tl", window=window) if pooling else torch.add

    def forward(self, x: Tensor) -> Tensor:
        """Backbone feature (B, C, H, W) to corner feature of the same shape."""
        pooled = self.pool(self.vertical(x), self.horizontal(x))
        return self.out(self.merge(pooled, add=self.shortcut(x)))


class CornerFeatures(NamedTuple):
    """Features after corner pooling, (B, C, H, W) each."""

    tl: Tensor
    br: Tensor


class CornerValues(NamedTuple):
    """Predictions at chosen cells: offsets (B, K, 2) as x, y in cells, and pairing values (B, K, D)."""

    tl_offsets: Tensor
    br_offsets: Tensor
    tl_pairing: Tensor
    br_pairing: Tensor


class CornerHead(nn.Module):
    """Corner modules and branches for one output of the backbone, which has ``channels`` channels."""

    def __init__(self, architecture: Architecture, channels: int, num_classes: int) -> None:
        super().__init__()
        hidden, kernel = architecture.branch_channels, architecture.branch_kernel
        pooling: Any = {"pooling": architecture.corner_pooling, "window": architecture.pool_window}
        self.tl = CornerModule(channels, architecture.corner_channels, "tl", **pooling)
        self.br = CornerModule(channels, architecture.corner_channels, "br", **pooling)
        self.tl_heatmap = DenseBranch(channels, hidden, num_classes, kernel)
        self.br_heatmap = DenseBranch(channels, hidden, num_classes, kernel)
        self.tl_offset = Branch(channels, hidden, 2, kernel)
        self.br_offset = Branch(channels, hidden, 2, kernel)
        self.pairing: Pairing = architecture.pairing.make(channels, hidden, kernel)
        self._initialize()

    def _initialize(self) -> None:
        """As in OpenMMLab's code: last layers of branches as PyTorch does, all other convolutions by He, fan out."""
        last = {branch.out for branch in self.modules() if isinstance(branch, Branch)}
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer not in last:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for layer in self.class_layers():
            nn.init.constant_(layer.bias, HEATMAP_BIAS)  # type: ignore[arg-type]

    def class_layers(self) -> tuple[nn.Conv2d, nn.Conv2d]:
        """The layers that have one output channel for each class."""
        return self.tl_heatmap.out, self.br_heatmap.out

    def corner_features(self, feature: Tensor) -> CornerFeatures:
        """Backbone feature (B, C, H, W) to the two corner features."""
        return CornerFeatures(self.tl(feature), self.br(feature))

    def heatmaps(self, features: CornerFeatures) -> tuple[Tensor, Tensor]:
        """Logits (B, num_classes, H, W) of the top-left and the bottom-right corners."""
        return self.tl_heatmap(features.tl), self.br_heatmap(features.br)

    def values_at(
        self,
        features: CornerFeatures,
        tl_cells: Tensor,
        br_cells: Tensor,
        *,
        neighbourhoods: Callable[[Tensor, Tensor], Tensor] = neighbourhoods,
    ) -> CornerValues:
        """Offsets and pairing values only at cells (B, K) int64, row * W + column.

        ``neighbourhoods`` reads the 3x3 neighbourhoods of cells, as ``layers.neighbourhoods`` does.
        """
        tl, br = neighbourhoods(features.tl, tl_cells), neighbourhoods(features.br, br_cells)
        return CornerValues(
            self.tl_offset.at(tl), self.br_offset.at(br), self.pairing.tl.at(tl), self.pairing.br.at(br)
        )
