"""One look at a batch of images, and what can be told of it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from torch import Tensor

from cornernet.model.cornernet import StackOutput
from cornernet.model.decode import Corners, Pairs
from cornernet.model.pairing.base import Pairing
from cornernet.structures import Candidates, CornerPoints


class ViewOutput(NamedTuple):
    """One view of a batch: pairs in pixels of the images, and where they come from.

    ``shifts`` (B, 2) are the images' left and top in the input of ``padded_size`` (height, width) pixels.
    """

    pairs: Pairs
    output: StackOutput
    shifts: Tensor
    padded_size: tuple[int, int]


def corner_points(
    corners: Corners, positions: Tensor, predicted: Tensor, scale: float, map_width: int, pairing: Pairing
) -> CornerPoints:
    """The first image's corners; positions / scale are in pixels of the image.

    ``predicted`` (B, K, D) are the values that ``pairing`` reads at the corners.
    """
    there = corners.scores[0] >= 0
    values = pairing.readable(predicted[0].float(), scale)
    columns = positions[0] / scale, corners.scores[0], corners.labels[0], corners.cells[0], values
    place, score, label, cell, values = (column[there].cpu().numpy() for column in columns)
    cells = np.stack(np.divmod(cell, map_width), axis=1)
    return CornerPoints(place, score, label, cells, values, pairing.words)


def all_candidates(looks: Sequence[ViewOutput], scale: float) -> Candidates:
    """All valid pairs of the first image, of all views, best first; boxes / scale are in pixels of the image."""
    columns = []
    for number, look in enumerate(looks):
        pairs, map_width = look.pairs, look.output.tl_heatmap.shape[-1]
        found = {name: getattr(pairs, name)[0][pairs.valid[0]].cpu().numpy() for name in Pairs._fields}
        cells = [np.stack(np.divmod(found[name], map_width), axis=1) for name in ("tl_cells", "br_cells")]
        view = np.full(len(found["labels"]), number)
        known = (found[name] for name in ("scores", "labels", "tl_scores", "br_scores"))
        columns.append((found["boxes"] / scale, *known, *cells, found["distances"], view))
    merged = Candidates(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    order = np.argsort(-merged.scores, kind="stable")
    return Candidates(*(getattr(merged, field.name)[order] for field in fields(Candidates)))
