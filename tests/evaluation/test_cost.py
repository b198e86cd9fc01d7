"""What a network costs, counted on shapes alone."""

import json

import pytest
import torch

from cornernet.cli import main
from cornernet.commands.benchmark import _training_memory
from cornernet.config import Architecture, HourglassConfig
from cornernet.errors import InputError
from cornernet.evaluation.cost import count_cost, require_training_memory, training_bytes
from cornernet.model.checkpointing import checkpoint_activations
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe
from small import write_recipe

TINY = Architecture(
    HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
    corner_channels=6,
    branch_channels=8,
)


def test_hourglass104():
    cost = count_cost(Architecture(), 80)
    assert cost.parameters == pytest.approx(201.04, abs=0.01)
    assert cost.gflops == pytest.approx(609, abs=1)


def test_training_bytes_are_those_that_backward_keeps():
    torch.manual_seed(0)
    model, kept = CornerNet(TINY, 3).train(), {}

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        alive.append(tensor)
        return tensor

    alive = []
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model(torch.randn(2, 3, 127, 127))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    activations = sum(size for pointer, size in kept.items() if pointer not in own)
    weights = 4 * sum(p.numel() for p in model.parameters())
    heatmaps = 2 * 2 * 3 * 32 * 32 * 4
    expected = activations + 2 * 6 * heatmaps + 4 * weights
    assert training_bytes(TINY, 3, 2, 127) == pytest.approx(expected, rel=0.1)


def test_checkpointing_needs_less_but_more_than_what_it_keeps():
    with torch.device("meta"):
        model, kept = CornerNet(TINY, 3).train(), []
        checkpoint_activations(model)

        def note(tensor):
            kept.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(torch.empty(2, 3, 127, 127))
    storages = {id(t.untyped_storage()): t.untyped_storage().nbytes() for t in kept}
    for parameter in model.parameters():
        storages.pop(id(parameter.untyped_storage()), None)
    everything = training_bytes(TINY, 3, 2, 127)
    assert sum(storages.values()) < training_bytes(TINY, 3, 2, 127, checkpointing=True) < 0.8 * everything


def test_a_machine_too_small_says_so():
    with pytest.raises(InputError, match=r"needs about 1048576\.0 GiB and this machine has .* no_training"):
        require_training_memory(1 << 50, torch.device("cpu"))


def test_the_row_is_printed_beside_the_published_one_and_written(tmp_path, capsys):
    recipe, out = write_recipe(tmp_path), tmp_path / "row.json"
    assert main(["benchmark", str(recipe), "--seconds", "1", "--out", str(out)]) == 0
    measured = json.loads(out.read_text())["measured"]
    assert measured["images/s"] > 0 < measured["images/s, flip"]
    assert f"{measured['GFLOPs at 511x511']}" in capsys.readouterr().out
    assert main(["benchmark", str(recipe), "--data", str(tmp_path)]) == 2


@pytest.mark.parametrize("option", ["--data", "--images"])
def test_input_that_is_not_there_is_said_before_anything_is_measured(option, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("cornernet.evaluation.cost.count_cost", lambda *_: pytest.fail("measured first"))
    words = ["benchmark", "shapes", "--weights", "shapes", option, str(tmp_path / "nowhere")]
    assert main(words) == 2
    assert "nowhere" in capsys.readouterr().err


def test_the_ap_of_the_data_is_in_the_row(tmp_path, capsys):
    """Two scenes, one pass: the bundled weights find most of what is there."""
    assert main(["data", "shapes", str(tmp_path / "data"), "--train", "1", "--val", "2"]) == 0
    words = ["benchmark", "shapes", "--weights", "shapes", "--data", str(tmp_path / "data"), "--no-training"]
    out = tmp_path / "row.json"
    words += ["--images", str(tmp_path / "data"), "--seconds", "0.1", "--out", str(out)]
    assert main(words) == 0
    assert json.loads(out.read_text())["measured"]["box AP, flip"] > 30


@pytest.mark.parametrize(("checkpointing", "compiled"), [(False, False), (True, False), (False, True)])
def test_training_memory_is_that_of_the_recipes_own_steps(checkpointing, compiled, tmp_path, monkeypatch):
    """The three steps on a CPU, with what asks a GPU stubbed: are parts recomputed, or compiled, as the recipe says?"""
    done = []
    monkeypatch.setattr(
        "cornernet.model.checkpointing.checkpoint", lambda f, *x, **_: done.append("recomputed") or f(*x)
    )
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: done.append("compiled"))
    for name in ("reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 2e9)
    recipe = load_recipe(str(write_recipe(tmp_path, activation_checkpointing=checkpointing, compile=compiled)))
    recipe.augmentation.crop_size = 127
    assert _training_memory(recipe, 2, 1, torch.device("cpu")) == 2
    assert ("recomputed" in done, "compiled" in done) == (checkpointing, compiled)
