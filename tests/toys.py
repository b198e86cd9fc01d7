"""A backbone and a pairing rule that only the tests know: written against the contract alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cornernet.config import BackboneConfig, PairingConfig
from cornernet.model.backbones.base import Backbone
from cornernet.model.losses import Counts, corner_loss
from cornernet.model.pairing.base import Pairing
from cornernet.model.targets import Targets
from cornernet.structures import PairingWords


@dataclass(frozen=True)
class ToyConfig(BackboneConfig, name="toy"):
    stride = 8
    normalization = {"color_order": "BGR", "mean": (1.0, 2.0, 3.0)}  # noqa: RUF012 - a class variable of the base
    width: int = 8


class Toy(Backbone, config=ToyConfig):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.channels = config.width
        self.body = nn.Conv2d(3, config.width, 9, 8, 4)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.body(images).relu()]


@dataclass(frozen=True)
class DiagonalConfig(PairingConfig, name="diagonal"):
    losses = {"diagonal": 0.5}  # noqa: RUF012 - a class variable of the base


class Diagonal(Pairing, config=DiagonalConfig):
    """Each corner predicts how far away the other one is, in units of 32 pixels."""

    outputs = 1
    words = PairingWords("diagonal", "diagonal in pixels", "{:.0f} px", "predicted and real diagonals differ")

    def distance(self, tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        real = torch.linalg.vector_norm(br_positions[:, None] - tl_positions[:, :, None], dim=-1) / 32
        return ((tl.float() - real).abs() + (br.float().transpose(1, 2) - real).abs()) / 2

    def target(self, boxes: Tensor) -> Tensor:
        return torch.linalg.vector_norm(boxes[..., 2:] - boxes[..., :2], dim=-1, keepdim=True) / 32

    def losses(self, tl: Tensor, br: Tensor, targets: Targets, counts: Counts) -> dict[str, Tensor]:
        target = targets.at_cells(self.target(targets.boxes))
        tl_loss = corner_loss(tl, target, targets.tl_is_owner, counts.tl_cells)
        return {"diagonal": tl_loss + corner_loss(br, target, targets.br_is_owner, counts.br_cells)}

    def readable(self, values: Tensor, scale: float) -> Tensor:
        return 32 / scale * values
