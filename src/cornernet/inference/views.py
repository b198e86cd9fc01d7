"""Views of an image (whole, tiles, scales, mirrored), and their boxes in pixels of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from cornernet.config import Preprocessing
from cornernet.errors import InputError
from cornernet.inference.api import group_neighbours
from cornernet.media.images import Pixels
from cornernet.media.scaling import resize, scaled_size
from cornernet.model.decode import Pairs


class View(NamedTuple):
    """A rectangle of the image at ``scale``, in pixels of that scale, right and bottom exclusive; mirrored or not.

    ``overlaps`` are the pixels that it shares with its neighbour at each edge (left, top, right, bottom), 0 at the
    image's edges.
    """

    left: int
    top: int
    right: int
    bottom: int
    scale: float = 1.0
    mirrored: bool = False
    overlaps: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, pixels: Pixels) -> Pixels:
        """The view's part of the image (H, W, 3) at ``scale``, not copied."""
        part = pixels[self.top : self.bottom, self.left : self.right]
        return part[:, ::-1] if self.mirrored else part


@dataclass(frozen=True)
class Tiling:
    """Square tiles of ``size`` pixels; neighbours share at least ``overlap`` pixels.

    An object that is 16 pixels smaller than the overlap is whole, and away from the edges, in at least one tile. Other
    tiles may have a part of it; boxes that touch an edge between tiles are dropped (``whole_pairs``). A larger object
    may be whole in no tile and is then missed: choose an overlap as long as the longest object. Raises ``InputError``
    for sizes that are not possible.
    """

    size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.overlap < self.size:
            what = f"tiles of {self.size} pixels that overlap by {self.overlap}"
            raise InputError(what, fix="give a size above 0 and a smaller overlap (--tile SIZE,OVERLAP)")

    def tiles(self, height: int, width: int) -> list[View]:
        """Tiles that cover an image, row by row, evenly spaced; smaller than ``size`` only if the image is."""
        columns, rows = self._spans(width), self._spans(height)
        return [
            View(left, top, right, bottom, overlaps=(before, above, behind, below))
            for top, bottom, above, below in rows
            for left, right, before, behind in columns
        ]

    def _spans(self, length: int) -> list[tuple[int, int, int, int]]:
        """Along one side: start, end, and the overlaps with the span before and the span after."""
        last = max(length - self.size, 0)
        steps = -(-last // (self.size - self.overlap))
        starts = [last * i // max(steps, 1) for i in range(steps + 1)]
        ends = [min(start + self.size, length) for start in starts]
        before = [0, *(end - start for end, start in zip(ends, starts[1:], strict=False))]
        return list(zip(starts, ends, before, [*before[1:], 0], strict=True))


def make_tiling(size: int, overlap: int | None = None) -> Tiling:
    """Tiles of ``size`` pixels that overlap by ``overlap``, by default a quarter."""
    return Tiling(size, size // 4 if overlap is None else overlap)


def make_views(
    height: int, width: int, scales: Sequence[float] = (1.0,), flip: bool = False, tiling: Tiling | None = None
) -> list[View]:
    """All views of an image: in each scale the whole image or its tiles, and with ``flip`` each of them mirrored."""
    views = []
    for scale in scales:
        size = scaled_size(height, width, scale)
        parts = tiling.tiles(*size) if tiling else [View(0, 0, size[1], size[0])]
        for mirrored in (False, True) if flip else (False,):
            views += [part._replace(scale=scale, mirrored=mirrored) for part in parts]
    return views


class ViewBatch(NamedTuple):
    """Views of one scale, mirroring and padded size, which go through the network together.

    ``images`` are the indices of their images, ``pixels`` their content.
    """

    images: Sequence[int]
    views: Sequence[View]
    pixels: Sequence[Pixels]


def batch_views(
    images: Sequence[Pixels], views: Sequence[Sequence[View]], size: int, preprocessing: Preprocessing
) -> Iterator[ViewBatch]:
    """Every image's ``views`` in batches of at most ``size``: the first views of all images, then the second ones.

    All images have equally many views.
    """

    def key(item: tuple[int, View]) -> tuple[float, bool, tuple[int, int]]:
        return item[1].scale, item[1].mirrored, preprocessing.padded_size(*item[1].size)

    scale, scaled = 1.0, list(images)
    items = [(i, view) for together in zip(*views, strict=True) for i, view in enumerate(together)]
    for batch in group_neighbours(items, size, key):
        numbers, chosen = zip(*batch, strict=True)
        if chosen[0].scale != scale:
            scale = chosen[0].scale
            scaled = [resize(image, scale) for image in images]
        yield ViewBatch(numbers, chosen, [view.cut(scaled[i]) for i, view in batch])


def pairs_in_image(pairs: Pairs, views: Sequence[View], *, clip: bool, stride: int) -> Pairs:
    """Pairs of a batch of B views with boxes in pixels of the image; parts of objects (``whole_pairs``) become invalid.

    The views have one scale and mirroring. With ``clip``, boxes end at the edges of their view. ``stride`` is the
    network's, in pixels.
    """
    boxes, valid = pairs.boxes, pairs.valid
    sizes = boxes.new_tensor([view.size[::-1] for view in views])[:, None]
    if views[0].mirrored:
        width, (x1, y1, x2, y2) = sizes[..., 0], boxes.unbind(-1)
        boxes = torch.stack((width - x2, y1, width - x1, y2), dim=-1)
    if clip:
        boxes = torch.minimum(boxes.clamp_min(0), sizes.repeat(1, 1, 2))
    if any(any(view.overlaps) for view in views):
        valid = valid & whole_pairs(boxes, views, 2.0 * stride)
    corners = boxes.new_tensor([(view.left, view.top) * 2 for view in views])[:, None]
    return pairs._replace(boxes=(boxes + corners) / views[0].scale, valid=valid)


def whole_pairs(boxes: Tensor, views: Sequence[View], margin: float) -> Tensor:
    """Whether boxes (B, N, 4), in pixels of their view, are whole objects: (B, N).

    A box within ``margin`` pixels of an edge with a neighbour counts as a part of an object: the neighbour has the
    whole object, unless it is longer than their overlap. If tiles do not overlap, all boxes are kept.
    """
    sizes = boxes.new_tensor([view.size[::-1] for view in views])[:, None]
    near = boxes.new_tensor([view.overlaps for view in views])[:, None].div(2).clamp_max(margin)
    before, behind = boxes[..., :2].clamp_min(0), (sizes - boxes[..., 2:]).clamp_min(0)  # from the edges
    return ~((before < near[..., :2]) | (behind < near[..., 2:])).any(dim=-1)
