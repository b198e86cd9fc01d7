"""A top-down path: from a trunk's maps of several strides to one map of the finest stride."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.model.layers import ConvBN


class TopDown(nn.Module):
    """Feature pyramid (Lin et al., 2017) of which only the finest map is used.

    ``inputs`` are the channels of the maps, the finest first; ``channels`` those of the result. 3x3 convolutions only
    where a map is coarse: they are cheap there, and the head has its own on the finest. Layers are counted from the
    coarsest map, so that a path to another stride has the same ones.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvBN(count, channels, 1) for count in reversed(inputs))
        self.smooth = nn.ModuleList(ConvBN(channels, channels, 3) for _ in inputs[1:])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps (B, C, H, W), the finest first, to (B, channels, H, W) of the finest."""
        coarsest, *finer = reversed(maps)
        x = self.lateral[0](coarsest)
        for smooth, lateral, feature in zip(self.smooth, self.lateral[1:], finer, strict=True):
            x = F.interpolate(smooth(x), size=feature.shape[-2:], mode="nearest")
            x = lateral(feature, add=x)
        return x
