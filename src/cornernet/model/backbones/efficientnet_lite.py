"""EfficientNet-Lite (R. Liu, Google, 2020), an ImageNet trunk without squeeze-excitation, and a top-down path.

Source: https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite; the blocks are MobileNetV2's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.config import EfficientNetLiteConfig
from cornernet.model.backbones.base import Backbone
from cornernet.model.layers import Fusable, FuseConv
from cornernet.model.top_down import TopDown

_PUBLISHED = {  # layers of a block
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}
_STRIP_ROWS, _STRIP_BYTES = 8, 12 * 2**20  # fewest rows; memory of an expanded strip: fits a last-level cache
_EPSILON, _MOMENTUM = 1e-3, 0.01  # of TensorFlow's batch normalisation


class ConvBN6(Fusable):
    """Convolution with TensorFlow's "same" padding, batch normalisation, and ReLU6 unless ``relu`` is False.

    In a training with frozen statistics (``bn`` in eval mode) they are folded into the convolution: one pass, and one
    activation to keep for the gradient instead of two.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, relu: bool = True
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0
        self.conv: Any = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn: Any = nn.BatchNorm2d(outputs, eps=_EPSILON, momentum=_MOMENTUM)
        self.kernel, self.stride, self.relu = kernel, stride, relu
        self.margins = (kernel // 2 - 1, kernel // 2) if stride == 2 else (0, 0)  # before and after, of even sizes

    def forward(self, x: Tensor, add: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to (B, outputs, H / stride, W / stride), rounded up; ``add`` has the output's shape."""
        if self.stride == 2:  # the last row and column are at the centre of a kernel if their number is odd
            before, after = self.margins
            margins = before + x.shape[-1] % 2, after, before + x.shape[-2] % 2, after
            x = F.pad(x, margins) if after or any(margins) else x
        if self.bn is None:
            return self.conv(x, add)  # fused
        y = self._normalized(x)
        return y if add is None else y + add

    def _normalized(self, x: Tensor) -> Tensor:
        if self.stride == 2 and x.device.type == "cpu" and x.requires_grad and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):  # in bfloat16 oneDNN takes fifty times as long for the gradient
                return self._activated(x.float())
        return self._activated(x)

    def _activated(self, x: Tensor) -> Tensor:
        is_fine_tuned = torch.is_grad_enabled() and not self.bn.training
        y = self._folded(x) if is_fine_tuned else self.bn(self.conv(x))
        return F.relu6(y, inplace=True) if self.relu else y

    def _folded(self, x: Tensor) -> Tensor:
        conv, bn = self.conv, self.bn
        scale = bn.weight * (bn.running_var + bn.eps).rsqrt()
        weight, bias = conv.weight * scale[:, None, None, None], bn.bias - bn.running_mean * scale
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, 1, conv.groups)

    def fused(self, fuse: FuseConv) -> nn.Module:
        if self.stride == 2 and self.conv.groups > 1 and fuse.packs:
            # A row and a column of zeros before the kernel: oneDNN pads both sides alike, without a copy of the map.
            self.conv.weight.data = F.pad(self.conv.weight.data, (1, 0, 1, 0))
            self.conv.kernel_size, self.conv.padding = (self.kernel + 1,) * 2, (self.kernel // 2,) * 2
            self.margins = 0, 0
        self.conv, self.bn = fuse(self.conv, self.bn, relu=self.relu, limit=6.0), None
        return self


class InvertedResidual(Fusable):
    """1x1 convolution to ``expansion`` times the channels, depthwise convolution, 1x1 convolution without ReLU, and
    the input added if its shape fits (Sandler et al., MobileNetV2, 2018)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.middle = middle = inputs * expansion
        self.expand = ConvBN6(inputs, middle, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvBN6(middle, middle, kernel, stride, middle)
        self.project = ConvBN6(middle, outputs, 1, relu=False)
        self.adds_input = stride == 1 and inputs == outputs
        self.in_strips = False

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) to (B, outputs, H / stride, W / stride), rounded up."""
        stride, rows = self.depthwise.stride, self._strip_rows(x) if self.in_strips else 0
        if not rows:
            return self._outputs(x, x)
        halo = -(-(self.depthwise.kernel // 2) // stride)  # rows of outputs that a strip's edge makes wrong
        strips = []
        for top in range(0, x.shape[-2] // stride, rows):
            above, strip = min(top, halo), x[:, :, stride * max(top - halo, 0) : stride * (top + rows + halo)]
            strips.append(self._outputs(strip, x[:, :, top : top + rows], slice(above, above + rows)))
        return torch.cat(strips, dim=2)

    def _strip_rows(self, x: Tensor) -> int:
        """Rows of the output that are computed at once, from the memory that their expanded map takes; 0 for all."""
        batch, _, height, width = x.shape
        stride = self.depthwise.stride
        rows = _STRIP_BYTES // (batch * self.middle * width * stride * x.element_size())
        return rows if _STRIP_ROWS <= rows < height // stride and height % stride == 0 else 0

    def _outputs(self, x: Tensor, shortcut: Tensor, rows: slice = slice(None)) -> Tensor:
        y = self.depthwise(self.expand(x))[:, :, rows]
        return self.project(y, add=shortcut if self.adds_input else None)

    def fused(self, fuse: FuseConv) -> nn.Module:
        for layer in (self.expand, self.depthwise, self.project):
            if isinstance(layer, ConvBN6):
                layer.fused(fuse)
        self.in_strips = fuse.packs
        return self


class Stage(NamedTuple):
    """Blocks of one resolution in lite0: how many, and their settings; the first block has the stride."""

    blocks: int
    channels: int
    kernel: int
    stride: int
    expansion: int


STAGES = (
    Stage(blocks=1, channels=16, kernel=3, stride=1, expansion=1),
    Stage(blocks=2, channels=24, kernel=3, stride=2, expansion=6),
    Stage(blocks=2, channels=40, kernel=5, stride=2, expansion=6),
    Stage(blocks=3, channels=80, kernel=3, stride=2, expansion=6),
    Stage(blocks=3, channels=112, kernel=5, stride=1, expansion=6),
    Stage(blocks=4, channels=192, kernel=5, stride=2, expansion=6),
    Stage(blocks=1, channels=320, kernel=3, stride=1, expansion=6),
)
STEM_CHANNELS = 32
MULTIPLIERS = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""Of channels and of blocks; the stem, and the number of blocks of the first and the last stage, stay as they are."""


def scaled_stages(variant: str) -> list[Stage]:
    """The stages of a variant; channels are rounded to multiples of 8."""
    width, depth = MULTIPLIERS[variant]
    scaled = []
    for stage in STAGES:
        channels = int(stage.channels * width + 4) // 8 * 8
        blocks = stage.blocks if stage in (STAGES[0], STAGES[-1]) else math.ceil(stage.blocks * depth)
        scaled.append(stage._replace(channels=channels, blocks=blocks))
    return scaled


class Trunk(nn.Module):
    """The classifier up to its last block."""

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.stem = ConvBN6(3, STEM_CHANNELS, 3, 2)
        self.stages = nn.ModuleList()
        inputs, found = STEM_CHANNELS, {}
        stride = 2
        for i, stage in enumerate(scaled_stages(variant)):
            blocks = []
            for j in range(stage.blocks):
                step = stage.stride if j == 0 else 1
                blocks.append(InvertedResidual(inputs, stage.channels, stage.kernel, step, stage.expansion))
                inputs = stage.channels
            self.stages.append(nn.Sequential(*blocks))
            stride *= stage.stride
            found[stride] = i
        self.last = [found[stride] for stride in (4, 8, 16, 32)]  # the last stage of each stride

    @property
    def channels(self) -> list[int]:
        """Of the maps that ``forward`` gives."""
        return [self.stages[i][-1].project.conv.out_channels for i in self.last]  # type: ignore[index]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to maps of stride 4, 8, 16 and 32."""
        x, maps = self.stem(images), []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.last:
                maps.append(x)
        return maps


class EfficientNetLite(Backbone, config=EfficientNetLiteConfig):
    """The trunk, and a top-down path from stride 32 to ``output_stride``."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        self.channels = config.channels
        self.trunk = Trunk(config.variant)
        self.first = 0 if config.output_stride == 4 else 1
        self.neck = TopDown(self.trunk.channels[self.first :], config.channels)
        for layer in self.trunk.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")

    def pretrained(self) -> nn.Module:
        """The trunk."""
        return self.trunk

    def renamed(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of the package ``efficientnet-lite-pytorch``."""
        stages = cast("Sequence[nn.Sequential]", self.trunk.stages)
        places = [(i, j) for i, stage in enumerate(stages) for j in range(len(stage))]
        tensors = {}
        for key, value in published.items():
            if found := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
                stage, block = places[int(found[1])]
                tensors[f"trunk.stages.{stage}.{block}.{_PUBLISHED[found[2]]}.{found[3]}"] = value
            elif found := re.fullmatch(r"(_conv_stem|_bn0)\.(\w+)", key):
                tensors[f"trunk.stem.{'bn' if found[1] == '_bn0' else 'conv'}.{found[2]}"] = value
        return tensors

    def early(self) -> Iterator[nn.Module]:
        """The stem and the stages up to stride 4, and all depthwise layers: their gradients cost half of a step."""
        yield from (self.trunk.stem, self.trunk.stages[0], self.trunk.stages[1])
        yield from (block.depthwise for block in self.trunk.modules() if isinstance(block, InvertedResidual))

    @property
    def bytes_per_pixel(self) -> float:
        """The largest tensors alive at one time: a map of stride 2 expanded sixfold, and the next of stride 4."""
        return 4 * 6 * (16 / 2**2 + 16 / 4**2)

    def recomputed_parts(self) -> Iterator[nn.Module]:
        """The blocks of the trunk."""
        yield from (block for block in self.trunk.modules() if isinstance(block, InvertedResidual))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to one map (B, channels, H / output_stride, W / output_stride), rounded up."""
        return [self.neck(self.trunk(images)[self.first :])]
