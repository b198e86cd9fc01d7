"""Maps into candidate boxes: the best corners, and every top-left corner against every bottom-right one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from cornernet.config import Decoding
from cornernet.model.cornernet import StackOutput
from cornernet.model.head import CornerFeatures, CornerValues


class Corners(NamedTuple):
    """The best corners of one kind, descending: all (B, K). ``scores`` is -1 where a map has fewer peaks than K.

    ``cells`` is row * W + column on the map.
    """

    scores: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor
    cells: Tensor


def top_corners(heatmap: Tensor, k: int = 100) -> Corners:
    """The ``k`` best 3x3 local maxima of heatmap logits (B, C, H, W) over all classes; K = min(k, C * H * W).

    Paper, section 4.2. Maxima are taken of the probabilities in float32; equal neighbours are all maxima.
    """
    _, _, height, width = heatmap.shape
    probability = heatmap.float().sigmoid()
    is_peak = _largest_beside(_largest_beside(probability, 2), 3) == probability
    scores = torch.where(is_peak, probability, -1.0).flatten(1)
    scores, index = scores.topk(min(k, scores.shape[1]), dim=1)
    cells = index % (height * width)
    return Corners(scores, index // (height * width), cells // width, cells % width, cells)


def _largest_beside(x: Tensor, axis: int) -> Tensor:
    """The largest of each cell and its two neighbours along an axis; both ways ``max_pool2d``, a CPU's twenty-fold."""
    largest, cells = x.clone(), x.shape[axis] - 1
    for there, here in ((0, 1), (1, 0)):
        part = largest.narrow(axis, here, cells)
        torch.maximum(part, x.narrow(axis, there, cells), out=part)
    return largest


class Pairs(NamedTuple):
    """Candidate boxes of a batch, best first: (B, N, 4) boxes in pixels, everything else (B, N).

    ``valid`` is False for rows that only fill up. ``tl_cells`` and ``br_cells`` are row * W + column on the map;
    ``distances`` lie between the two corners' embeddings.
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

    ``offsets`` (B, K, 2) in cells; ``scale`` (2,) input / map size as (x, y), pixels per cell (511 / 128, not 4);
    ``shift`` (2,), or (B, 1, 2) for one of each image, the image's left and top inside the input, in pixels.
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
    """The best pairs of one class, near in ``distance`` (B, K, M), right of and below each other.

    ``tl_positions`` (B, K, 2) and ``br_positions`` (B, M, 2) as x, y in pixels. ``decoding`` says how near, how many,
    and what a pair's score is. Paper, sections 3.1 and 4.2.
    """
    batch, k, m = distance.shape
    ordered = (br_positions[:, None] > tl_positions[:, :, None]).all(dim=-1)
    stands = (tl.labels[:, :, None] == br.labels[:, None]) & (distance <= decoding.max_distance) & ordered
    stands &= (tl.scores >= 0)[:, :, None] & (br.scores >= 0)[:, None]
    scores = torch.where(stands, decoding.score_of(tl.scores[:, :, None], br.scores[:, None]), -1.0).flatten(1)
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
    """The best corners of one kind, ``peaks`` (B, K): where they lie, and what the pairing branch predicts there.

    ``positions`` (B, K, 2) as x, y in pixels of the image; ``pairing`` (B, K, D).
    """

    peaks: Corners
    positions: Tensor
    pairing: Tensor


class DecodedMaps(NamedTuple):
    """The best corners of both kinds, how far each two of them are from one object's (B, K, M), and the best pairs."""

    tl: LocatedCorners
    br: LocatedCorners
    distances: Tensor
    pairs: Pairs


def pixels_per_cell(output: StackOutput, padded: tuple[int, int]) -> Tensor:
    """How many pixels of the network's input, ``padded`` (height, width), a cell of the maps is: (2,) as x, y."""
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
    """The network's maps to candidate boxes, in pixels of the image; ``scale`` and ``shift`` as ``corner_positions``.

    ``find_peaks`` and ``values_at`` are for callers that find peaks or read the sparse branches in another way;
    ``values_at`` is by default that of the output's own head.
    """
    values_at = values_at or output.head.values_at
    tl_peaks, br_peaks = (find_peaks(each, decoding.num_corners) for each in (output.tl_heatmap, output.br_heatmap))
    tl_offsets, br_offsets, tl_pairing, br_pairing = values_at(output.features, tl_peaks.cells, br_peaks.cells)
    tl = LocatedCorners(tl_peaks, corner_positions(tl_peaks, tl_offsets, scale, shift), tl_pairing)
    br = LocatedCorners(br_peaks, corner_positions(br_peaks, br_offsets, scale, shift), br_pairing)
    distances = output.head.pairing.distance(tl.pairing, br.pairing, tl.positions, br.positions)
    pairs = pair_corners(tl.peaks, br.peaks, tl.positions, br.positions, distances, decoding)
    return DecodedMaps(tl, br, distances, pairs)
