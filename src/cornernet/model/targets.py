"""Training targets of a batch.

Most of the 80 heatmaps of a COCO image are empty, and dense targets for a batch of 48 would take half a gigabyte. So
only the occupied heatmaps are made, those that hold objects. The losses treat all others as background.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

MIN_OVERLAP = 0.3
FIXED_RADIUS = 2.5


class OccupiedMaps(NamedTuple):
    """The heatmaps of a batch that hold objects, as pairs (image, class). Built by ``find_occupied_maps``.

    ``images`` and ``classes`` (P,) name them; the maps with most objects come first. ``objects`` (M,) are the valid
    objects of the batch, as indices into its B * N: first one object of every map, then a second one of the first
    ``turns[1]`` maps, and so on. ``turns`` sums to M.
    """

    images: Tensor
    classes: Tensor
    objects: Tensor
    turns: list[int]


class Targets(NamedTuple):
    """Targets of a batch of B images with at most N objects each, on a map of H by W cells.

    ``heatmaps`` (2, P, H, W) are the top-left and the bottom-right ones of the P ``occupied_maps``; all other heatmaps
    are zero. Everything else is per object. ``tl_cells`` and ``br_cells`` (B, N) int64 are row * W + column.
    ``tl_offsets`` and ``br_offsets`` (B, N, 2) are x, y in cells. ``valid`` (B, N) is False for fillers.
    ``tl_is_owner`` and ``br_is_owner`` (B, N): the object is the last valid one in its cell, so that what is
    learnt there is its own. ``boxes`` (B, N, 4) are x1 y1 x2 y2 in pixels of the input.
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
    """The occupied heatmaps of a batch of ``labels`` (B, N), -1 for fillers; found on the CPU, where labels begin."""
    flat = labels.cpu().numpy().reshape(-1)
    objects = np.flatnonzero(flat >= 0)
    pairs = np.stack((objects // max(1, labels.shape[1]), flat[objects]))
    pairs, plane, counts = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
    most_first = np.argsort(-counts, kind="stable")
    place = np.empty_like(most_first)
    place[most_first] = np.arange(len(counts))
    plane = place[plane.reshape(-1)]
    by_plane = np.argsort(plane, kind="stable")
    counts = counts[most_first]
    turn = np.empty_like(by_plane)
    turn[by_plane] = np.arange(len(objects)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((plane, turn))
    images, classes = (torch.from_numpy(row[most_first]) for row in pairs)
    return OccupiedMaps(images, classes, torch.from_numpy(objects[order]), np.bincount(turn).tolist())


def dense_heatmaps(targets: Targets, num_classes: int) -> Tensor:
    """Both heatmaps of all classes, (2, B, num_classes, H, W): for looking; the losses never need them."""
    _, _, height, width = targets.heatmaps.shape
    dense = targets.heatmaps.new_zeros(2, len(targets.valid), num_classes, height, width)
    dense[:, targets.occupied_maps.images, targets.occupied_maps.classes] = targets.heatmaps
    return dense


def gaussian_radius(height: Tensor, width: Tensor, min_overlap: float = MIN_OVERLAP) -> Tensor:
    """The largest distance, in cells, that both corners may move and still make a box of IoU >= ``min_overlap``.

    ``height`` and ``width`` of the boxes in cells. Minimum over the three ways to move: one corner in and one out,
    both in, both out (paper, section 3.2); each a quadratic a r^2 + b r + c = 0.
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

    ``input_size`` and ``map_size`` are (height, width). A box outside the input is an error of the caller's.
    ``penalty_reduction``: the Gaussian around a corner is as wide as the object allows (``"object"``), of radius 2.5
    cells (``"fixed"``), or a single cell (``"none"``). Without ``planes``, on the boxes' device, they are found from
    ``labels``, for which a GPU has to wait.
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
    """The same objects, their cells spread to all those within ``around`` of a corner's, K = (2 around + 1)^2 of them.

    Cells, offsets and ``owns`` become (B, N * K), an object's K cells together and its own in their middle; offsets
    still lead to the corner, so they are from -``around`` to ``around`` + 1. No cell outside the map of ``map_size``
    (height, width) and none in which another object has its corner is owned.
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
        taken = ((near[:, :, :, None] == cells[:, None, None]) & is_owner[:, None, None]).any(dim=-1)
        owned = inside & ~taken & targets.valid[..., None]
        owned[..., middle] = is_owner
        return near.flatten(1), (offsets[:, :, None] - moved).flatten(1, 2), owned.flatten(1)

    tl_cells, tl_offsets, tl_is_owner = side(targets.tl_cells, targets.tl_offsets, targets.tl_is_owner)
    br_cells, br_offsets, br_is_owner = side(targets.br_cells, targets.br_offsets, targets.br_is_owner)
    corners = tl_cells, br_cells, tl_offsets, br_offsets, tl_is_owner, br_is_owner
    return Targets(targets.heatmaps, targets.occupied_maps, *corners, targets.valid, targets.boxes)


def _last_in_cell(cells: Tensor, valid: Tensor) -> Tensor:
    same = (cells[:, :, None] == cells[:, None]) & valid[:, None]
    return valid & ~same.triu(diagonal=1).any(dim=2)


def _gaussians(cells: Tensor, radius: Tensor, occupied_maps: OccupiedMaps, map_size: tuple[int, int]) -> Tensor:
    """Heatmaps (2, P, H, W): exp(-d^2 / 2 sigma^2), sigma = (2r + 1) / 6, in a window of r cells; merged by maximum.

    A Gaussian is a column times a row.
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
        there = heatmaps[:, :count]
        if turn:
            torch.maximum(there, bells[0] * bells[1], out=there)
        else:
            torch.mul(*bells, out=there)
        start += count
    return heatmaps
