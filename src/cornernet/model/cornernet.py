"""The network: a backbone, and one corner head for each of its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from cornernet.config import Architecture, Freeze
from cornernet.model.backbones.base import Backbone
from cornernet.model.head import CornerFeatures, CornerHead


class StackOutput(NamedTuple):
    """What a head computes in every cell: heatmap logits (B, num_classes, H, W), and the corner features before them.

    Offsets and pairing values are computed only where they are needed: ``head.values_at(features, ...)``.
    """

    tl_heatmap: Tensor
    br_heatmap: Tensor
    features: CornerFeatures
    head: CornerHead


class DenseMaps(NamedTuple):
    """All maps of one output: heatmap logits (B, C, H, W), pairing values (B, D, H, W), offsets (B, 2, H, W)."""

    tl_heatmap: Tensor
    br_heatmap: Tensor
    tl_pairing: Tensor
    br_pairing: Tensor
    tl_offset: Tensor
    br_offset: Tensor


class CornerNet(nn.Module):
    """CornerNet (Law and Deng, ECCV 2018): a backbone, and a corner head for each of its outputs.

    ``fused`` is the dtype in which a network from ``model.fuse`` computes, ``None`` for any other network.
    """

    fused: torch.dtype | None = None

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        self.architecture, self.num_classes = architecture, num_classes
        self.backbone: Backbone = architecture.backbone.make()
        channels, outputs = self.backbone.channels, self.backbone.num_outputs
        heads = nn.ModuleList(CornerHead(architecture, channels, num_classes) for _ in range(outputs))
        self.heads = cast("Sequence[CornerHead]", heads)

    @property
    def bytes_per_pixel(self) -> float:
        """About how much memory a pixel of input takes at test, in float32: the largest tensors alive at one time.

        It is 720 for HourglassNet-104; 582 were measured. Decoding takes a part of the difference.
        """
        a = self.architecture
        head = 2 * a.corner_channels + 2 * a.branch_channels + 4 * self.num_classes
        return self.backbone.bytes_per_pixel + 4 * head / self.backbone.stride**2

    def recomputed_parts(self) -> Iterator[nn.Module]:
        """Modules that training may compute again for the gradient; none of them contains another."""
        yield from self.backbone.recomputed_parts()
        for head in self.heads:
            yield from (head.tl, head.br)

    def forward(self, images: Tensor, *, last_only: bool = False) -> list[StackOutput]:
        """Normalised images (B, 3, H, W) to one ``StackOutput`` for each output of the backbone, or only the last."""
        outputs, chosen = [], slice(-1, None) if last_only else slice(None)
        for feature, head in zip(self.backbone(images)[chosen], self.heads[chosen], strict=True):
            features = head.corner_features(feature)
            outputs.append(StackOutput(*head.heatmaps(features), features, head))
        return outputs

    def dense_maps(self, images: Tensor, *, last_only: bool = False) -> list[DenseMaps]:
        """All six maps in every cell, for export and comparison; detection reads far fewer cells."""
        maps = []
        for tl_heatmap, br_heatmap, features, head in self(images, last_only=last_only):
            tl, br = features.tl.float(), features.br.float()  # a fused network may compute them in half precision
            pairing, offsets = (head.pairing.tl(tl), head.pairing.br(br)), (head.tl_offset(tl), head.br_offset(br))
            maps.append(DenseMaps(tl_heatmap, br_heatmap, *pairing, *offsets))
        return maps


def freeze(model: CornerNet, what: Freeze) -> None:
    """Say what of the backbone's pretrained part does not learn (``config.Recipe.freeze``); for a network in training
    mode, whose batch statistics it sets to eval mode."""
    part = model.backbone.pretrained()
    if what != "none":
        part.eval()
    for module in {"early": model.backbone.early(), "backbone": (part,)}.get(what, ()):
        module.requires_grad_(False)


def channels_last(model: CornerNet) -> CornerNet:
    """The network with its weights in the layout of channels-last images, which is faster on every device."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
