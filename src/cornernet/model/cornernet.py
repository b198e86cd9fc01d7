"""The network: backbone and one corner head per stack."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from cornernet.config import Architecture
from cornernet.model.backbones.hourglass import HourglassNet
from cornernet.model.backbones.squeeze import SqueezeNet
from cornernet.model.head import CornerFeatures, CornerHead

BACKBONES = {"hourglass": HourglassNet, "squeeze": SqueezeNet}


class StackOutput(NamedTuple):
    """One stack's answer: heatmap logits (B, num_classes, H, W) and the corner features behind them.

    Offsets and embeddings are read where they are needed: ``head.values_at(features, ...)``.
    """

    tl_heatmap: Tensor
    br_heatmap: Tensor
    features: CornerFeatures
    head: CornerHead


class DenseMaps(NamedTuple):
    """All six raw maps of one stack: heatmap logits (B, C, H, W), embeddings (B, 1, H, W), offsets (B, 2, H, W).

    In a network that pairs by size, logarithms of width and height (B, 2, H, W) stand in place of embeddings.
    """

    tl_heatmap: Tensor
    br_heatmap: Tensor
    tl_embedding: Tensor
    br_embedding: Tensor
    tl_offset: Tensor
    br_offset: Tensor


class CornerNet(nn.Module):
    """CornerNet (Law and Deng, ECCV 2018) of any hourglass size.

    ``fused`` is the arithmetic of a network that ``model.fuse`` made ready for testing, ``None`` for any other.
    """

    fused: torch.dtype | None = None

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        self.architecture, self.num_classes = architecture, num_classes
        self.backbone = BACKBONES[architecture.backbone](architecture)
        self.heads = nn.ModuleList(CornerHead(architecture, num_classes) for _ in range(architecture.num_stacks))

    @property
    def bytes_per_pixel(self) -> float:
        """About how much memory a pixel of input takes at test, in float32: what is alive at the widest places.

        Measured: 582 for HourglassNet-104, for which this says 720; decoding takes some of the rest.
        """
        a = self.architecture
        stem = 2 * (a.channels[0] / 2)  # of stride 2, 4 bytes for 4 pixels
        wide = 3 * max(a.channels[0], a.feature_channels) + 2 * a.corner_channels
        return stem + 4 * (wide + 2 * a.branch_channels + 4 * self.num_classes) / self.backbone.stride**2

    def forward(self, images: Tensor, *, last_only: bool = False) -> list[StackOutput]:
        """Normalised images (B, 3, H, W) to one ``StackOutput`` per stack, or of the last stack alone (testing)."""
        outputs = []
        for feature, head in self._stacks(images, last_only):
            features = head.corner_features(feature)
            outputs.append(StackOutput(*head.heatmaps(features), features, head))
        return outputs

    def dense_maps(self, images: Tensor, *, last_only: bool = False) -> list[DenseMaps]:
        """All six maps everywhere: for looking, comparing and exporting; detection reads far fewer places."""
        maps = []
        for tl_heatmap, br_heatmap, features, head in self(images, last_only=last_only):
            tl, br = features.tl.float(), features.br.float()  # a fused network may compute them in half precision
            pairing, offsets = (head.pairing.tl(tl), head.pairing.br(br)), (head.tl_offset(tl), head.br_offset(br))
            maps.append(DenseMaps(tl_heatmap, br_heatmap, *pairing, *offsets))
        return maps

    def _stacks(self, images: Tensor, last_only: bool) -> list[tuple[Tensor, CornerHead]]:
        chosen = slice(-1, None) if last_only else slice(None)
        return list(zip(self.backbone(images)[chosen], self.heads[chosen], strict=True))  # type: ignore[arg-type]


def channels_last(model: CornerNet) -> CornerNet:
    """The network with its weights laid out for channels-last images, which is faster everywhere."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
