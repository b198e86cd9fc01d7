"""Pairing by associative embedding."""

from __future__ import annotations

from torch import Tensor

from cornernet.model.pairing.base import Pairing


class AssociativeEmbedding(Pairing):
    """By embedding (paper, section 3.3): corners of one object have nearly the same number."""

    outputs = 1

    @staticmethod
    def distance(tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """How far two embeddings differ; where the corners lie does not matter."""
        return (tl.float() - br.float().transpose(1, 2)).abs()
