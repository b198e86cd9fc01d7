"""Explanations: heatmaps, corners and candidates of one image, from the network's output for its views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from torch import Tensor

from cornernet.inference.views import View
from cornernet.model.cornernet import StackOutput
from cornernet.model.decode import Corners, DecodedMaps, Pairs
from cornernet.model.pairing.base import Pairing
from cornernet.structures import Candidates, CornerPoints, Detections, Explanation


class ViewOutput(NamedTuple):
    """The network's output for a batch of views. ``pairs`` are in pixels of the images, ``decoded`` of the views.

    ``shifts`` (B, 2) are the views' left and top in the input of ``padded_size`` (height, width) pixels.
    """

    pairs: Pairs
    views: Sequence[View]
    output: StackOutput
    decoded: DecodedMaps
    shifts: Tensor
    padded_size: tuple[int, int]


def explain_views(detections: Detections, seen: Sequence[ViewOutput], shrunk: float) -> Explanation:
    """The explanation of one image from all its views, each one a batch; ``shrunk`` is the image's scale."""
    first = seen[0]
    view, heatmaps = first.views[0], (first.output.tl_heatmap, first.output.br_heatmap)
    tl_heatmap, br_heatmap = (heatmap[0].float().sigmoid().amax(0).cpu().numpy() for heatmap in heatmaps)
    left, top = (int(v) for v in first.shifts[0].tolist())
    scale, width, pairing = view.scale * shrunk, heatmaps[0].shape[-1], first.output.head.pairing
    tl, br, distances, _ = first.decoded
    return Explanation(
        detections,
        all_candidates(seen, shrunk),
        tl_heatmap,
        br_heatmap,
        (top, left),
        view.size,
        first.padded_size,
        corner_points(*tl, scale, width, pairing),
        corner_points(*br, scale, width, pairing),
        distances[0][tl.peaks.scores[0] >= 0][:, br.peaks.scores[0] >= 0].cpu().numpy(),
    )


def corner_points(
    corners: Corners, positions: Tensor, predicted: Tensor, scale: float, map_width: int, pairing: Pairing
) -> CornerPoints:
    """The first image's corners; positions / scale are in pixels of the image.

    ``predicted`` (B, K, D) are the pairing values at the corners.
    """
    valid = corners.scores[0] >= 0
    values = pairing.readable(predicted[0].float(), scale)
    columns = positions[0] / scale, corners.scores[0], corners.labels[0], corners.cells[0], values
    place, score, label, cell, values = (column[valid].cpu().numpy() for column in columns)
    cells = np.stack(np.divmod(cell, map_width), axis=1)
    return CornerPoints(place, score, label, cells, values, pairing.words)


def all_candidates(seen: Sequence[ViewOutput], scale: float) -> Candidates:
    """All valid pairs of the first image, of all views, best first; boxes / scale are in pixels of the image."""
    columns = []
    for number, each in enumerate(seen):
        pairs, map_width = each.pairs, each.output.tl_heatmap.shape[-1]
        found = {name: getattr(pairs, name)[0][pairs.valid[0]].cpu().numpy() for name in Pairs._fields}
        cells = [np.stack(np.divmod(found[name], map_width), axis=1) for name in ("tl_cells", "br_cells")]
        view = np.full(len(found["labels"]), number)
        others = (found[name] for name in ("scores", "labels", "tl_scores", "br_scores"))
        columns.append((found["boxes"] / scale, *others, *cells, found["distances"], view))
    merged = Candidates(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    order = np.argsort(-merged.scores, kind="stable")
    return Candidates(*(getattr(merged, field.name)[order] for field in fields(Candidates)))
