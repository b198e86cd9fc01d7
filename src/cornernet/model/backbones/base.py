"""The contract of every backbone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from cornernet.config import BackboneConfig


class Backbone(nn.Module):
    """Images in, feature maps out.

    ``class Toy(Backbone, config=ToyConfig)`` is built from the settings ``ToyConfig``, a ``BackboneConfig``. Its
    ``__init__`` takes the settings and sets ``channels``, the number of channels of every map. ``num_outputs`` is the
    number of maps. Each map gets a head and is supervised in training; only the last one is used at test.
    """

    channels: int
    num_outputs: int = 1

    def __init_subclass__(cls, *, config: type[BackboneConfig] | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if config is not None:
            config.module = cls

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def stride(self) -> int:
        """Pixels of the input for each cell of the maps, down and across."""
        return self.config.stride

    @property
    def bytes_per_pixel(self) -> float:
        """About how much memory a pixel of input takes inside the backbone at test, in float32."""
        return 4 * 6 * self.channels / self.stride**2

    def pretrained(self) -> nn.Module:
        """The part that begins from pretrained weights, learns at ``optimization.backbone_lr`` and can be frozen."""
        return self

    def renamed(self, published: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of the published classifier under the names of this backbone, without those of its last layers."""
        raise NotImplementedError

    def early(self) -> Iterator[nn.Module]:
        """Parts of ``pretrained`` that know what all images have in common: ``freeze early`` keeps them as they are."""
        return iter(())

    def recomputed_parts(self) -> Iterator[nn.Module]:
        """Modules that training may compute again for the gradient instead of keeping their activations.

        None of them contains another. If there are none, the backbone keeps all activations.
        """
        return iter(())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images (B, 3, H, W) to ``num_outputs`` maps (B, channels, H / stride, W / stride), rounded up.

        Any H and W must work: training crops are not padded to ``size_multiple``.
        """
        raise NotImplementedError
