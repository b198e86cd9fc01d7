"""``cornernet weights`` as a user types it."""

import pytest
import torch

from cornernet.cli import main
from cornernet.weights import BUNDLED, zoo
from cornernet.weights.fetching import sha256
from cornernet.weights.store import load_weights
from cornernet.weights.zoo import Release


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CORNERNET_MIRROR", "http://127.0.0.1:1/none")
    return tmp_path / "cache"


def test_list_names_the_releases_and_the_cache(cache, capsys):
    assert main(["weights", "list"]) == 0
    printed = capsys.readouterr().out
    for alias in ("10xb5", "8xb6", "32xb3"):
        assert f"cornernet_hourglass104_{alias}" in printed
    assert str(cache) in printed


def test_info_says_what_a_file_holds(capsys):
    assert main(["weights", "info", str(BUNDLED["shapes"])]) == 0
    printed = capsys.readouterr().out
    assert "hourglass, num stacks 1, channels 32 64 96 128 160" in printed
    assert "10: " in printed


def test_a_foreign_file_is_converted_and_verified(tmp_path, capsys, shared):
    source, out = str(shared("reference/tiny_0.pth")), str(tmp_path / "tiny.safetensors")
    assert main(["weights", "convert", source, out, "--class-names", "a, b,c,d,e"]) == 0
    assert load_weights(out).class_names == tuple("abcde")
    assert main(["weights", "verify", out]) == 0
    assert "all present and finite" in capsys.readouterr().out
    assert main(["weights", "convert", source, str(tmp_path / "tiny.pth")]) == 2
    assert main(["weights", "convert", source, out, "--class-names", "a,b"]) == 2
    assert "2 class names for a network of 5" in capsys.readouterr().err


def test_threshold_and_pairing_distance_can_be_changed(tmp_path, capsys):
    out = str(tmp_path / "other.safetensors")
    assert main(["weights", "convert", "shapes", out, "--max-distance", "0.35", "--threshold", "0.6", "--half"]) == 0
    changed, shipped = load_weights(out), load_weights(BUNDLED["shapes"])
    assert (changed.threshold, changed.decoding.max_distance) == (0.6, 0.35)
    assert all(torch.equal(changed.state[key], value) for key, value in shipped.state.items())
    assert main(["weights", "convert", "shapes", out, "--max-distance", "-1"]) == 2
    assert main(["weights", "convert", "shapes", out, "--threshold", "30"]) == 2
    assert main(["weights", "convert", "shapes", out, "--num-corners", "0"]) == 2
    assert main(["weights", "convert", "shapes", out, "--num-corners", "250"]) == 0
    assert load_weights(out).decoding.num_boxes == load_weights(out).decoding.num_corners == 250


def test_the_reach_of_corner_pooling_can_be_changed(tmp_path, capsys):
    near, far = str(tmp_path / "near.safetensors"), str(tmp_path / "far.safetensors")
    assert main(["weights", "convert", "shapes", near, "--pooling-reach", "16"]) == 0
    assert load_weights(near).build().heads[0].tl.pool.keywords["window"] == 16
    assert main(["weights", "info", near]) == 0
    assert "pools over 16 cells" in capsys.readouterr().out
    assert main(["weights", "convert", near, far, "--pooling-reach", "0"]) == 0
    assert load_weights(far).architecture == load_weights(BUNDLED["shapes"]).architecture
    assert main(["weights", "convert", "shapes", near, "--pooling-reach", "-1"]) == 2


def test_a_file_that_is_not_what_was_published_is_named(cache, capsys, monkeypatch, shared):
    source = shared("reference/tiny_0.pth")
    right = Release("right-x_y", f"right_20200101_000000-{sha256(source)[:8]}.pth", "", 1.0, 1.0, 1.0)
    wrong = Release("wrong-x_y", "wrong_20200101_000000-00000000.pth", "", 1.0, 1.0, 1.0)
    monkeypatch.setattr(zoo, "RELEASES", (right, wrong))
    cache.mkdir()
    for release in (right, wrong):
        (cache / release.file).write_bytes(source.read_bytes())
    assert main(["weights", "verify", "right"]) == 0
    assert "as published" in capsys.readouterr().out
    assert main(["weights", "verify", "wrong"]) == 2
    assert "not 00000000" in capsys.readouterr().err
    assert main(["weights", "verify", "absent"]) == 2


def test_weights_that_are_not_finite_are_named(tmp_path, capsys, shared):
    checkpoint = torch.load(shared("reference/tiny_0.pth"), weights_only=True)
    checkpoint["state_dict"]["backbone.stem.0.conv.weight"][0] = float("nan")
    torch.save(checkpoint, tmp_path / "nan.pth")
    assert main(["weights", "verify", str(tmp_path / "nan.pth")]) == 2
    assert "1 tensors are not finite (backbone.stem.0.conv.weight" in capsys.readouterr().err


def test_without_a_network_there_is_one_line(cache, capsys):
    for words in (["fetch", "cornernet_hourglass104_8xb6"], ["info", "cornernet_hourglass104_8xb6"]):
        assert main(["weights", *words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "79b44c30.pth: cannot be fetched from http://127.0.0.1:1/none" in error
        assert f"put it into {cache}" in error
    assert main(["weights", "fetch", "resnet"]) == 2
    assert main(["weights"]) == 2
