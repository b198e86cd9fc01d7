"""How long training steps take on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from cornernet.config import Recipe
from cornernet.devices import find_device
from cornernet.model.criterion import batch_losses
from cornernet.training.launch import threads_each
from cornernet.training.module import TrainingModule, training_network

_OVERHEAD = 1.15  # reading, averaging, logging
_LEAST_STEPS, _LEAST_SECONDS = 5, 2.0  # so that a short load of the machine does not count


def step_on_noise(recipe: Recipe, num_classes: int, batch_size: int, device: torch.device) -> Callable[[], Tensor]:
    """A function that runs one training step by ``recipe`` on images of noise with eight boxes each. It returns a
    loss, a scalar tensor on the device."""
    model = training_network(recipe, num_classes, device)
    optimizer = TrainingModule(model, recipe, 1).configure_optimizers()["optimizer"]
    side = recipe.augmentation.crop_size
    images = torch.randn(batch_size, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    boxes = torch.tensor([[[0.2, 0.2, 0.5, 0.6]]], device=device).repeat(batch_size, 8, 1) * side
    labels = torch.zeros(batch_size, 8, dtype=torch.int64, device=device)
    dtype = torch.float16 if recipe.precision == "16-mixed" else torch.bfloat16

    def step() -> Tensor:
        with torch.autocast(device.type, dtype, enabled=recipe.precision != "32-true"):
            losses = batch_losses(model, images, boxes, labels, recipe.loss)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        return losses["heatmap"].detach()

    return step


def seconds_per_image(recipe: Recipe, num_classes: int, processes: int = 1) -> float:
    """Seconds for each image in a training by ``recipe`` in so many processes on this machine: the median of some steps
    on noise, in one process with its share of the cores."""
    device = find_device()
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, threads_each(processes)))
    step = step_on_noise(recipe, num_classes, recipe.batch_size, device)
    times: list[float] = []
    while len(times) < _LEAST_STEPS or sum(times) < _LEAST_SECONDS:
        start = time.perf_counter()
        step().item()  # waits for a GPU
        times.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    return statistics.median(times) / (recipe.batch_size * processes) * _OVERHEAD
