"""The cost of a network: parameters, multiplications, memory of a training step, images a second."""

from __future__ import annotations

import functools
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from cornernet.config import Architecture, Freeze
from cornernet.errors import InputError
from cornernet.hardware import available_memory
from cornernet.inference.api import BaseDetector
from cornernet.media.images import read_image
from cornernet.model.checkpointing import checkpoint_activations
from cornernet.model.cornernet import CornerNet, freeze

GIB = 1 << 30


@dataclass
class Cost:
    """``parameters`` in millions; ``gflops`` of one image at test, where multiply and add are two; ``size`` of its
    input in pixels (height, width)."""

    parameters: float
    gflops: float
    size: tuple[int, int]


def count_cost(architecture: Architecture, num_classes: int, size: tuple[int, int] = (511, 511)) -> Cost:
    """Count from shapes; nothing is computed. Pairing values and offsets at 200 corners, a thousandth of the cost, are
    left out."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = CornerNet(architecture, num_classes).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, 3, *size), last_only=True)
    return Cost(sum(p.numel() for p in model.parameters()) / 1e6, counter.get_total_flops() / 1e9, size)


def cpu_model() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def training_bytes(
    architecture: Architecture,
    num_classes: int,
    batch_size: int,
    crop_size: int,
    *,
    checkpointing: bool = False,
    frozen: Freeze = "none",
) -> int:
    """An estimate of a training step's memory in float32: kept activations, weights, gradients, Adam's averages.

    What is ``frozen`` (``Recipe.freeze``) keeps no activations, and has weights only.
    With ``checkpointing`` (``model.checkpointing``) the kept activations are the inputs of the recomputed parts, and
    all of the largest part.
    """
    needs = _training_needs(architecture, num_classes, crop_size, checkpointing=False, frozen=frozen)
    activations = needs.activations
    if checkpointing:
        inputs = _training_needs(architecture, num_classes, crop_size, checkpointing=True, frozen=frozen).activations
        activations = inputs + needs.largest_part
    moving = needs.weights + 3 * needs.learning
    return batch_size * (activations + needs.heatmaps) + moving  # heatmaps: their gradient


class _Needs(NamedTuple):
    """Bytes: activations of one image kept for backward, the largest recomputed part of them, heatmaps, weights, and
    those of them that learn."""

    activations: int
    largest_part: int
    heatmaps: int
    weights: int
    learning: int


@functools.lru_cache(maxsize=32)
def _training_needs(
    architecture: Architecture, num_classes: int, side: int, *, checkpointing: bool, frozen: Freeze
) -> _Needs:
    """Count from shapes; nothing is computed."""
    kept: dict[int, int] = {}
    alive: list[torch.UntypedStorage] = []  # ids are only unique while their objects live
    before, parts = [0], [0]

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(storage)
        if id(storage) not in own:
            kept[id(storage)] = storage.nbytes()
        return tensor

    with torch.device("meta"):
        model = CornerNet(architecture, num_classes).train()
        freeze(model, frozen)
        own = {id(p.untyped_storage()): p.untyped_storage() for p in model.parameters()}
        for part in model.recomputed_parts():
            part.register_forward_pre_hook(lambda *_: before.append(sum(kept.values())))
            part.register_forward_hook(lambda *_: parts.append(sum(kept.values()) - before[-1]))
        if checkpointing:
            checkpoint_activations(model)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            outputs = model(torch.empty(1, 3, side, side))
    heatmaps = sum(o.tl_heatmap.numel() + o.br_heatmap.numel() for o in outputs) * 4
    weights = [(4 * p.numel(), p.requires_grad) for p in model.parameters()]
    learning = sum(size for size, learns in weights if learns)
    return _Needs(sum(kept.values()), max(parts), heatmaps, sum(size for size, _ in weights), learning)


def require_training_memory(need: int, device: torch.device) -> None:
    """Raise ``InputError`` if there is not enough memory for a training step."""
    if device.type == "cuda":
        free, where = torch.cuda.mem_get_info(device)[0], torch.cuda.get_device_name(device)
    else:
        free, where = available_memory(), "this machine"
    if free is not None and need > free:
        what = f"a training step needs about {need / GIB:.1f} GiB and {where} has {free / GIB:.1f} GiB free"
        raise InputError(what, fix="choose a smaller --batch-size or network, or --no-training")


def images_per_second(
    detector: BaseDetector, paths: Sequence[Path], *, seconds: float = 20.0, progress: Callable[[int, int], None]
) -> float:
    """Images a second from file to boxes, one at a time, from the median time; the first two are for warm-up."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    for i, path in enumerate([*paths[:2], *paths]):
        start = time.perf_counter()
        detector(read_image(path))
        if i >= 2:
            times.append(time.perf_counter() - start)
            progress(len(times), len(paths))
            if time.perf_counter() > end:
                break
    progress(len(paths), len(paths))
    return 1 / statistics.median(times)
