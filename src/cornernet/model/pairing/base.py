"""What every pairing rule answers."""

from __future__ import annotations

from torch import Tensor, nn

from cornernet.model.layers import Branch


class Pairing(nn.Module):
    """What each corner says of the object it belongs to, D numbers, and how far two corners are from one object."""

    outputs: int

    def __init__(self, channels: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        self.tl = Branch(channels, hidden, self.outputs, kernel)
        self.br = Branch(channels, hidden, self.outputs, kernel)

    @staticmethod
    def distance(tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """(B, K, D) of top-left and (B, M, D) of bottom-right corners at x, y in pixels of the network's input,
        (B, K, 2) and (B, M, 2), to distances (B, K, M)."""
        raise NotImplementedError

    @staticmethod
    def truth(tl: Tensor, br: Tensor) -> Tensor | None:
        """What corners (..., 2) in pixels, of one object each, have to say, (..., D); None where any number will do
        that both say."""
        return None
