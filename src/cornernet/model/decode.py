"""From maps to candidate boxes: find the best corners, and pair top-left with bottom-right ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cornernet.config import Decoding
from cornernet.model.cornernet import StackOutput
from cornernet.model.head import CornerFeatures, CornerValues


class Corners(NamedTuple):
    """The best corners of one kind, best first, all (B, K). ``scores`` is -1 for fillers, if a map has fewer peaks.

    ``cells`` is row * W + column on the map.
    """

    scores: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor
    cells: Tensor


def top_corners(heatmap: Tensor, k: int = 100) -> Corners:
    """The ``k`` best 3x3 local maxima of heatmap logits (B, C, H, W) over all classes; K = min(k, C * H * W).

    Paper, section 4.2. Probabilities are compared in float32; equal neighbours are all maxima.
    """
    _, _, height, width = heatmap.shape
    probability = heatmap.float().sigmoid()
    is_peak = _largest_beside(_largest_beside(probability, 2), 3) == probability
    scores = torch.where(is_peak, probability, -1.0).flatten(1)
    scores, index = scores.topk(min(k, scores.shape[1]), dim=1)
    cells = index % (height * width)
    return Corners(scores, index // (height * width), cells // width, cells % width, cells)


def _largest_beside(x: Tensor, axis: int) -> Tensor:
    """The maximum of each cell and its two neighbours along an axis; on CPUs 20 times as fast as ``max_pool2d``."""
    largest, cells = x.clone(), x.shape[axis] - 1
    for neighbour, cell in ((0, 1), (1, 0)):
        part = largest.narrow(axis, cell, cells)
        torch.maximum(part, x.narrow(axis, neighbour, cells), out=part)
    return largest


class Pairs(NamedTuple):
    """Candidate boxes of a batch, best first: ``boxes`` (B, N, 4) in pixels, all others (B, N).

    ``valid`` is False for fillers. ``tl_cells`` and ``br_cells`` are row * W + column on the map; ``distances`` are the
    pairing rule's.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    valid: Tensor
    tl_scores: Tensor
    br_scores: Tensor
    tl_cells: Tensor
    br_cells: Tensor
    distances: Tensor


def corner_positions(corners: Corners, offsets: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Corners' (x, y) in pixels of the image, (B, K, 2), not below 0.

    ``offsets`` (B, K, 2) in cells. ``scale`` (2,) is input size / map size as (x, y), in pixels per cell (511 / 128,
    not 4). ``shift``, (2,) or (B, 1, 2), is the image's left and top inside the input, in pixels.
    """
    cells = torch.stack((corners.columns, corners.rows), dim=-1).float() + offsets.float()
    return (cells * scale - shift).clamp_min(0)


def pair_corners(
    tl: Corners,
    br: Corners,
    tl_positions: Tensor,
    br_positions: Tensor,
    distance: Tensor,
    decoding: Decoding = Decoding(),
) -> Pairs:
    """The best pairs of one class with a small ``distance`` (B, K, M), br_positions right of and below tl_positions.

    ``tl_positions`` (B, K, 2) and ``br_positions`` (B, M, 2) are x, y in pixels. ``decoding`` has the largest distance,
    the number of pairs, and the rule for a pair's score. Paper, sections 3.1 and 4.2.
    """
    batch, k, m = distance.shape
    ordered = (br_positions[:, None] > tl_positions[:, :, None]).all(dim=-1)
    valid = (tl.labels[:, :, None] == br.labels[:, None]) & (distance <= decoding.max_distance) & ordered
    valid &= (tl.scores >= 0)[:, :, None] & (br.scores >= 0)[:, None]
    scores = torch.where(valid, decoding.score_of(tl.scores[:, :, None], br.scores[:, None]), -1.0).flatten(1)
    scores, index = scores.topk(min(decoding.num_candidates, k * m), dim=1)
    i, j = index // max(m, 1), index % max(m, 1)
    image = torch.arange(batch, device=index.device)[:, None]
    return Pairs(
        torch.cat((tl_positions[image, i], br_positions[image, j]), dim=-1),
        scores,
        tl.labels[image, i],
        scores >= 0,
        tl.scores[image, i],
        br.scores[image, j],
        tl.cells[image, i],
        br.cells[image, j],
        distance[image, i, j],
    )


class LocatedCorners(NamedTuple):
    """The best corners of one kind, ``peaks`` (B, K), with their positions and predicted pairing values.

    ``positions`` (B, K, 2) are x, y in pixels of the image; ``pairing`` (B, K, D).
    """

    peaks: Corners
    positions: Tensor
    pairing: Tensor


class DecodedMaps(NamedTuple):
    """The best corners of both kinds, their ``distances`` (B, K, M) by the pairing rule, and the best pairs."""

    tl: LocatedCorners
    br: LocatedCorners
    distances: Tensor
    pairs: Pairs


def pixels_per_cell(output: StackOutput, padded: tuple[int, int]) -> Tensor:
    """Width and height (2,) of a cell in pixels of the network's input, which has ``padded`` (height, width)."""
    rows, columns = output.tl_heatmap.shape[-2:]
    return output.tl_heatmap.new_tensor((padded[1] / columns, padded[0] / rows), dtype=torch.float32)


def decode(
    output: StackOutput,
    scale: Tensor,
    shift: Tensor,
    decoding: Decoding = Decoding(),
    *,
    find_peaks: Callable[[Tensor, int], Corners] = top_corners,
    values_at: Callable[[CornerFeatures, Tensor, Tensor], CornerValues] | None = None,
) -> DecodedMaps:
    """From the network's maps to candidate boxes in pixels of the image; ``scale`` and ``shift``: ``corner_positions``.

    Callers may give other functions for finding peaks and for reading offsets and pairing values at cells; by default
    ``values_at`` is the head's.
    """
    values_at = values_at or output.head.values_at
    tl_peaks, br_peaks = (find_peaks(each, decoding.num_corners) for each in (output.tl_heatmap, output.br_heatmap))
    tl_offsets, br_offsets, tl_pairing, br_pairing = values_at(output.features, tl_peaks.cells, br_peaks.cells)
    tl = LocatedCorners(tl_peaks, corner_positions(tl_peaks, tl_offsets, scale, shift), tl_pairing)
    br = LocatedCorners(br_peaks, corner_positions(br_peaks, br_offsets, scale, shift), br_pairing)
    distances = output.head.pairing.distance(tl.pairing, br.pairing, tl.positions, br.positions)
    pairs = pair_corners(tl.peaks, br.peaks, tl.positions, br.positions, distances, decoding)
    return DecodedMaps(tl, br, distances, pairs)
