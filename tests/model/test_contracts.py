"""The contracts of backbones and pairing rules: every one with every other, toys of the tests' own among them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import cornernet
from architectures import ARCHITECTURES, DECODING, NAMES, drawn, picture, weights_of
from cornernet.config import (
    Decoding,
    LossSettings,
    Optimization,
    Recipe,
)
from cornernet.drawing.draw import draw_pairings, draw_seen
from cornernet.evaluation.cost import count_cost, training_bytes
from cornernet.explain.draw_pairs import draw_numbered, draw_rejected
from cornernet.explain.pairs import PairOutcomes
from cornernet.explain.reasons import pairs_as_json, table
from cornernet.inference.detector import Detector
from cornernet.model.checkpointing import checkpoint_activations
from cornernet.model.cornernet import CornerNet
from cornernet.model.criterion import batch_losses
from cornernet.model.fuse import fuse
from cornernet.training.module import TrainingModule
from cornernet.weights.store import load_weights, save_weights
from matching import assert_same

every = pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES)


def objects() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    boxes = torch.tensor([[[4.0, 6, 40, 50], [30, 20, 90, 60]], [[10, 10, 30, 60], [0, 0, 0, 0]]])
    return torch.randn(2, 3, 96, 96), boxes, torch.tensor([[0, 2], [1, -1]])


@every
def test_it_is_built_and_counted_on_shapes_alone(architecture):
    with torch.device("meta"):
        network = CornerNet(architecture, len(NAMES))
        outputs = network(torch.empty(1, 3, 96, 96))
    backbone = network.backbone
    assert len(outputs) == backbone.num_outputs
    assert backbone.stride == architecture.backbone.stride
    assert architecture.backbone.size_multiple % backbone.stride == 0
    assert outputs[-1].tl_heatmap.shape == (1, len(NAMES), 96 // backbone.stride, 96 // backbone.stride)
    assert outputs[-1].features.tl.shape[1] == backbone.channels
    assert backbone.bytes_per_pixel > 0
    assert count_cost(architecture, len(NAMES), (96, 96)).gflops > 0
    assert training_bytes(architecture, len(NAMES), 2, 96) > training_bytes(architecture, len(NAMES), 1, 96)


@every
@pytest.mark.parametrize("size", [(1, 1), (33, 47), (96, 40)], ids=str)
def test_any_size_of_image(architecture, size):
    stride, network = architecture.backbone.stride, drawn(architecture)
    with torch.inference_mode():
        for maps in network.dense_maps(torch.randn(2, 3, *size)):
            assert {m.shape[-2:] for m in maps} == {tuple(-(-side // stride) for side in size)}


@every
def test_the_fused_network_gives_the_same_maps(architecture):
    network, images = drawn(architecture), torch.randn(1, 3, 61, 97)
    with torch.inference_mode():
        plain, fused = (net.dense_maps(images, last_only=True)[-1] for net in (network, fuse(copy.deepcopy(network))))
        for one, other in zip(plain, fused, strict=True):
            assert float((one - other).abs().max()) < 2e-5 * max(1.0, float(one.abs().max()))


@every
def test_weights_go_to_a_file_and_come_back(architecture, tmp_path):
    stored = weights_of(architecture)
    path = save_weights(tmp_path / "toy.safetensors", stored)
    again = load_weights(path)
    assert again.architecture == architecture
    assert all(torch.equal(value, again.state[key]) for key, value in stored.state.items())
    detector = cornernet.load(path)
    found = detector(picture())
    assert len(found) > 0
    plain = Detector(again.build(), NAMES, again.preprocessing, decoding=DECODING)
    assert_same(found, plain(picture()), box=0.01)


@every
def test_corners_that_predict_their_targets_are_paired_rightly(architecture):
    rule = architecture.pairing.make(8, 8)
    boxes = torch.tensor([[[10.0, 20, 42, 84], [70.0, 20, 160, 200], [30.0, 90, 230, 122]]])
    values, decoding = rule.target(boxes), Decoding(max_distance=0.5)
    assert values.shape == (1, 3, rule.outputs)
    distance = rule.distance(values, values, boxes[..., :2], boxes[..., 2:])[0]
    assert float(distance.diagonal().abs().max()) < 1e-5
    ordered = (boxes[0, None, :, 2:] > boxes[0, :, None, :2]).all(dim=-1) & ~torch.eye(3, dtype=torch.bool)
    assert bool((distance[ordered[0]] > decoding.max_distance).any())
    assert rule.readable(values, 0.5).shape == values.shape


@every
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_training_step_teaches_every_part(architecture, optimizer):
    torch.manual_seed(0)
    network = CornerNet(architecture, len(NAMES)).train()
    recipe = Recipe(
        model=architecture,
        loss=LossSettings(supervision_radius=1),
        optimization=Optimization(optimizer, lr=0.01, base_batch_size=2, warmup_iterations=0, backbone_lr=0.1),
        batch_size=2,
    )
    module = TrainingModule(network, recipe, 1)
    step = module.configure_optimizers()["optimizer"]
    images, boxes, labels = objects()
    first: dict[str, torch.Tensor] = {}
    for _ in range(4):
        losses = batch_losses(network, images, boxes, labels, recipe.loss)
        first = first or losses
        step.zero_grad()
        sum(losses.values()).backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
        step.step()
    assert list(losses) == ["heatmap", "offset", *architecture.pairing.losses]
    assert sum(losses.values()) < sum(first.values())
    assert {round(group["lr"], 9) for group in step.param_groups} == {0.01, 0.001}


@every
def test_recomputing_activations_changes_no_gradient(architecture):
    torch.manual_seed(0)
    network = CornerNet(architecture, len(NAMES)).double().train()
    other = copy.deepcopy(network)
    checkpoint_activations(other)
    images, boxes, labels = objects()
    for each in (network, other):
        sum(batch_losses(each, images.double(), boxes.double(), labels).values()).backward()
    for one, same in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, same.grad)


@every
def test_it_is_explained_and_drawn(architecture):
    stored, image = weights_of(architecture), picture()
    detector = Detector(stored.build(), NAMES, stored.preprocessing, decoding=DECODING, threshold=0.1)
    seen = detector.explain(image)
    pairs = PairOutcomes(seen, DECODING, 0.1)
    assert pairs.boxes
    name = architecture.pairing.name
    content = pairs_as_json(pairs, "x.png")
    assert content["pairing"] == name
    assert all(name in corner for corner in content["top_left"])
    assert seen.tl_corners.words.legend in table(pairs, "x.png")
    assert seen.tl_corners.text(pairs.boxes[0].tl) in table(pairs, "x.png")
    for drawing in (
        draw_numbered(image, pairs),
        draw_rejected(image, pairs),
        draw_seen(image, seen),
        draw_pairings(image, seen.candidates, seen.detections, 0.1),
    ):
        assert drawing.dtype == np.uint8
        assert drawing.std() > 0
