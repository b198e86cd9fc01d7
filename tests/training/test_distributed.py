"""Several processes as one: gradients, weights, validation, a rank that dies, a node that never comes."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from cornernet.errors import InputError
from cornernet.training.distributed import World, connect, find_world
from small import cornernet, environment, start, write_data, write_recipe
from training.worker import IMAGES, OBJECTS, Losses, batch

WORKER = Path(__file__).parent / "worker.py"


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def nodes(command: list[str], count: int = 2, processes: int = 2, **more: str) -> list[subprocess.Popen]:
    """``torchrun`` on so many nodes, all of them on this machine, each with an address of its own."""
    port, torchrun = str(free_port()), [sys.executable, "-m", "torch.distributed.run"]
    options = ["--nnodes", str(count), "--nproc-per-node", str(processes), "--master-addr", "127.0.0.1"]
    options += ["--master-port", port]
    return [
        subprocess.Popen(
            [*torchrun, *options, "--node-rank", str(node), "--local-addr", f"127.0.0.{node + 1}", *command],
            env=environment() | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in range(count)
    ]


def finished(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory):
    """The folder in which four processes, two nodes of two, left their training and their gradients."""
    folder = tmp_path_factory.mktemp("nodes")
    data, recipe = write_data(folder / "data", train=18, val=7), write_recipe(folder, epochs=1, workers=0)
    finished(nodes([str(WORKER), str(folder), str(recipe), str(data)]))
    return folder


@pytest.fixture(scope="module")
def gradients(two_nodes):
    """Those of each rank."""
    return [torch.load(two_nodes / f"gradients_{rank}.pt", weights_only=True) for rank in range(4)]


@pytest.mark.parametrize("normalize", ["device", "world"])
def test_gradients_agree_across_ranks_to_the_bit(gradients, normalize):
    for other in gradients[1:]:
        assert all(torch.equal(other[normalize][name], value) for name, value in gradients[0][normalize].items())


def compare(found, expected):
    assert found.keys() == {name for name, _ in expected}
    for name, parameter in expected:
        scale = max(float(parameter.grad.abs().max()), 1e-3)
        assert float((found[name] - parameter.grad).abs().max()) <= 1e-9 * scale, name


def test_classic_weighting_is_the_mean_over_the_ranks_batches(gradients):
    losses = Losses("device")
    torch.stack([losses(*batch(first, IMAGES)) for first in range(0, len(OBJECTS), IMAGES)]).mean().backward()
    compare(gradients[0]["device"], list(losses.model.named_parameters()))


def test_world_weighting_is_one_process_on_the_global_batch(gradients):
    losses = Losses("world")
    losses(*batch(0, len(OBJECTS))).backward()
    compare(gradients[0]["world"], list(losses.model.named_parameters()))
    other = Losses("device")
    other(*batch(0, len(OBJECTS))).backward()
    pairs = zip(losses.parameters(), other.parameters(), strict=True)
    assert any(not torch.allclose(a.grad, b.grad, rtol=1e-3) for a, b in pairs)


def test_two_nodes_of_two_train_alike_and_validate_every_image_once(two_nodes):
    states = [torch.load(two_nodes / f"state_{rank}.pt", weights_only=True) for rank in range(4)]
    for other in states[1:]:
        assert all(torch.equal(other[key], value) for key, value in states[0].items())
    errors = "".join((two_nodes / f"errors_{rank}.txt").read_text() for rank in range(4))
    assert errors.count("warning: batch 8 (4 x 2) is not the recipe's 2: learning rate scaled from 0.002 to 0.008") == 1
    results = json.loads((two_nodes / "run/predictions.json").read_text())
    assert {result["image_id"] for result in results} == set(range(1, 8))
    assert all(sum(r["image_id"] == i for r in results) <= 100 for i in range(1, 8))
    assert json.loads((two_nodes / "run/run.json").read_text())["world"] == 4


def test_a_rank_that_dies_is_named_and_the_run_goes_on(tmp_path):
    data, recipe = write_data(tmp_path / "data"), write_recipe(tmp_path, workers=0)
    whole = ["train", recipe, "--data", data, "--devices", 2, "--out"]
    done = cornernet(*whole, tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    process = start(*whole, tmp_path / "run", "--checkpoint-seconds", 0)
    state = tmp_path / "run/state.ckpt"
    while not state.is_file():
        assert process.poll() is None
        time.sleep(0.1)
    victim = next(pid for pid in children(process.pid) if environment_of(pid).get("RANK") == "1")
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.search(r"^cornernet: rank 1 was killed by SIGKILL; .*--resume", errors, re.M), errors
    alone = cornernet("train", "--resume", tmp_path / "run", "--devices", 1)
    assert alone.returncode == 2
    assert "began with 2 processes, not 1" in alone.stderr
    resumed = cornernet("train", "--resume", tmp_path / "run")  # as many as it began with
    assert resumed.returncode == 0, resumed.stderr
    for name in ("log.jsonl", "last.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def test_a_node_that_never_comes_is_named(monkeypatch):
    port = free_port()
    monkeypatch.setenv("CORNERNET_CONNECT_SECONDS", "1")
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, value)
    world = find_world()
    assert (world.rank, world.size, world.local_size, world.nodes) == (0, 4, 2, 2)
    with pytest.raises(InputError, match=rf"127.0.0.1:{port}, after 1 s, rank 1, 2, 3 of 4 has not come"):
        connect(world)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match=rf"rank 1: no answer from 127.0.0.1:{port} within 1 s"):
        connect(find_world())


def test_the_world_of_slurm(monkeypatch):
    values = {
        "NTASKS": 8,
        "NTASKS_PER_NODE": 4,
        "NNODES": 2,
        "PROCID": 5,
        "LOCALID": 1,
        "NODEID": 1,
        "JOB_ID": 42,
        "JOB_NAME": "train",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    monkeypatch.setenv("SLURM_NODELIST", "gpu[03-04]")
    world = find_world()
    assert (world.rank, world.size, world.local_size, world.nodes) == (5, 8, 4, 2)
    assert world.environment.main_address == "gpu03"
    monkeypatch.setenv("SLURM_NTASKS", "1")
    assert find_world() == World()


def test_nodes_of_different_sizes_are_refused(monkeypatch):
    for name, value in {"WORLD_SIZE": 5, "LOCAL_WORLD_SIZE": 2, "RANK": 0, "TORCHELASTIC_RUN_ID": "x"}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(InputError, match="the same number"):
        find_world()
