"""What every pairing rule answers."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from cornernet.config import PairingConfig
from cornernet.model.layers import Branch
from cornernet.model.losses import Counts
from cornernet.model.targets import Targets
from cornernet.structures import PairingWords


class Pairing(nn.Module):
    """What each corner predicts of its object, D values, and how far two corners are from being one object's.

    ``class Toy(Pairing, config=ToyConfig)`` is the rule of the settings ``ToyConfig``, a ``PairingConfig``, which names
    its losses. ``outputs`` is D; ``words`` says how the values are told.
    """

    outputs: ClassVar[int]
    words: ClassVar[PairingWords]

    def __init_subclass__(cls, *, config: type[PairingConfig] | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if config is not None:
            config.module = cls

    def __init__(self, config: PairingConfig, channels: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        self.config = config
        self.tl = Branch(channels, hidden, self.outputs, kernel)
        self.br = Branch(channels, hidden, self.outputs, kernel)

    def distance(self, tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """Distances (B, K, M), at least 0, of K top-left from M bottom-right corners; pairs up to
        ``Decoding.max_distance`` stand.

        ``tl`` (B, K, D) and ``br`` (B, M, D) are predicted values; ``tl_positions`` (B, K, 2) and ``br_positions``
        (B, M, 2) are x, y in pixels of the network's input.
        """
        raise NotImplementedError

    def target(self, boxes: Tensor) -> Tensor:
        """Values (B, N, D) that both corners of boxes (B, N, 4) should predict; boxes in pixels of the input.

        With them the corners of one object have distance 0, and those of others more than the rule allows.
        """
        raise NotImplementedError

    def losses(self, tl: Tensor, br: Tensor, targets: Targets, counts: Counts) -> dict[str, Tensor]:
        """The rule's losses, scalars under the names in ``PairingConfig.losses``, in float32 and without weights.

        ``tl`` and ``br`` (B, N * K, D) are the values predicted at the cells of ``targets``, K of them for each object;
        ``targets.at_cells`` repeats what objects have for their cells.
        """
        raise NotImplementedError

    def readable(self, values: Tensor, scale: float) -> Tensor:
        """Predicted values (..., D) as people want to read them, where an image was seen ``scale`` times as large."""
        return values
