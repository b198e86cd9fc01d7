"""What the network should have said: targets of a batch, in one vectorised go."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MIN_OVERLAP = 0.3
FIXED_RADIUS = 2.5


class Targets(NamedTuple):
    """Targets of a batch of B images with at most N objects each, on a map of H by W cells.

    ``tl_heatmap``, ``br_heatmap`` (B, C, H, W). The rest per object: ``tl_cells``, ``br_cells`` (B, N) int64, row * W +
    column; ``tl_offsets``, ``br_offsets`` (B, N, 2) as x, y in cells; ``valid`` (B, N), False for fillers;
    ``tl_owns``, ``br_owns`` (B, N): the object is the last valid one in its cell, so the cell's offset is its own.
    """

    tl_heatmap: Tensor
    br_heatmap: Tensor
    tl_cells: Tensor
    br_cells: Tensor
    tl_offsets: Tensor
    br_offsets: Tensor
    tl_owns: Tensor
    br_owns: Tensor
    valid: Tensor


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
    num_classes: int,
    input_size: tuple[int, int],
    map_size: tuple[int, int],
    penalty_reduction: str = "object",
) -> Targets:
    """Targets for ``boxes`` (B, N, 4), x1 y1 x2 y2 in pixels of the input, and ``labels`` (B, N), -1 for fillers.

    ``input_size`` and ``map_size`` are (height, width). A box outside the input is an error of the caller's.
    ``penalty_reduction``: the Gaussian around a corner is as wide as the object allows (``"object"``), of radius 2.5
    cells (``"fixed"``), or a single cell (``"none"``).
    """
    valid = labels >= 0
    scale = boxes.new_tensor([map_size[1] / input_size[1], map_size[0] / input_size[0]])
    last = torch.tensor([map_size[1] - 1, map_size[0] - 1], device=boxes.device)
    size = torch.ceil((boxes[..., 2:] - boxes[..., :2]) * scale)
    radius = gaussian_radius(size[..., 1], size[..., 0]).clamp_min(0).floor()
    if penalty_reduction != "object":
        radius = torch.full_like(radius, FIXED_RADIUS if penalty_reduction == "fixed" else 0.0)
    sides = []
    for corner in (boxes[..., :2], boxes[..., 2:]):
        position = corner * scale
        cell = torch.minimum(position.long(), last)  # x, y
        flat = torch.where(valid, cell[..., 1] * map_size[1] + cell[..., 0], 0)
        heatmap = _gaussians(cell, radius, labels, valid, num_classes, map_size)
        sides.append((heatmap, flat, position - cell, _last_in_cell(flat, valid)))
    (tl_heat, tl_cells, tl_offsets, tl_owns), (br_heat, br_cells, br_offsets, br_owns) = sides
    return Targets(tl_heat, br_heat, tl_cells, br_cells, tl_offsets, br_offsets, tl_owns, br_owns, valid)


def _last_in_cell(cells: Tensor, valid: Tensor) -> Tensor:
    same = (cells[:, :, None] == cells[:, None]) & valid[:, None]
    return valid & ~same.triu(diagonal=1).any(dim=2)


def _gaussians(
    centre: Tensor, radius: Tensor, labels: Tensor, valid: Tensor, num_classes: int, map_size: tuple[int, int]
) -> Tensor:
    """Heatmaps (B, C, H, W): exp(-d^2 / 2 sigma^2), sigma = (2r + 1) / 6, in a window of r cells; merged by maximum."""
    (height, width), (batch, count) = map_size, labels.shape
    variance = ((2 * radius + 1) / 6).square()[..., None]
    sides = []
    for length, middle in ((height, centre[..., 1]), (width, centre[..., 0])):
        distance = torch.arange(length, device=centre.device) - middle[..., None]
        bell = torch.exp(-distance.square() / (2 * variance))
        sides.append(torch.where(distance.abs() <= radius[..., None], bell, 0.0))
    bells = (sides[0][..., :, None] * sides[1][..., None, :]).reshape(batch * count, height * width)
    image = torch.arange(batch, device=labels.device)[:, None]
    spare = batch * num_classes  # one more plane takes the fillers
    plane = torch.where(valid, image * num_classes + labels, spare).reshape(-1)
    planes = bells.new_zeros(spare + 1, height * width)
    planes.scatter_reduce_(0, plane[:, None].expand_as(bells), bells, "amax")
    return planes[:spare].reshape(batch, num_classes, height, width)
