"""A top-down path: from a trunk's maps of several strides to one map of the finest stride."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.model.layers import ConvBN


class TopDown(nn.Module):
    """Feature pyramid (Lin et al., 2017) of which only the finest map is used.

    ``inputs`` are the channels of the maps, the finest first; ``channels`` those of the result. 3x3 convolutions only
    where a map is coarse: they are cheap there, and the head has its own on the finest.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvBN(count, channels, 1) for count in inputs)
        self.smooth = nn.ModuleList(ConvBN(channels, channels, 3) for _ in inputs[1:])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C, H, W), the finest first, to (B, channels, H, W) of the finest."""
        x = self.lateral[-1](maps[-1])
        for level in reversed(range(len(maps) - 1)):
            x = self.smooth[level](x)
            x = F.interpolate(x, size=maps[level].shape[-2:], mode="nearest")
            x = self.lateral[level](maps[level], add=x)
        return x
