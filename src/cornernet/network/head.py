"""From a backbone feature to the six maps: corner modules (paper, figure 7) and their output branches."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cornernet.network.corner_pool import corner_pool_pair
from cornernet.network.hourglass import ConvBN
from cornernet.structures import Architecture

HEATMAP_BIAS = -2.19  # a probability of 0.1 at the start
SIZE_UNIT = 32.0  # pixels


class CornerModule(nn.Module):
    """Corner pooling inside a residual block: ``corner`` is ``"tl"`` (top-left) or ``"br"`` (bottom-right).

    ``reach`` is how many cells a pool is over at most. Without ``pooling`` its two inputs are added.
    """

    def __init__(
        self, channels: int, corner_channels: int, corner: str, *, pooling: bool = True, reach: int | None = None
    ) -> None:
        super().__init__()
        self.vertical = ConvBN(channels, corner_channels, 3)
        self.horizontal = ConvBN(channels, corner_channels, 3)
        self.merge = ConvBN(corner_channels, channels, 3)
        self.shortcut = ConvBN(channels, channels, 1, relu=False)
        self.out = ConvBN(channels, channels, 3)
        self.pool = partial(corner_pool_pair, reverse=corner == "tl", reach=reach) if pooling else torch.add

    def forward(self, x: Tensor) -> Tensor:
        """Backbone feature (B, C, H, W) to corner feature of the same shape."""
        pooled = self.pool(self.vertical(x), self.horizontal(x))
        return self.out(self.merge(pooled, add=self.shortcut(x)))


def neighbourhoods(features: Tensor, cells: Tensor) -> Tensor:
    """The 3x3 surroundings of chosen cells, zero outside the map, as a 3x3 convolution would see them.

    ``features`` (B, C, H, W); ``cells`` (B, K) int64, row * W + column. Returns (B, K, 9, C), row-major. Costs K reads
    where a convolution costs H * W; free of copies where ``features`` is channels-last.
    """
    batch, channels, height, width = features.shape
    shifts = torch.arange(-1, 2, device=cells.device)
    rows = (cells // width)[..., None, None] + shifts[:, None]
    columns = (cells % width)[..., None, None] + shifts
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    image = torch.arange(batch, device=cells.device)[:, None, None, None]
    index = torch.where(inside, (image * height + rows) * width + columns, 0)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    found = table.index_select(0, index.reshape(-1)).masked_fill(~inside.reshape(-1, 1), 0)
    return found.reshape(*cells.shape, 9, channels)


class Branch(nn.Module):
    """Convolution of ``kernel`` 3 (or 1), ReLU, 1x1 convolution, both with bias: everywhere, or only at some cells."""

    def __init__(self, channels: int, hidden: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, hidden, kernel, padding=kernel // 2)
        self.out = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Corner feature (B, C, H, W) to maps (B, outputs, H, W)."""
        return self.out(F.relu(self.conv(x), inplace=True))

    def at(self, patches: Tensor) -> Tensor:
        """``neighbourhoods`` (B, K, 9, C) to values (B, K, outputs): what ``forward`` gives at those cells."""
        weight = self.conv.weight.permute(0, 2, 3, 1).flatten(1)
        seen = patches.flatten(2) if self.conv.kernel_size == (3, 3) else patches[:, :, 4]
        hidden = F.relu(F.linear(seen.to(weight.dtype), weight, self.conv.bias))
        return F.linear(hidden, self.out.weight.flatten(1), self.out.bias)


def log_sizes(tl: Tensor, br: Tensor) -> Tensor:
    """Widths and heights between corners (..., 2) in pixels, as logarithms of ``SIZE_UNIT`` pixels; those below a pixel
    count as one."""
    return ((br - tl).clamp_min(1) / SIZE_UNIT).log()


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


class AssociativeEmbedding(Pairing):
    """By embedding (paper, section 3.3): corners of one object have nearly the same number."""

    outputs = 1

    @staticmethod
    def distance(tl: Tensor, br: Tensor, tl_positions: Tensor, br_positions: Tensor) -> Tensor:
        """How far two embeddings differ; where the corners lie does not matter."""
        return (tl.float() - br.float().transpose(1, 2)).abs()


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


PAIRINGS = {"embedding": AssociativeEmbedding, "size": PredictedSize}


class CornerFeatures(NamedTuple):
    """Features after corner pooling, (B, C, H, W) each."""

    tl: Tensor
    br: Tensor


class CornerValues(NamedTuple):
    """What the sparse branches say at chosen cells: offsets (B, K, 2) as x, y in cells; embeddings (B, K, 1), or in
    their place what else pairs corners (``Pairing``)."""

    tl_offsets: Tensor
    br_offsets: Tensor
    tl_embeddings: Tensor
    br_embeddings: Tensor


class CornerHead(nn.Module):
    """Corner modules and branches of one stack; can be asked in parts, so that test and training pay for no more."""

    def __init__(self, architecture: Architecture, num_classes: int) -> None:
        super().__init__()
        channels, hidden = architecture.feature_channels, architecture.branch_channels
        pooling: Any = {"pooling": architecture.corner_pooling, "reach": architecture.pooling_reach}
        self.tl = CornerModule(channels, architecture.corner_channels, "tl", **pooling)
        self.br = CornerModule(channels, architecture.corner_channels, "br", **pooling)
        kernel = architecture.branch_kernel
        self.tl_heatmap = Branch(channels, hidden, num_classes, kernel)
        self.br_heatmap = Branch(channels, hidden, num_classes, kernel)
        self.tl_offset = Branch(channels, hidden, 2, kernel)
        self.br_offset = Branch(channels, hidden, 2, kernel)
        self.pairing = PAIRINGS[architecture.pairing](channels, hidden, kernel)
        self._initialize()

    def _initialize(self) -> None:
        """As OpenMMLab's networks began: the branches' last layers as PyTorch does, all others by He, fan out."""
        for name, layer in self.named_modules():
            if isinstance(layer, nn.Conv2d) and not (name.endswith(".out") and layer.kernel_size == (1, 1)):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        for heatmap in (self.tl_heatmap, self.br_heatmap):
            nn.init.constant_(heatmap.out.bias, HEATMAP_BIAS)  # type: ignore[arg-type]

    def corner_features(self, feature: Tensor) -> CornerFeatures:
        """Backbone feature (B, C, H, W) to the two corner features."""
        return CornerFeatures(self.tl(feature), self.br(feature))

    def heatmaps(self, features: CornerFeatures) -> tuple[Tensor, Tensor]:
        """Logits (B, num_classes, H, W) of the top-left and the bottom-right corners."""
        return self.tl_heatmap(features.tl), self.br_heatmap(features.br)

    def values_at(self, features: CornerFeatures, tl_cells: Tensor, br_cells: Tensor) -> CornerValues:
        """Offsets and embeddings at cells (B, K) int64, row * W + column, only."""
        tl, br = neighbourhoods(features.tl, tl_cells), neighbourhoods(features.br, br_cells)
        return CornerValues(
            self.tl_offset.at(tl), self.br_offset.at(br), self.pairing.tl.at(tl), self.pairing.br.at(br)
        )
