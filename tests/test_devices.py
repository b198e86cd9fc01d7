"""Devices by name: what torch finds is used, and what it does not find is told in a line, in every command."""

from __future__ import annotations

import pytest
import torch

from cornernet import devices
from cornernet.devices import devices_here, find_device, is_on_gpu, on_device
from cornernet.errors import InputError
from small import cornernet, write_data, write_recipe


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(devices, "devices_here", lambda: ["cpu", "cuda:0", "cuda:1"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_the_gpu_is_the_default_and_a_block_may_choose_another(two_gpus):
    assert find_device() == torch.device("cuda")
    assert is_on_gpu()
    with on_device("cpu"):
        assert find_device() == torch.device("cpu")
        assert not is_on_gpu()
        assert find_device("cuda:1") == torch.device("cuda", 1)
    with on_device("cuda:1"), on_device(None):
        assert find_device() == torch.device("cuda:1")
    assert find_device() == torch.device("cuda")


@pytest.mark.parametrize("name", ["mps", "cuda:2", "cuda:", "gpu", "CPU", "cpu:1", "xpu"])
def test_what_is_not_there_is_an_error(two_gpus, name):
    with pytest.raises(InputError, match=rf"^device {name}: not usable here; "):
        find_device(name)
    with pytest.raises(InputError), on_device(name):
        pass


def test_what_torch_finds_here_begins_with_the_cpu():
    assert devices_here()[0] == "cpu"
    if len(devices_here()) == 1:
        with pytest.raises(InputError, match=r"^device mps: not usable here; leave it out: there is cpu$"):
            find_device("mps")


def test_a_training_runs_on_the_chosen_device_and_refuses_others(tmp_path):
    data = write_data(tmp_path / "data", train=2, val=1)
    words = ["train", write_recipe(tmp_path, epochs=1, workers=0), "--data", data, "--no-report"]
    done = cornernet(*words, "--out", tmp_path / "run", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run/last.safetensors").is_file()
    refused = cornernet(*words, "--out", tmp_path / "none", "--device", "warp")
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [refused.stderr.strip()]
    assert "--device warp: not usable here" in refused.stderr
    assert not (tmp_path / "none").exists()
