"""Shared fixtures: where the reference vectors and real images lie, and weights from a formula."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor

from cornernet.cli import main

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"

SHARED = Path(os.environ.get("CORNERNET_SHARED", Path(__file__).parents[2] / "shared"))


def shared_files(pattern: str) -> list[Any]:
    """Parameters for a test over every shared file that matches: other vectors of the same kind are found too."""
    found = sorted(SHARED.glob(pattern))
    if found:
        return [pytest.param(path, id=path.stem) for path in found]
    reason = f"no {pattern} in {SHARED}: set CORNERNET_SHARED"
    marks = () if os.environ.get("CI") else pytest.mark.skip(reason=reason)  # CI must have them, and fails here
    return [pytest.param(SHARED / pattern, marks=marks, id="absent")]


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """``shared("data/coco_tiny")``: that path, or a skip that says what is absent."""

    def find(relative: str) -> Path:
        path = SHARED / relative
        if not path.exists():
            pytest.skip(f"{path} is absent: set CORNERNET_SHARED to the folder that holds {relative}")
        return path

    return find


@pytest.fixture(scope="session")
def shapes_onnx(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled weights as ONNX, by the command line: traced once, whichever processes of pytest-xdist want it."""
    pytest.importorskip("onnxscript", reason="pip install 'cornernet[export]' brings it")
    root = tmp_path_factory.getbasetemp()
    path = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "shapes.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            assert main(["export", "--weights", "shapes", "--out", str(path)]) == 0
    return path


def formula_tensor(key: str, shape: list[int] | tuple[int, ...], seed: int) -> Tensor:
    """A reference weight, made from its key (reference text, section 7)."""
    rng = np.random.Generator(np.random.PCG64([zlib.crc32(key.encode()), seed]))
    name = key.rsplit(".", 1)[-1]
    if name == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if name == "running_mean":
        values = 0.1 * rng.standard_normal(shape)
    elif name == "running_var":
        values = rng.uniform(0.5, 1.5, shape)
    elif name == "weight" and len(shape) == 4:
        values = rng.standard_normal(shape) * np.sqrt(1 / (shape[1] * shape[2] * shape[3]))
    elif name == "weight":
        values = rng.uniform(0.5, 1.0, shape)
    else:
        values = 0.1 * rng.standard_normal(shape)
    return torch.from_numpy(np.asarray(values, np.float32))


def formula_state(shapes: dict[str, list[int]], spec: dict[str, Any]) -> dict[str, Tensor]:
    """The reference network's state dict under its own keys: the formula, then the scales and biases of ``spec``."""
    state = {key: formula_tensor(key, shape, spec["seed"]) for key, shape in shapes.items()}
    for key, scales in spec["weight_scales"].items():
        state[key] = state[key] * torch.tensor(scales)[:, None, None, None]
    for key, bias in spec["biases"].items():
        state[key] = torch.tensor(bias)
    return state


def load_json(path: Path) -> Any:
    return json.loads(path.read_text())
