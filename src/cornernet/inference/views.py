"""Large images looked at in overlapping tiles: where they lie, and which of their pairs count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cornernet.errors import InputError
from cornernet.model.decode import Pairs

_EDGE = 8.0  # pixels: the corner of an object that an edge cuts is seen on the edge, give or take two cells of 4


class Tile(NamedTuple):
    """A part of an image, in pixels, right and bottom exclusive.

    ``rooms`` say how much of it the neighbour beyond each edge (left, top, right, bottom) sees too; 0 at the image's
    own edges.
    """

    left: int
    top: int
    right: int
    bottom: int
    rooms: tuple[int, int, int, int]

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Its pixels, a view of the image (H, W, 3)."""
        return image[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class Tiling:
    """Square tiles of ``size`` pixels, neighbours sharing at least ``overlap`` pixels.

    An object that is a little (16 pixels) smaller than the overlap lies whole, and off the edges, in one tile at least.
    Where other tiles cut it, they see half an object, and boxes that touch an edge between tiles are dropped
    (``whole_pairs``). A larger object may lie whole in no tile, and is then missed: choose an overlap as long as the
    longest object. Raises ``InputError`` for sizes that make no tiles.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.overlap < self.size:
            raise InputError(
                f"tiles of {self.size} pixels that overlap by {self.overlap}: give a size above 0 and a smaller overlap"
                " (--tile SIZE,OVERLAP)"
            )

    def tiles(self, height: int, width: int) -> list[Tile]:
        """Tiles that cover an image, row by row: all of the full size where the image is, spread evenly."""
        columns, rows = self._spans(width), self._spans(height)
        return [
            Tile(left, top, right, bottom, (before, above, behind, below))
            for top, bottom, above, below in rows
            for left, right, before, behind in columns
        ]

    def _spans(self, length: int) -> list[tuple[int, int, int, int]]:
        """Along one side: start, end, and how far the span before and the one behind reach into it."""
        last = max(length - self.size, 0)
        steps = -(-last // (self.size - self.overlap))
        starts = [last * i // max(steps, 1) for i in range(steps + 1)]
        ends = [min(start + self.size, length) for start in starts]
        before = [0, *(end - start for end, start in zip(ends, starts[1:], strict=False))]
        return list(zip(starts, ends, before, [*before[1:], 0], strict=True))


def make_tiling(size: int, overlap: int | None = None) -> Tiling:
    """Tiles of ``size`` pixels, overlapping by a quarter where nothing else is said."""
    return Tiling(size, size // 4 if overlap is None else overlap)


def whole_pairs(boxes: Tensor, tiles: Sequence[Tile]) -> Tensor:
    """Which boxes (B, N, 4), in pixels of their tile of a batch of B, are no half ones: (B, N).

    A box that touches an edge beyond which there is a neighbour is taken for a half one: a neighbour sees the object
    whole, unless it is longer than their overlap. Where tiles do not overlap, every box stays.
    """
    size = boxes.new_tensor([tiles[0].right - tiles[0].left, tiles[0].bottom - tiles[0].top])
    near = boxes.new_tensor([tile.rooms for tile in tiles])[:, None].div(2).clamp_max(_EDGE)
    before, behind = boxes[..., :2].clamp_min(0), (size - boxes[..., 2:]).clamp_min(0)  # from the edges
    return ~((before < near[..., :2]) | (behind < near[..., 2:])).any(dim=-1)


def join_pairs(found: Sequence[tuple[Pairs, Sequence[Tile]]], min_score: float) -> Pairs:
    """Pairs of batches of tiles as those of one image, (1, N), in its pixels.

    Half ones, those below ``min_score`` and rows that only fill up are dropped.
    """
    parts = []
    for pairs, tiles in found:
        keep = pairs.valid & (pairs.scores >= min_score) & whole_pairs(pairs.boxes, tiles)
        corners = pairs.boxes.new_tensor([(tile.left, tile.top) * 2 for tile in tiles])
        moved = pairs._replace(boxes=pairs.boxes + corners[:, None])
        parts.append([values[keep] for values in moved])
    return Pairs(*(torch.cat(columns)[None] for columns in zip(*parts, strict=True)))
