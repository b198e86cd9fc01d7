"""The backbone of CornerNet-Squeeze (Law et al., CornerNet-Lite, 2019, section 4): cheaper blocks, stride 8."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.config import SqueezeConfig
from cornernet.model.backbones.hourglass import Hourglass, HourglassNet
from cornernet.model.layers import Conv, ConvBN, Fusable, FuseConv, Residual


class Fire(Fusable):
    """Half as many channels, then a 1x1 and a depthwise 3x3 convolution side by side, plus the input if its shape fits.

    Source: the authors' code; SqueezeNet's fire module with MobileNet's depthwise convolution, without ReLU between.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        half = outputs // 2
        self.squeeze: Any = ConvBN(inputs, half, 1, relu=False)  # Any: ``fused`` replaces them
        self.expand1: Any = Conv(half, half, 1, stride, bias=False)
        self.expand3: Any = nn.Conv2d(half, half, 3, stride, 1, groups=half, bias=False)
        self.bn: nn.Module = nn.BatchNorm2d(2 * half)
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        out = self.bn(torch.cat((self.expand1(squeezed), self.expand3(squeezed)), dim=1))
        return F.relu(out + x if self.adds_input else out, inplace=True)

    def fused(self, fuse: FuseConv) -> nn.Module:
        """Fold the batch normalisation into both convolutions, whose outputs it normalises."""
        half, bn = self.expand1.out_channels, cast(nn.BatchNorm2d, self.bn)
        self.squeeze = self.squeeze.fused(fuse)
        self.expand1 = fuse(self.expand1, bn, relu=False, channels=slice(half))
        self.expand3 = fuse(self.expand3, bn, relu=False, channels=slice(half, None))
        self.bn = nn.Identity()
        return self


class SqueezeHourglass(Hourglass):
    """An hourglass of fire modules; a transposed convolution enlarges its lower branch."""

    block = Fire

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__(channels, blocks)
        self.upsample = nn.ConvTranspose2d(channels[0], channels[0], 4, 2, 1)

    def enlarge(self, lower: Tensor, height: int, width: int) -> Tensor:
        """Twice the size, without the last row or column if the side branch's size is odd."""
        return self.upsample(lower)[..., :height, :width]


class SqueezeNet(HourglassNet, config=SqueezeConfig):
    """The hourglass network of stride 8: one more residual block in the stem, fire modules in the hourglasses."""

    hourglass = SqueezeHourglass

    def __init__(self, config: SqueezeConfig) -> None:
        super().__init__(config)
        self.stem.append(Residual(self.width, self.width, 2))
