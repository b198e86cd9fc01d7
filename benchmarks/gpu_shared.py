"""Shared by both sides of ``gpu_worker.py``: ours and mmdetection's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from gpu import Job, Scale, Variant, scale_of
from torch import Tensor

from cornernet.model.targets import OccupiedMaps, find_occupied_maps

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
Road = Callable[[], Iterator[str]]  # says a stage's name when the stage is over


def autocast(variant: Variant, device: str) -> torch.autocast:
    """Mixed precision if the variant is in half precision."""
    return torch.autocast(device, HALF.get(variant.precision), enabled=variant.precision in HALF)


def compile_options(variant: Variant, scale: Scale) -> dict[str, str]:
    """For ``torch.compile``, whose other backends know no modes."""
    return {"mode": str(variant.compiled)} if scale.backend == "inductor" else {"backend": scale.backend}


def draw_objects(job: Job, images: int, count: int | None = None) -> tuple[Tensor, Tensor, OccupiedMaps]:
    """Boxes (images, N, 4) inside a crop, in pixels, labels (images, N), and the occupied heatmaps."""
    scale, generator = scale_of(job), torch.Generator().manual_seed(0)
    sides = torch.rand((images, count or scale.objects, 2), generator=generator) * 0.5 + 0.05
    corner = torch.rand(sides.shape, generator=generator) * (1 - sides)
    boxes = torch.cat((corner, corner + sides), dim=-1) * (scale.crop - 1)
    labels = torch.randint(0, scale.classes, boxes.shape[:2], generator=generator)
    *indices, turns = find_occupied_maps(labels)
    device = job["device"]
    return boxes.to(device), labels.to(device), OccupiedMaps(*(index.to(device) for index in indices), turns)
