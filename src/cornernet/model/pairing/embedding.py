"""Pairing by associative embedding (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from cornernet.config import EmbeddingConfig
from cornernet.model.losses import Counts, at_least_float32
from cornernet.model.pairing.base import Pairing
from cornernet.model.targets import Targets
from cornernet.structures import PairingWords

MARGIN = 1.0  # how far the embeddings of two objects are pushed apart
_FAR = 10.0  # between the target embeddings of two objects


class AssociativeEmbedding(Pairing, config=EmbeddingConfig):
    """The corners of one object have nearly the same number, and corners of other objects have other numbers."""

    outputs = 1
    words = PairingWords("embedding", "embedding e", "e {:+.2f}", "embeddings differ")

    def distance(self, tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """The difference of two embeddings; positions do not matter."""
        return (tl.float() - br.float().transpose(1, 2)).abs()

    def target(self, boxes: Tensor) -> Tensor:
        """A different number for each object."""
        batch, objects, _ = boxes.shape
        return _FAR * torch.arange(objects, dtype=torch.float32, device=boxes.device).expand(batch, -1)[..., None]

    def losses(self, tl: Tensor, br: Tensor, targets: Targets, counts: Counts) -> dict[str, Tensor]:
        """``pull`` and ``push``, divided by ``counts.images``."""
        pull, push = pull_push_loss(tl, br, targets.valid, targets.tl_is_owner, targets.br_is_owner)
        return {"pull": pull / counts.images, "push": push / counts.images}


def pull_push_loss(
    tl: Tensor, br: Tensor, valid: Tensor, tl_is_owner: Tensor | None = None, br_is_owner: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Equations 4 and 5 for embeddings (B, N, 1) at the objects' corners: pull and push, summed over images.

    Both have no weights. An image without objects gives no pull, an image with fewer than two gives no push. Embeddings
    may be (B, N * K, 1), at K cells around each corner (``targets.expand_to_radius``), with ``tl_is_owner`` and
    ``br_is_owner`` (B, N * K): each cell of an owner is pulled to the mean of the object's two corners, and the pull of
    an object is the mean over its cells.
    """
    tl, br = (at_least_float32(side).view(*valid.shape, -1) for side in (tl, br))  # (B, N, K)
    middle = tl.shape[-1] // 2
    count = valid.sum(dim=1)
    mean = (tl[..., middle] + br[..., middle]) / 2
    pull = tl.new_zeros(())
    for side, is_owner in ((tl, tl_is_owner), (br, br_is_owner)):
        pulled = valid[..., None] if is_owner is None or tl.shape[-1] == 1 else is_owner.view(side.shape)
        apart = torch.where(pulled, (side - mean[..., None]) ** 2, 0.0).sum(dim=-1) / pulled.sum(dim=-1).clamp_min(1)
        pull = pull + apart.sum(dim=1) / count.clamp_min(1)
    gap = (MARGIN - (mean[:, :, None] - mean[:, None]).abs()).clamp_min(0)
    others = valid[:, :, None] & valid[:, None]
    others &= ~torch.eye(valid.shape[1], dtype=torch.bool, device=valid.device)
    push = torch.where(others, gap, 0.0).sum(dim=(1, 2)) / (count * (count - 1)).clamp_min(1)
    return pull.sum(), push.sum()
