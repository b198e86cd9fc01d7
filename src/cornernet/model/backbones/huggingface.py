"""Any backbone of the package transformers (ResNet, ConvNeXt, Swin, DINOv2 ...), and a top-down path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.config import HuggingFaceConfig
from cornernet.errors import InputError
from cornernet.model.backbones.base import Backbone
from cornernet.model.layers import ConvBN
from cornernet.model.top_down import TopDown
from cornernet.model.trunks import build_trunk, measure_trunk


class HuggingFace(Backbone, config=HuggingFaceConfig):
    """The trunk, a top-down path to its finest map, and, if that is coarser than ``output_stride``, a way up.

    Maps finer than ``output_stride`` are not used. A plain vision transformer has no finer map than its patches: their
    map is enlarged twofold and smoothed by a 3x3 convolution until it has ``output_stride``.
    """

    def __init__(self, config: HuggingFaceConfig) -> None:
        super().__init__(config)
        self.channels = config.channels
        strides = [stride for stride in config.strides if stride >= config.output_stride] or [*config.strides[-1:]]
        trunk = {**config.trunk, "out_features": config.trunk["out_features"][-len(strides) :]}
        maps = measure_trunk(json.dumps(trunk))
        if [*maps.strides] != strides:
            found = " ".join(map(str, maps.strides))
            what = f"its maps have strides {found}, not {' '.join(map(str, strides))}"
            raise InputError(what, "model.backbone.strides", "correct them")
        self.maps = maps
        self.trunk: nn.Module = build_trunk(trunk)
        for name in maps.unused:  # processes that share gradients wait for those of every weight that learns
            self.trunk.get_parameter(name).requires_grad_(False)
        self.neck = TopDown(maps.channels, config.channels)
        steps = [stride for stride in (strides[0] / 2**i for i in range(8)) if stride > config.output_stride]
        self.smooth = nn.ModuleList(ConvBN(config.channels, config.channels, 3) for _ in steps)

    def pretrained(self) -> nn.Module:
        """The trunk."""
        return self.trunk

    def renamed(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of transformers."""
        return {f"trunk.{key}": value for key, value in published.items()}

    def early(self) -> Iterator[nn.Module]:
        """The stem or the patches' embedding, and the first stage or block."""
        parts = dict(self.trunk.named_modules())
        yield from (part for name, part in parts.items() if name.rpartition(".")[2] in ("embedder", "embeddings"))
        lists = [part for part in parts.values() if isinstance(part, nn.ModuleList) and len(part) > 1]
        yield from (stages[0] for stages in lists[:1])

    @property
    def bytes_per_pixel(self) -> float:
        """Inputs and outputs of the trunk's largest layer, and as much again for what waits to be added."""
        return max(2 * self.maps.bytes_per_pixel, super().bytes_per_pixel)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to one map (B, channels, H / output_stride, W / output_stride), rounded up.

        Images are padded at the right and at the bottom to whole cells of every map, and the result is cut.
        """
        stride, multiple = self.stride, self.config.size_multiple
        height, width = images.shape[-2:]
        full_height, full_width = (-(-side // multiple) * multiple for side in (height, width))
        padded = F.pad(images, (0, full_width - width, 0, full_height - height))
        x = self.neck(self.trunk(padded).feature_maps)
        for i, layer in enumerate(self.smooth, 1):
            is_last = i == len(self.smooth)
            size = (full_height // stride, full_width // stride) if is_last else (2 * x.shape[-2], 2 * x.shape[-1])
            x = layer(F.interpolate(x, size=size, mode="bilinear"))
        return [x[..., : -(-height // stride), : -(-width // stride)]]
