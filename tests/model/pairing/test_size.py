"""Corners that say how large their object is: what it means for a pair, what is learnt, what is told of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from cornernet.config import Architecture, Decoding, HourglassConfig, LossSettings, Preprocessing, SizeConfig
from cornernet.explain.pairs import PairOutcomes
from cornernet.explain.reasons import pairs_as_json, table
from cornernet.inference.detector import Detector
from cornernet.model.cornernet import CornerNet
from cornernet.model.pairing.size import PredictedSize, log_sizes
from cornernet.model.targets import expand_to_radius, make_targets
from losses import losses_of

BOXES = torch.tensor([[[10.0, 20.0, 42.0, 84.0], [60.0, 20.0, 92.0, 84.0], [30.0, 90.0, 34.0, 122.0]]])
TINY = Architecture(
    HourglassConfig(num_stacks=1, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
    corner_channels=6,
    branch_channels=8,
    pairing=SizeConfig(),
)


def test_neighbours_of_one_size_are_told_apart():
    tl, br = BOXES[..., :2], BOXES[..., 2:]
    said = log_sizes(tl, br)
    rule = SizeConfig().make(1, 1)
    assert isinstance(rule, PredictedSize)
    distance = rule.distance(said, said, tl, br)
    assert distance.shape == (1, 3, 3)
    assert distance[0].diagonal().abs().max() < 1e-6
    across = abs(math.log(82 / 32)) / 2  # from the first one's left to the second one's right; its height is right
    assert distance[0, 0, 1].item() == pytest.approx(across, abs=1e-5)
    assert said[0, 0].tolist() == pytest.approx([0, math.log(2)])
    halves = said - math.log(2)  # both corners say half the size
    assert rule.distance(halves, halves, tl, br)[0, 0, 0].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("around", [0, 1])
def test_the_loss_is_of_sizes_where_corners_are(around):
    labels = torch.tensor([[0, 1, -1]])
    boxes = torch.where(labels[..., None] >= 0, BOXES, 0.0)
    targets = expand_to_radius(make_targets(boxes, labels, (128, 128), (32, 32)), (32, 32), around)
    cells = targets.tl_cells.shape[1]
    maps, offsets = torch.zeros(1, 2, 32, 32), torch.zeros(1, cells, 2)
    sizes = log_sizes(boxes[..., :2], boxes[..., 2:])
    right = sizes.repeat_interleave(cells // 3, dim=1)

    def losses(tl: torch.Tensor, br: torch.Tensor) -> dict[str, torch.Tensor]:
        found = losses_of(
            maps, maps, offsets, offsets, tl, br, targets=targets, pairing=SizeConfig(), settings=LossSettings(size=2.0)
        )
        assert found.keys() == {"heatmap", "offset", "size"}  # a size loss is called so, and nothing else is there
        return found

    assert losses(right, right)["size"] == 0
    # smooth L1, beta 0.1: one half off in width alone is 0.5 - 0.05, at one of the two kinds of corner, times two
    assert losses(right + torch.tensor([0.5, 0.0]), right)["size"].item() == pytest.approx(0.45)
    nothing = torch.full((1, 3), -1)
    empty = make_targets(boxes, nothing, (128, 128), (32, 32))
    none = torch.zeros(1, 3, 2)
    assert losses_of(maps, maps, none, none, none, none, targets=empty, pairing=SizeConfig())["size"] == 0


@pytest.mark.parametrize("max_size", [None, 40])
def test_what_corners_said_is_told_in_pixels_of_the_image(max_size):
    torch.manual_seed(1)
    network = CornerNet(TINY, 2)
    for branch in (network.heads[0].pairing.tl, network.heads[0].pairing.br):
        torch.nn.init.zeros_(branch.out.weight)
        branch.out.bias.data = torch.tensor([0.0, math.log(0.5)])  # 32 x 16 pixels of the view
    decoding = Decoding(max_distance=0.6)
    detector = Detector(network, ("a", "b"), Preprocessing(pad_mask=15, max_size=max_size), decoding=decoding)
    seen = detector.explain(np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8))
    scale = 0.5 if max_size else 1.0
    assert seen.tl_corners.words.name == "size"
    assert seen.tl_corners.values == pytest.approx(np.broadcast_to([32 / scale, 16 / scale], (len(seen.tl_corners), 2)))
    pairs = PairOutcomes(seen, decoding, 0.01, scale)
    candidates = {
        (tuple(tl), tuple(br)): distance
        for tl, br, distance in zip(
            seen.candidates.tl_cells, seen.candidates.br_cells, seen.candidates.distances, strict=True
        )
    }
    assert candidates
    assert max(candidates.values()) <= 0.6
    outcomes = set()
    for tl in range(len(pairs.tl)):
        for br in range(len(pairs.br)):
            pair = pairs.pair(tl, br)
            outcomes.add(pair.outcome)
            known = candidates.get((tuple(pairs.tl.cells[tl]), tuple(pairs.br.cells[br])))
            if known is not None and pair.outcome not in ("class", "position"):
                assert pair.distance == pytest.approx(known, abs=1e-4)
    assert "distance" in outcomes
    assert f" {32 / scale:.0f}x{16 / scale:.0f}" in table(pairs, "x.png")
    assert pairs_as_json(pairs, "x.png")["top_left"][0]["size"] == pytest.approx([32 / scale, 16 / scale], abs=1e-3)
