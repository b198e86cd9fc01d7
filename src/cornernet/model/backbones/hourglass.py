"""Stacked hourglasses (paper, section 3.5), with blocks of stride 2 instead of pooling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.config import HourglassConfig
from cornernet.model.backbones.base import Backbone
from cornernet.model.layers import ConvBN, Residual


class Hourglass(nn.Module):
    """One hourglass over ``channels`` and ``blocks`` (depth + 1 each): down, the next level, up, and a side branch."""

    block: type[nn.Module] = Residual

    def __init__(self, channels: tuple[int, ...], blocks: tuple[int, ...]) -> None:
        super().__init__()
        outer, inner = channels[:2]
        self.side = self._widen_first(blocks[0], outer, outer, 1)
        self.down = self._widen_first(blocks[0], outer, inner, 2)
        if len(channels) > 2:
            self.inner: nn.Module = type(self)(channels[1:], blocks[1:])
        else:
            self.inner = self._widen_first(blocks[1], inner, inner, 1)
        self.up = self._narrow_last(blocks[0], inner, outer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape. Odd sizes are allowed: the lower branch gets the side branch's size."""
        side = self.side(x)
        lower = self.up(self.inner(self.down(x)))
        return side + self.enlarge(lower, side.shape[-2], side.shape[-1])

    def recomputed_parts(self) -> Iterator[nn.Module]:
        """The branches of every level, and the blocks of the innermost one."""
        yield from (self.side, self.down, self.up)
        if isinstance(self.inner, Hourglass):
            yield from self.inner.recomputed_parts()
        else:
            yield self.inner

    def enlarge(self, lower: Tensor, height: int, width: int) -> Tensor:
        """A map of half the size, rounded up, enlarged to ``height`` and ``width`` by nearest neighbours."""
        return F.interpolate(lower, size=(height, width), mode="nearest")

    def _widen_first(self, count: int, inputs: int, outputs: int, stride: int) -> nn.Sequential:
        more = (self.block(outputs, outputs) for _ in range(count - 1))
        return nn.Sequential(self.block(inputs, outputs, stride), *more)

    def _narrow_last(self, count: int, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(*(self.block(inputs, inputs) for _ in range(count - 1)), self.block(inputs, outputs))


class HourglassNet(Backbone, config=HourglassConfig):
    """Stem of stride 4, then ``num_stacks`` hourglasses; each gives one supervised feature map."""

    hourglass: type[Hourglass] = Hourglass

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__(config)
        width, features, stacks = config.channels[0], config.feature_channels, config.num_stacks
        self.width, self.channels, self.num_outputs = width, features, stacks
        self.stem = nn.Sequential(ConvBN(3, width // 2, 7, 2), Residual(width // 2, width, 2))
        self.hourglasses = nn.ModuleList(self.hourglass(config.channels, config.blocks) for _ in range(stacks))
        self.to_feature = nn.ModuleList(ConvBN(width, features, 3) for _ in range(stacks))
        self.from_input = nn.ModuleList(ConvBN(width, width, 1) for _ in range(stacks - 1))
        self.from_feature = nn.ModuleList(ConvBN(features, width, 1, relu=False) for _ in range(stacks - 1))
        self.between = nn.ModuleList(Residual(width, width) for _ in range(stacks - 1))

    def early(self) -> Iterator[nn.Module]:
        """The stem."""
        yield self.stem

    @property
    def bytes_per_pixel(self) -> float:
        """The largest tensors alive at one time: two maps of the stem, of stride 2, and three of a residual block."""
        return self.width + 4 * 3 * max(self.width, self.channels) / self.stride**2

    def recomputed_parts(self) -> Iterator[nn.Module]:
        """The side, down and up branches of each level of each hourglass, and the innermost blocks."""
        for hourglass in self.hourglasses:
            yield from cast(Hourglass, hourglass).recomputed_parts()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to a map (B, channels, H / stride, W / stride), rounded up, per hourglass."""
        x = self.stem(images)
        features = []
        for i, (hourglass, to_feature) in enumerate(zip(self.hourglasses, self.to_feature, strict=True)):
            feature = to_feature(hourglass(x))
            features.append(feature)
            if i + 1 < len(self.hourglasses):
                x = self.between[i](self.from_input[i](x, add=self.from_feature[i](feature)))
        return features
