"""Pairing by predicted size."""

from __future__ import annotations

from torch import Tensor

from cornernet.model.pairing.base import Pairing

SIZE_UNIT = 32.0  # pixels


def log_sizes(tl: Tensor, br: Tensor) -> Tensor:
    """Widths and heights between corners (..., 2) in pixels, as logarithms of ``SIZE_UNIT`` pixels; those below a pixel
    count as one."""
    return ((br - tl).clamp_min(1) / SIZE_UNIT).log()


class PredictedSize(Pairing):
    """By size: each corner says how wide and high its object is, as logarithms of ``SIZE_UNIT`` pixels, and the other
    corner must lie there. Neighbours that look alike have one embedding, a box across them has the wrong size."""

    outputs = 2
    truth = staticmethod(log_sizes)

    @staticmethod
    def distance(tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """The mean, over width and height and both corners, of how far the logarithms of said and true size differ."""
        sizes = log_sizes(tl_positions[:, :, None], br_positions[:, None])
        wrong = (tl.float()[:, :, None] - sizes).abs() + (br.float()[:, None] - sizes).abs()
        return wrong.mean(dim=-1) / 2
