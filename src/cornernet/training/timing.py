"""How long training steps take on this machine."""

from __future__ import annotations

import statistics
import time

import torch
from torch import Tensor

from cornernet.network.cornernet import CornerNet, channels_last
from cornernet.recipe import Recipe
from cornernet.training.module import TrainingModule
from cornernet.training.step import batch_losses

_OVERHEAD = 1.15  # reading, averaging, logging
_LEAST_STEPS, _LEAST_SECONDS = 5, 2.0  # so long that another program's moment does not count


def noise_batch(count: int, side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Images (B, 3, S, S) of noise with eight boxes each (B, 8, 4), in pixels, and labels (B, 8): to measure a step."""
    images = torch.randn(count, 3, side, side, device=device).contiguous(memory_format=torch.channels_last)
    boxes = torch.tensor([[[0.2, 0.2, 0.5, 0.6]]], device=device).repeat(count, 8, 1) * side
    return images, boxes, torch.zeros(count, 8, dtype=torch.int64, device=device)


def seconds_per_image(recipe: Recipe, num_classes: int) -> float:
    """Seconds of an image in a training by ``recipe`` on one device here: the median of some steps on noise."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    size, batch = recipe.augmentation.crop_size, recipe.batch_size
    model = channels_last(CornerNet(recipe.model, num_classes).to(device))
    optimizer = TrainingModule(model, recipe, 1).configure_optimizers()["optimizer"]
    images, boxes, labels = noise_batch(batch, size, torch.device(device))
    dtype = torch.float16 if recipe.precision == "16-mixed" else torch.bfloat16
    times: list[float] = []
    while len(times) < _LEAST_STEPS or sum(times) < _LEAST_SECONDS:
        start = time.perf_counter()
        with torch.autocast(device, dtype, enabled=recipe.precision != "32-true"):
            losses = batch_losses(model, images, boxes, labels, recipe.loss)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        float(losses["heatmap"].detach())  # waits for a GPU
        times.append(time.perf_counter() - start)
    return statistics.median(times) / batch * _OVERHEAD
