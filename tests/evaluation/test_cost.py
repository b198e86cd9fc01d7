"""What a network costs, counted on shapes alone."""

import json

import pytest
import torch

from cornernet.cli import main
from cornernet.errors import InputError
from cornernet.evaluation.cost import count_cost, require_training_memory, training_bytes
from cornernet.network.cornernet import CornerNet
from cornernet.structures import Architecture
from small import write_recipe

TINY = Architecture(2, (8, 8, 12), (1, 1, 1), 8, 6, 8)


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


def test_a_machine_too_small_says_so():
    with pytest.raises(InputError, match=r"needs about 1048576\.0 GiB and this machine has .* --no-training"):
        require_training_memory(1 << 50, torch.device("cpu"))


def test_the_row_is_printed_beside_the_published_one_and_written(tmp_path, capsys):
    recipe, out = write_recipe(tmp_path), tmp_path / "row.json"
    assert main(["benchmark", str(recipe), "--seconds", "1", "--out", str(out)]) == 0
    measured = json.loads(out.read_text())["measured"]
    assert measured["images/s"] > 0 < measured["images/s, flip"]
    assert f"{measured['GFLOPs at 511x511']}" in capsys.readouterr().out
    assert main(["benchmark", str(recipe), "--data", str(tmp_path)]) == 2
