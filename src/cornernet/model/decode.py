"""Maps into candidate boxes: the best corners, and every top-left corner against every bottom-right one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from cornernet.config import Decoding


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


def corner_positions(corners: Corners, offsets: Tensor, scale: tuple[float, float], shift: Tensor) -> Tensor:
    """Corners' (x, y) in pixels of the image, (B, K, 2), not below 0.

    ``offsets`` (B, K, 2) in cells; ``scale`` input / map size as (x, y), pixels per cell (511 / 128, not 4);
    ``shift`` (B, 2) the image's left and top inside the input, in pixels.
    """
    cells = torch.stack((corners.columns, corners.rows), dim=-1).float() + offsets.float()
    return (cells * cells.new_tensor(scale) - shift[:, None]).clamp_min(0)


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
