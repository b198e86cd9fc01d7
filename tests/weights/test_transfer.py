"""Starting from other weights: classes go by name, the rest by shape."""

import dataclasses

import pytest
import torch

from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.data.source import DataSource
from cornernet.errors import InputError
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe
from cornernet.training.trainer import train
from cornernet.weights.store import Weights, load_weights, save_weights, weights_of
from cornernet.weights.transfer import transfer
from small import write_data, write_recipe

TINY = Architecture(
    HourglassConfig(num_stacks=1, channels=(8, 8, 16), blocks=(1, 1, 1), feature_channels=8),
    corner_channels=8,
    branch_channels=8,
)
BLACK = Preprocessing("BGR", (100.0, 110.0, 120.0), (50.0, 60.0, 70.0), "black", 127)


def drawn(architecture: Architecture, names: tuple[str, ...], seed: int = 0) -> Weights:
    torch.manual_seed(seed)
    model = CornerNet(architecture, len(names))
    for buffer in model.buffers():
        buffer.add_(1)
    return weights_of(model, Weights({}, architecture, names, BLACK))


def test_same_named_classes_keep_their_rows():
    source = drawn(TINY, ("ape", "bee", "cat"))
    model = CornerNet(TINY, 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    notes = transfer(model, ("cat", "dog", "ape", "elk"), source)
    assert notes == ["2 of 4 classes known by name; new: dog, elk"]
    for key, value in model.state_dict().items():
        if "_heatmap.out." not in key:
            assert torch.equal(value, source.state[key]), key
            continue
        for row, old in {0: 2, 2: 0}.items():
            assert torch.equal(value[row], source.state[key][old])
        for row in (1, 3):
            expected = torch.zeros_like(value[row]) if key.endswith("weight") else before[key][row]
            assert torch.equal(value[row], expected)


def test_what_does_not_fit_is_said():
    wider = dataclasses.replace(TINY, branch_channels=12)
    model = CornerNet(wider, 3)
    (note,) = transfer(model, ("ape", "bee", "cat"), drawn(TINY, ("ape", "bee", "cat")))
    assert "tensors taken; not heads.0.tl_heatmap.conv.weight and" in note
    levels = dataclasses.replace(TINY.backbone, channels=(8, 8, 16, 16), blocks=(1, 1, 1, 1))
    deeper = dataclasses.replace(TINY, backbone=levels)
    (note,) = transfer(CornerNet(deeper, 3), ("ape", "bee", "cat"), drawn(TINY, ("ape", "bee", "cat")))
    assert "left over" in note


def test_the_same_network_and_classes_leave_nothing_to_say():
    assert transfer(CornerNet(TINY, 2), ("ape", "bee"), drawn(TINY, ("ape", "bee"))) == []


def test_weights_of_which_nothing_fits_are_refused():
    source = drawn(TINY, ("ape",))
    source.state = {f"other.{key}": value for key, value in source.state.items()}
    with pytest.raises(InputError, match="none of its tensors"):
        transfer(CornerNet(TINY, 1), ("bee",), source)


def test_a_backbone_to_freeze_must_be_in_the_weights():
    source = drawn(TINY, ("ape",))
    source.state = {key: value for key, value in source.state.items() if not key.startswith("backbone.")}
    assert transfer(CornerNet(TINY, 1), ("ape",), source)
    with pytest.raises(InputError, match="tensors of the backbone to freeze are not in it, backbone"):
        transfer(CornerNet(TINY, 1), ("ape",), source, is_frozen=True)


def test_a_frozen_backbone_keeps_its_weights_and_averages(tmp_path):
    data = write_data(tmp_path / "data", train=8, val=1)
    start = drawn(TINY, ("red", "green"))
    save_weights(tmp_path / "start.safetensors", start)
    begun = str(tmp_path / "start.safetensors")
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=2, freeze="backbone", workers=0, weights=begun)))
    train(recipe, DataSource(str(data)), tmp_path / "run")
    found = load_weights(tmp_path / "run/last.safetensors")
    for key, value in found.state.items():
        if key.startswith("backbone."):
            assert torch.equal(value, start.state[key]), key
    assert any(not torch.equal(value, start.state[key]) for key, value in found.state.items() if "heads" in key)
    assert found.preprocessing == dataclasses.replace(BLACK, pad_mask=15)  # theirs, but for the recipe's padding
    assert found.class_names == ("red", "blue")
    assert load_recipe(str(tmp_path / "run/recipe.yaml")).weights == begun
