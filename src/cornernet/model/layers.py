"""Layers that several parts of the network are made of."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Conv2d):
    """A convolution that also trains on CPUs: oneDNN's backward pass of 1x1 convolutions of stride 2 with fewer than 16
    channels writes outside its memory (torch 2.13). For these the cells between are removed first."""

    def forward(self, input: Tensor) -> Tensor:
        step = self.stride[0]
        if step > 1 and self.kernel_size == (1, 1) and self.in_channels < 16:
            return F.conv2d(input[..., ::step, ::step], self.weight, self.bias, groups=self.groups)
        return super().forward(input)


class FuseConv(Protocol):
    """Makes one operator of a convolution, the batch normalisation after it and its ReLU: ``model.fuse``.

    ``limit`` is the ReLU's largest value, if it has one. ``channels`` are the channels of ``bn`` that normalise the
    convolution's outputs. ``exact`` keeps it in float32. ``packs`` says that the operators are oneDNN's.
    """

    packs: bool

    def __call__(
        self,
        conv: nn.Conv2d,
        bn: nn.BatchNorm2d | None = None,
        *,
        relu: bool,
        limit: float | None = None,
        channels: slice = slice(None),
        exact: bool = False,
    ) -> nn.Module: ...


class Fusable(nn.Module):
    """A layer that is computed by fewer operators at test than in training."""

    def fused(self, fuse: FuseConv) -> nn.Module:
        """The module that replaces the layer at test; the layer itself cannot be used any more."""
        raise NotImplementedError


class ConvBN(Fusable):
    """Convolution without bias, batch normalisation, an optional sum, ReLU unless ``relu`` is False.

    Padding is kernel // 2. The four are one module, so that one operator can compute them at test.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride), rounded up; ``add`` has the output's shape."""
        y = self.bn(self.conv(x))
        if add is not None:
            y = y + add
        return F.relu(y, inplace=True) if self.relu else y

    def fused(self, fuse: FuseConv) -> nn.Module:
        return fuse(self.conv, self.bn, relu=self.relu)


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution if stride or channels change."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = ConvBN(inputs, outputs, 3, stride)
        self.conv2 = ConvBN(outputs, outputs, 3)
        changes = stride != 1 or inputs != outputs
        self.shortcut = ConvBN(inputs, outputs, 1, stride, relu=False) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x), add=self.shortcut(x))


def neighbourhoods(features: Tensor, cells: Tensor) -> Tensor:
    """The 3x3 neighbourhoods of chosen cells, zero outside the map, as a 3x3 convolution reads them.

    ``features`` (B, C, H, W); ``cells`` (B, K) int64, row * W + column. Returns (B, K, 9, C), row-major. It reads K
    neighbourhoods, where a convolution reads H * W. ``features`` in channels-last are not copied.
    """
    batch, channels, height, width = features.shape
    shifts = torch.arange(-1, 2, device=cells.device)
    rows = (cells // width)[..., None, None] + shifts[:, None]
    columns = (cells % width)[..., None, None] + shifts
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    image = torch.arange(batch, device=cells.device)[:, None, None, None]
    index = torch.where(inside, (image * height + rows) * width + columns, 0)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    found = table.index_select(0, index.reshape(-1)).masked_fill(~inside.reshape(-1, 1), 0)
    return found.reshape(*cells.shape, 9, channels)


class Branch(nn.Module):
    """Convolution of ``kernel`` 3 (or 1), ReLU, 1x1 convolution, both with bias; in every cell, or only in some."""

    def __init__(self, channels: int, hidden: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden, kernel, padding=kernel // 2)
        self.out = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Corner feature (B, C, H, W) to maps (B, outputs, H, W)."""
        return self.out(F.relu(self.conv(x), inplace=True))

    def at(self, patches: Tensor) -> Tensor:
        """``neighbourhoods`` (B, K, 9, C) to values (B, K, outputs), equal to those of ``forward`` at these cells."""
        weight = self.conv.weight.permute(0, 2, 3, 1).flatten(1)
        inputs = patches.flatten(2) if self.conv.kernel_size == (3, 3) else patches[:, :, 4]
        hidden = F.relu(F.linear(inputs.to(weight.dtype), weight, self.conv.bias))
        return F.linear(hidden, self.out.weight.flatten(1), self.out.bias)


class DenseBranch(Branch, Fusable):
    """A branch whose maps are read in every cell; its last layer stays in float32 at test.

    In bfloat16, neighbours that differ by 0.4 % become equal, and equal neighbours are all peaks.
    """

    def fused(self, fuse: FuseConv) -> nn.Module:
        return nn.Sequential(fuse(self.conv, relu=True), fuse(self.out, relu=False, exact=True))
