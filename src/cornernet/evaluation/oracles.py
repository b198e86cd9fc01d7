"""What the network would reach if parts of its answer were right (paper, section 4.4.6): the truth in their place."""

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
from cornernet.media.images import shrunk_scale
from cornernet.model.cornernet import StackOutput
from cornernet.model.decode import DecodedMaps, decode, pixels_per_cell
from cornernet.model.head import CornerFeatures, CornerValues
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
    """A detector that is told the ground truth, and takes ``parts`` of the network's answer from it.

    True heatmaps are 1 at corners, with no Gaussian around them that a box could come from. True offsets and pairing
    values are those that training teaches: where objects share a corner's cell, those of the last one.
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
            raise InputError("looks at images once, without --tta and --tile", "--oracle")

    def detect(self, record: ImageRecord) -> Detections:
        """Detections in an image, with parts of its ground truth."""
        self._record = record
        return self(record.read())

    def _decode(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> DecodedMaps:
        targets = self._targets(output, shifts, padded)
        certain = float("inf")
        maps = torch.where(dense_heatmaps(targets, len(self.class_names)) == 1, certain, -certain)
        told = output._replace(tl_heatmap=maps[0], br_heatmap=maps[1])
        scale, values_at = pixels_per_cell(output, padded), partial(self._values, output, targets)
        decoded = decode(told, scale, shifts[:, None], self.decoding, values_at=values_at)
        pairs = decoded.pairs
        valid = pairs.valid & (pairs.tl_scores > 0) & (pairs.br_scores > 0)
        return decoded._replace(pairs=pairs._replace(valid=valid))

    def _truth(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Boxes (1, N, 4) in pixels of the view, and labels (1, N)."""
        record = self._record
        assert record is not None
        wanted = ~record.crowd
        scale = shrunk_scale(record.height, record.width, self.max_size)
        boxes = scale * torch.as_tensor(record.boxes[wanted], dtype=torch.float32, device=device)[None]
        return boxes, torch.as_tensor(record.labels[wanted], device=device)[None]

    def _targets(self, output: StackOutput, shifts: Tensor, padded: tuple[int, int]) -> Targets:
        boxes, labels = self._truth(shifts.device)
        map_size = output.tl_heatmap.shape[-2], output.tl_heatmap.shape[-1]
        return make_targets(boxes + shifts.repeat(1, 2)[:, None], labels, padded, map_size)

    def _values(
        self, output: StackOutput, targets: Targets, features: CornerFeatures, tl: Tensor, br: Tensor
    ) -> CornerValues:
        """Offsets and pairing values at cells (1, K): the network's, or the true ones where a corner lies."""
        boxes, _ = self._truth(tl.device)
        values = output.head.pairing.target(boxes)[0]
        found = output.head.values_at(features, tl, br)
        offsets, pairing = [found.tl_offsets, found.br_offsets], [found.tl_pairing, found.br_pairing]
        sides = (
            (tl, targets.tl_cells, targets.tl_is_owner, targets.tl_offsets),
            (br, targets.br_cells, targets.br_is_owner, targets.br_offsets),
        )
        for i, (cells, true_cells, is_owner, true_offsets) in enumerate(sides):
            hit = (cells[0, :, None] == true_cells[0]) & is_owner[0]
            if not hit.shape[1]:  # an image without objects
                continue
            known, owner = hit.any(dim=1)[:, None], hit.int().argmax(dim=1)
            if "offsets" in self.parts:
                offsets[i] = torch.where(known, true_offsets[0, owner], offsets[i][0])[None]
            if "pairing" in self.parts:
                pairing[i] = torch.where(known, values[owner], pairing[i][0])[None]
        return CornerValues(offsets[0], offsets[1], pairing[0], pairing[1])


def evaluate_with_oracles(
    detector: Detector,
    dataset: CocoDataset,
    parts: Collection[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Metrics, list[dict[str, Any]]]:
    """COCO's figures with ``parts`` of the network's answer replaced by the truth, and the results behind them."""
    oracle = OracleDetector(detector, parts)
    results: list[dict[str, Any]] = []
    for i, record in enumerate(dataset.images, start=1):
        results += to_coco_results(oracle.detect(record), record.id, dataset.category_ids)
        if progress:
            progress(i, len(dataset.images))
    return coco_metrics(dataset.coco_dict(), results), results
