"""Our weights files: what goes in comes out, and anything else is one clear line."""

import json
import math
import os
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cornernet.config import (
    Architecture,
    Decoding,
    HourglassConfig,
    PairingConfig,
    Preprocessing,
    SqueezeConfig,
)
from cornernet.errors import InputError
from cornernet.model.cornernet import CornerNet
from cornernet.weights.store import HEADER, Weights, load_weights, save_weights, weights_of

TINY = Architecture(
    HourglassConfig(num_stacks=2, channels=(4, 4), blocks=(1, 1), feature_channels=3),
    corner_channels=2,
    branch_channels=2,
)
NAMES = ("Müller’s", "犬", "two\nlines", '"quoted", comma')
BLACK = Preprocessing("BGR", (104.01, 113.99, 119.91), (73.6, 69.9, 70.9), "black", 31)
ABSENT = "absent from the file"


@pytest.fixture
def weights():
    torch.manual_seed(0)
    model = CornerNet(TINY, len(NAMES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        model.backbone.stem[0].bn.num_batches_tracked += 2**40
    return weights_of(
        model, Weights({}, TINY, NAMES, BLACK, Decoding(20, 100, 0.4, plus_one=True), 0.41, {"recipe": "ä"}), epochs=3
    )


def edit(path, fields=None, tensors=None):
    """Write the file anew with fields of its header (ABSENT: without) or tensors exchanged; a text is the header."""
    with safe_open(path, "pt") as file:
        header = file.metadata()[HEADER]
    if isinstance(fields, str):
        header = fields
    elif fields:
        header = json.dumps({k: v for k, v in (json.loads(header) | fields).items() if v != ABSENT})
    save_file(load_file(path) if tensors is None else tensors, path, metadata={HEADER: header})


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_weights(path).build()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("pairing", ["embedding", "size"])
@pytest.mark.parametrize("squeeze", [False, True])
def test_files_of_the_first_version_are_read(tmp_path, pairing, squeeze):
    """Their header had the hourglass' settings beside all others, and other names."""
    kind = SqueezeConfig if squeeze else HourglassConfig
    backbone = kind(num_stacks=2, channels=(4, 4), blocks=(1, 1), feature_channels=3)
    expected = replace(TINY, backbone=backbone, pairing=PairingConfig.kind(pairing)(), pool_window=7)
    stored = Weights(CornerNet(expected, len(NAMES)).state_dict(), expected, NAMES)
    path = save_weights(tmp_path / "first.safetensors", stored)
    flat = {"num_stacks": 2, "channels": [4, 4], "blocks": [1, 1], "feature_channels": 3, "corner_channels": 2}
    flat |= {"branch_channels": 2, "branch_kernel": 3, "backbone": kind.name, "corner_pooling": True}
    edit(path, {"version": 1, "architecture": flat | {"pooling_reach": 7, "pairing": pairing}})
    found = load_weights(path)
    assert found.architecture == expected
    found.build()
    del flat["backbone"]  # the very first files had no such fields
    edit(path, {"version": 1, "architecture": flat})
    older = load_weights(path).architecture
    assert older == replace(TINY, backbone=HourglassConfig(2, (4, 4), (1, 1), 3))


def test_a_round_trip_is_exact(tmp_path, weights):
    path = save_weights(tmp_path / "new folder" / "größe.safetensors", weights)
    loaded = load_weights(path)
    assert loaded.state.keys() == weights.state.keys()
    for key, value in weights.state.items():
        assert loaded.state[key].dtype == value.dtype
        assert torch.equal(loaded.state[key], value), key
    assert replace(loaded, state={}) == replace(weights, state={})
    model = loaded.build()
    assert not model.training
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights.state[key]), key


def test_half_is_half_the_size_and_16_bit_rounding_away(tmp_path, weights):
    whole, half = save_weights(tmp_path / "a", weights), save_weights(tmp_path / "b", weights, half=True)
    tensors = sum(value.numel() * 4 for value in weights.state.values() if value.is_floating_point())
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(tensors / 2, rel=0.1)
    for key, value in load_weights(half).state.items():
        expected = weights.state[key]
        assert value.dtype == expected.dtype
        assert torch.equal(value, expected.half().float() if value.is_floating_point() else expected), key
    load_weights(half).build()


def test_channels_last_weights_are_stored_as_they_are(tmp_path, weights):
    model = weights.build().to(memory_format=torch.channels_last)
    loaded = load_weights(save_weights(tmp_path / "w", weights_of(model, weights)))
    assert all(torch.equal(loaded.state[key], value) for key, value in weights.state.items())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_cut_file_is_refused(tmp_path, weights, share):
    path = save_weights(tmp_path / "w.safetensors", weights)
    data = path.read_bytes()
    path.write_bytes(data[: math.floor(len(data) * share)])
    assert str(path) in refusal(path)


@pytest.mark.parametrize(
    "content", [b"just some text, longer than eight bytes\n", b"\x80\x04N.", b"\xff" * 64, b"{}"], ids=str
)
def test_another_kind_of_file_is_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert "safetensors" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "no such" in refusal(tmp_path / "absent")
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_another_project_are_refused(tmp_path, metadata):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata=metadata)
    assert "header" in refusal(path)


def test_a_newer_format_asks_for_an_upgrade(tmp_path, weights):
    path = save_weights(tmp_path / "w", weights)
    edit(path, {"version": 3, "architecture": ABSENT})
    assert "upgrade" in refusal(path)


FIELDS = ("version", "architecture", "class_names", "preprocessing", "threshold", "info")


@pytest.mark.parametrize(
    "fields",
    [{"class_names": value} for value in ([], "cat", [1, 2, 3, 4], None, {"a": 1})]
    + [{name: value} for name in FIELDS for value in (ABSENT, None, "text", [3])]
    + [{"architecture": {"layers": 3}}, {"preprocessing": {"mean": [1], "std": [1]}}]
    + ["", "{", "[]", "3"],
    ids=str,
)
def test_a_damaged_header_is_refused(tmp_path, weights, fields):
    path = save_weights(tmp_path / "w", weights)
    edit(path, fields)
    assert "header" in refusal(path)


def test_a_class_list_of_another_length_does_not_fit_the_network(tmp_path, weights):
    path = save_weights(tmp_path / "w", weights)
    edit(path, {"class_names": ["a", "b"]})
    message = refusal(path)
    assert "another shape" in message
    assert "heatmap" in message


def test_keys_that_do_not_fit_are_listed(tmp_path, weights):
    path = save_weights(tmp_path / "w", weights)
    tensors = dict(weights.state) | {"extra.weight": torch.zeros(1)}
    del tensors["heads.0.pairing.tl.out.bias"]
    edit(path, tensors=tensors)
    message = refusal(path)
    assert "1 missing: heads.0.pairing.tl.out.bias" in message
    assert "1 unexpected: extra.weight" in message
    assert "another shape" not in message


def test_a_failing_write_leaves_the_old_file(tmp_path, weights, monkeypatch):
    path = save_weights(tmp_path / "w.safetensors", weights)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="space"):
        save_weights(path, replace(weights, threshold=0.9))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
