"""The contract of every pairing rule."""

from __future__ import annotations

from string import Formatter
from typing import Any, ClassVar

from torch import Tensor, nn

from cornernet.config import PairingConfig
from cornernet.errors import InputError
from cornernet.model.layers import Branch
from cornernet.model.losses import Counts
from cornernet.model.targets import Targets
from cornernet.structures import PairingWords


class Pairing(nn.Module):
    """D values that each corner predicts of its object, and the distance between two corners that they give.

    ``class Toy(Pairing, config=ToyConfig)`` is built from the settings ``ToyConfig``, a ``PairingConfig``, which names
    its losses. ``outputs`` is D; ``words`` names and formats the values for people.
    """

    outputs: ClassVar[int]
    words: ClassVar[PairingWords]

    def __init_subclass__(cls, *, config: type[PairingConfig] | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        if config is not None:
            config.module = cls

    def __init__(self, config: PairingConfig, channels: int, hidden: int, kernel: int = 3) -> None:
        super().__init__()
        words, outputs = getattr(self, "words", None), getattr(self, "outputs", 0)
        places = sum(field is not None for _, field, _, _ in Formatter().parse(words.form)) if words else 0
        if not words or places != outputs:
            raise InputError(
                f"{outputs} values for each corner, and words for {places}",
                f"pairing rule {type(self).__name__}",
                "give outputs, and words with a form that has one place for each value",
            )
        self.config = config
        self.tl = Branch(channels, hidden, self.outputs, kernel)
        self.br = Branch(channels, hidden, self.outputs, kernel)

    def distance(self, tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """Distances (B, K, M), at least 0, of K top-left and M bottom-right corners.

        Pairs above ``Decoding.max_distance`` are rejected. ``tl`` (B, K, D) and ``br`` (B, M, D) are predicted values;
        ``tl_positions`` (B, K, 2) and ``br_positions`` (B, M, 2) are x, y in pixels of the network's input.
        """
        raise NotImplementedError

    def target(self, boxes: Tensor) -> Tensor:
        """Values (B, N, D) that both corners of boxes (B, N, 4) should predict; boxes are in pixels of the input.

        With these values, corners of one object have distance 0, and corners of two objects are rejected.
        """
        raise NotImplementedError

    def losses(self, tl: Tensor, br: Tensor, targets: Targets, counts: Counts) -> dict[str, Tensor]:
        """The rule's losses by the names in ``PairingConfig.losses``: scalars in float32, without weights.

        ``tl`` and ``br`` (B, N * K, D) are the values predicted at the cells of ``targets``, K cells for each object;
        ``targets.at_cells`` repeats an object's values for its cells.
        """
        raise NotImplementedError

    def readable(self, values: Tensor, scale: float) -> Tensor:
        """Predicted values (..., D) for people; the network's input was ``scale`` times as large as the image."""
        return values
