"""Training targets of a batch.

Most of the 80 heatmaps of a COCO image are empty, and dense targets for a batch of 48 would take half a gigabyte. So
only the occupied heatmaps are made: those with objects. The losses treat all others as background.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

MIN_OVERLAP = 0.3
FIXED_RADIUS = 2.5


class OccupiedMaps(NamedTuple):
    """The P heatmaps of a batch that have objects. Built by ``find_occupied_maps``.

    ``images`` and ``classes`` (P,) say which; maps with most objects come first. ``objects`` (M,) are the valid objects
    of the batch as indices into its B * N: the first object of each map, then the second object of the first
    ``turns[1]`` maps, and so on. ``turns`` sums to M.
    """

    images: Tensor
    classes: Tensor
    objects: Tensor
    turns: list[int]


class Targets(NamedTuple):
    """Targets of a batch of B images with at most N objects each, on a map of H by W cells.

    ``heatmaps`` (2, P, H, W) are the top-left and the bottom-right ones of the P ``occupied_maps``; all other heatmaps
    are zero. All others are per object: ``tl_cells`` and ``br_cells`` (B, N) int64, row * W + column. ``tl_offsets``
    and ``br_offsets`` (B, N, 2) are x, y in cells. ``tl_is_owner`` and ``br_is_owner`` (B, N): the object is the last
    valid one in its cell, so the cell learns its values. ``valid`` (B, N) is False for fillers. ``boxes`` (B, N, 4) are
    x1 y1 x2 y2 in pixels of the input.
    """

    heatmaps: Tensor
    occupied_maps: OccupiedMaps
    tl_cells: Tensor
    br_cells: Tensor
    tl_offsets: Tensor
    br_offsets: Tensor
    tl_is_owner: Tensor
    br_is_owner: Tensor
    valid: Tensor
    boxes: Tensor

    def at_cells(self, values: Tensor) -> Tensor:
        """Values of objects (B, N, D) for each of their cells (B, N * K, D); K > 1 after ``expand_to_radius``."""
        return values.repeat_interleave(self.tl_cells.shape[1] // max(1, values.shape[1]), dim=1)


def find_occupied_maps(labels: Tensor) -> OccupiedMaps:
    """The occupied heatmaps of a batch of ``labels`` (B, N), -1 for fillers; computed on the CPU."""
    flat = labels.cpu().numpy().reshape(-1)
    objects = np.flatnonzero(flat >= 0)
    pairs = np.stack((objects // max(1, labels.shape[1]), flat[objects]))
    pairs, map_of, counts = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    most_first = np.argsort(-counts, kind="stable")
    map_of, counts = np.argsort(most_first)[map_of.reshape(-1)], counts[most_first]
    by_map = np.argsort(map_of, kind="stable")
    turn = np.empty_like(by_map)
    turn[by_map] = np.arange(len(objects)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((map_of, turn))
    images, classes = (torch.from_numpy(row[most_first]) for row in pairs)
    return OccupiedMaps(images, classes, torch.from_numpy(objects[order]), np.bincount(turn).tolist())


def dense_heatmaps(targets: Targets, num_classes: int) -> Tensor:
    """Both heatmaps of all classes, (2, B, num_classes, H, W); the losses do not need them."""
    _, _, height, width = targets.heatmaps.shape
    dense = targets.heatmaps.new_zeros(2, len(targets.valid), num_classes, height, width)
    dense[:, targets.occupied_maps.images, targets.occupied_maps.classes] = targets.heatmaps
    return dense


def gaussian_radius(height: Tensor, width: Tensor, min_overlap: float = MIN_OVERLAP) -> Tensor:
    """The largest distance, in cells, that both corners may move so that the IoU stays at least ``min_overlap``.

    ``height`` and ``width`` of the boxes are in cells. It is the minimum over three movements: one corner inwards and
    one outwards, both inwards, both outwards (paper, section 3.2). Each is a quadratic equation a r^2 + b r + c = 0.
    """
    t, total, area = min_overlap, height + width, height * width
    mixed = (total - torch.sqrt(total**2 - 4 * area * (1 - t) / (1 + t))) / 2
    both_in = (total - torch.sqrt(total**2 - 4 * (1 - t) * area)) / 4
    both_out = (-total + torch.sqrt(total**2 + 4 * (1 - t) / t * area)) / 4
    return torch.minimum(mixed, torch.minimum(both_in, both_out))


def make_targets(
    boxes: Tensor,
    labels: Tensor,
    input_size: tuple[int, int],
    map_size: tuple[int, int],
    penalty_reduction: str = "object",
    occupied_maps: OccupiedMaps | None = None,
) -> Targets:
    """Targets for ``boxes`` (B, N, 4), x1 y1 x2 y2 in pixels of the input, and ``labels`` (B, N), -1 for fillers.

    ``input_size`` and ``map_size`` are (height, width). Boxes must lie inside the input.
    ``penalty_reduction``: the Gaussian around a corner is as wide as the object allows (``"object"``), has a radius of
    2.5 cells (``"fixed"``), or is a single cell (``"none"``). ``occupied_maps`` must be on the boxes' device; without
    them they are found from ``labels``, and a GPU has to wait.
    """
    if occupied_maps is None:
        found = find_occupied_maps(labels)
        images, classes, objects = (index.to(labels.device) for index in found[:3])
        occupied_maps = OccupiedMaps(images, classes, objects, found.turns)
    valid = labels >= 0
    scale = boxes.new_tensor([map_size[1] / input_size[1], map_size[0] / input_size[0]])
    last = torch.tensor([map_size[1] - 1, map_size[0] - 1], device=boxes.device)
    size = torch.ceil((boxes[..., 2:] - boxes[..., :2]) * scale)
    radius = gaussian_radius(size[..., 1], size[..., 0]).clamp_min(0).floor()
    if penalty_reduction != "object":
        radius = torch.full_like(radius, FIXED_RADIUS if penalty_reduction == "fixed" else 0.0)
    position = torch.stack((boxes[..., :2], boxes[..., 2:])) * scale
    cells = torch.minimum(position.long(), last)  # (2, B, N) of x, y
    tl_cells, br_cells = torch.where(valid, cells[..., 1] * map_size[1] + cells[..., 0], 0)
    tl_offsets, br_offsets = position - cells
    is_owner = _last_in_cell(tl_cells, valid), _last_in_cell(br_cells, valid)
    heatmaps = _gaussians(cells, radius, occupied_maps, map_size)
    return Targets(heatmaps, occupied_maps, tl_cells, br_cells, tl_offsets, br_offsets, *is_owner, valid, boxes)


def expand_to_radius(targets: Targets, map_size: tuple[int, int], radius: int) -> Targets:
    """The same objects with K = (2 ``radius`` + 1)^2 cells for each corner: all those at most ``radius`` from its cell.

    Cells, offsets and owners become (B, N * K): an object's K cells together, the corner's own cell in the middle.
    Offsets lead from each cell to the corner, so they are from -``radius`` to ``radius`` + 1. Cells outside the map of
    ``map_size`` (height, width) and cells with a corner of another object have no owner.
    """
    if not radius:
        return targets
    height, width = map_size
    steps = torch.arange(-radius, radius + 1, device=targets.valid.device)
    y, x = (step.flatten() for step in torch.meshgrid(steps, steps, indexing="ij"))
    moved = torch.stack((x, y), dim=-1)
    middle = len(x) // 2

    def side(cells: Tensor, offsets: Tensor, is_owner: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = cells[..., None] // width + y, cells[..., None] % width + x  # (B, N, K)
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        near = torch.where(inside, rows * width + columns, 0)
        other = ((near[:, :, :, None] == cells[:, None, None]) & is_owner[:, None, None]).any(dim=-1)
        is_near_owner = inside & ~other & targets.valid[..., None]
        is_near_owner[..., middle] = is_owner
        return near.flatten(1), (offsets[:, :, None] - moved).flatten(1, 2), is_near_owner.flatten(1)

    tl = side(targets.tl_cells, targets.tl_offsets, targets.tl_is_owner)
    br = side(targets.br_cells, targets.br_offsets, targets.br_is_owner)
    cells, offsets, is_owner = zip(tl, br, strict=True)
    return Targets(*targets[:2], *cells, *offsets, *is_owner, *targets[-2:])


def _last_in_cell(cells: Tensor, valid: Tensor) -> Tensor:
    same = (cells[:, :, None] == cells[:, None]) & valid[:, None]
    return valid & ~same.triu(diagonal=1).any(dim=2)


def _gaussians(cells: Tensor, radius: Tensor, occupied_maps: OccupiedMaps, map_size: tuple[int, int]) -> Tensor:
    """Heatmaps (2, P, H, W) of exp(-d^2 / 2 sigma^2), sigma = (2r + 1) / 6, up to r cells away; maximum of all objects.

    Each Gaussian is a column times a row.
    """
    height, width = map_size
    cells, radius = cells.flatten(1, 2)[:, occupied_maps.objects], radius.flatten()[occupied_maps.objects]
    variance = ((2 * radius + 1) / 6).square()
    sides = []
    for length, middle in ((height, cells[..., 1]), (width, cells[..., 0])):
        distance = torch.arange(length, device=cells.device) - middle[..., None]
        bell = torch.exp(-distance.square() / (2 * variance[:, None]))
        sides.append(torch.where(distance.abs() <= radius[:, None], bell, 0.0))
    columns, rows = sides[0][..., :, None], sides[1][..., None, :]  # (2, M, H, 1), (2, M, 1, W)
    heatmaps = columns.new_empty(2, len(occupied_maps.images), height, width)
    start = 0
    for turn, count in enumerate(occupied_maps.turns):
        bells = columns[:, start : start + count], rows[:, start : start + count]
        maps = heatmaps[:, :count]
        if turn:
            torch.maximum(maps, bells[0] * bells[1], out=maps)
        else:
            torch.mul(*bells, out=maps)
        start += count
    return heatmaps
