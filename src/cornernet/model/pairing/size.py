"""Pairing by predicted size: not in the paper."""

from __future__ import annotations

from torch import Tensor

from cornernet.config import SizeConfig
from cornernet.model.losses import Counts, corner_loss
from cornernet.model.pairing.base import Pairing
from cornernet.model.targets import Targets
from cornernet.structures import PairingWords

SIZE_UNIT = 32.0  # pixels
_BETA = 0.1  # about a tenth of the size; larger errors count linearly


def log_sizes(tl: Tensor, br: Tensor) -> Tensor:
    """Widths and heights between corners (..., 2) in pixels, as logarithms of ``SIZE_UNIT`` pixels.

    A side below one pixel counts as one pixel.
    """
    return ((br - tl).clamp_min(1) / SIZE_UNIT).log()


class PredictedSize(Pairing, config=SizeConfig):
    """Each corner predicts the width and height of its object; the other corner must be at that distance.

    Two neighbours that look alike have the same embedding, but a box around both has the wrong size.
    """

    outputs = 2
    words = PairingWords("size", "predicted size in pixels", "{:.0f}x{:.0f}", "predicted and real sizes differ")

    def distance(self, tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """Difference of the logarithms of predicted and real size: mean of width and height, and of both corners."""
        sizes = log_sizes(tl_positions[:, :, None], br_positions[:, None])
        wrong = (tl.float()[:, :, None] - sizes).abs() + (br.float()[:, None] - sizes).abs()
        return wrong.mean(dim=-1) / 2

    def target(self, boxes: Tensor) -> Tensor:
        """The logarithms of width and height."""
        return log_sizes(boxes[..., :2], boxes[..., 2:])

    def losses(self, tl: Tensor, br: Tensor, targets: Targets, counts: Counts) -> dict[str, Tensor]:
        """``size``: smooth L1 of the logarithms, divided by the cells with a corner, mean of both corners."""
        sizes = targets.at_cells(self.target(targets.boxes))
        tl_loss = corner_loss(tl, sizes, targets.tl_is_owner, counts.tl_cells, beta=_BETA)
        br_loss = corner_loss(br, sizes, targets.br_is_owner, counts.br_cells, beta=_BETA)
        return {"size": (tl_loss + br_loss) / 2}

    def readable(self, values: Tensor, scale: float) -> Tensor:
        """Width and height in pixels of the image."""
        return SIZE_UNIT / scale * values.exp()
