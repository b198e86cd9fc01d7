"""Figures with parts of the network's output replaced by the ground truth (paper, section 4.4.6)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from cornernet.data.dataset import CocoDataset, ImageRecord
from cornernet.errors import InputError
from cornernet.evaluation.ap import Metrics, coco_metrics, to_coco_results
from cornernet.inference.detector import Detector
from cornernet.media.scaling import shrunk_scale
from cornernet.model.cornernet import StackOutput
from cornernet.model.decode import DecodedMaps, decode, pixels_per_cell
from cornernet.model.head import CornerFeatures, CornerHead, CornerValues
from cornernet.model.targets import Targets, dense_heatmaps, make_targets
from cornernet.structures import Detections

Part = Literal["heatmaps", "offsets", "pairing"]


def parse_parts(text: str) -> frozenset[str]:
    """``"heatmaps,offsets"`` as a set; raises ``InputError`` for other words, or without heatmaps.

    ``embeddings`` is an older word for ``pairing``.
    """
    parts = frozenset(word.strip().replace("embeddings", "pairing") for word in text.split(","))
    if not parts <= set(get_args(Part)) or "heatmaps" not in parts:
        what = "give heatmaps, and with it offsets, pairing or both, joined by commas"
        raise InputError(what, f"--oracle {text}")
    return parts


class OracleDetector(Detector):
    """A detector that replaces ``parts`` of the network's output by the ground truth.

    True heatmaps are 1 at corners, without Gaussians, which would give more boxes. True offsets and pairing values are
    the targets of training: of the last object, if objects have corners in one cell.
    """

    def __init__(self, detector: Detector, parts: Collection[str]) -> None:
        super().__init__(
            detector.model,
            detector.class_names,
            detector.preprocessing,
            decoding=detector.decoding,
            max_size=detector.max_size,
            precision=detector.precision,
        )
        self.parts = frozenset(parts)
        self._record: ImageRecord | None = None
        if detector.flip or len(detector.scales) > 1 or detector.tiling:
            raise InputError("takes one view of an image: without --tta and --tile", "--oracle")

    def detect(self, record: ImageRecord) -> Detections:
        """Detections in an image, with its ground truth as parts of the output."""
        self._record = record
        return self(record.read())

    def _decode(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> DecodedMaps:
        record = self._record
        assert record is not None
        scale = shrunk_scale(record.height, record.width, self.max_size)
        boxes = scale * torch.as_tensor(record.boxes[~record.crowd], dtype=torch.float32, device=shifts.device)[None]
        labels = torch.as_tensor(record.labels[~record.crowd], device=shifts.device)[None]
        map_size = output.tl_heatmap.shape[-2], output.tl_heatmap.shape[-1]
        targets = make_targets(boxes + shifts.repeat(1, 2)[:, None], labels, padded, map_size)
        is_corner = dense_heatmaps(targets, len(self.class_names)) == 1
        tl_heatmap, br_heatmap = torch.where(is_corner, float("inf"), -float("inf"))
        output = output._replace(tl_heatmap=tl_heatmap, br_heatmap=br_heatmap)
        values_at = partial(self._values, output.head, targets, output.head.pairing.target(boxes)[0])
        decoded = decode(output, pixels_per_cell(output, padded), shifts[:, None], self.decoding, values_at=values_at)
        pairs = decoded.pairs
        valid = pairs.valid & (pairs.tl_scores > 0) & (pairs.br_scores > 0)
        return decoded._replace(pairs=pairs._replace(valid=valid))

    def _values(
        self, head: CornerHead, targets: Targets, pairing: Tensor, features: CornerFeatures, tl: Tensor, br: Tensor
    ) -> CornerValues:
        """Offsets and pairing values at cells (1, K): true ones at corners (``pairing`` (N, D)), else the network's."""
        found = head.values_at(features, tl, br)
        if not len(pairing):  # an image without objects
            return found
        sides = (
            ("tl", tl, targets.tl_cells, targets.tl_is_owner, targets.tl_offsets),
            ("br", br, targets.br_cells, targets.br_is_owner, targets.br_offsets),
        )
        for side, cells, true_cells, is_owner, offsets in sides:
            hit = (cells[0, :, None] == true_cells[0]) & is_owner[0]
            at_corner, owner = hit.any(dim=1)[:, None], hit.int().argmax(dim=1)
            for part, true in (("offsets", offsets[0]), ("pairing", pairing)):
                if part in self.parts:
                    values = torch.where(at_corner, true[owner], getattr(found, f"{side}_{part}")[0])[None]
                    found = found._replace(**{f"{side}_{part}": values})
        return found


def evaluate_with_oracles(
    detector: Detector,
    dataset: CocoDataset,
    parts: Collection[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Metrics, list[dict[str, Any]]]:
    """COCO's figures with ``parts`` of the network's output replaced by the ground truth, and the COCO results."""
    oracle = OracleDetector(detector, parts)
    results: list[dict[str, Any]] = []
    for i, record in enumerate(dataset.images, start=1):
        results += to_coco_results(oracle.detect(record), record.id, dataset.category_ids)
        if progress:
            progress(i, len(dataset.images))
    return coco_metrics(dataset.coco_dict(), results), results
