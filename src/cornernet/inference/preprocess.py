"""From pixels to the network's input: normalise and pad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cornernet.config import Preprocessing


def normalize(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 RGB (..., 3, H, W) to float32 in ``color_order``, (pixel - mean) / std, on the same device."""
    mean = torch.tensor(preprocessing.mean, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=pixels.device).view(3, 1, 1)
    ordered = pixels if preprocessing.color_order == "RGB" else pixels.flip(-3)
    return (ordered.float() - mean) / std


def to_input(
    images: Sequence[np.ndarray], preprocessing: Preprocessing, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Images, uint8 (H, W, 3) RGB of one padded size, to the network's input.

    Returns float32 (B, 3, padded height, padded width), channels-last, and shifts (B, 2), each image's left and
    top in it in pixels. Raises ``ValueError`` if the padded sizes differ.
    """
    sizes = {preprocessing.padded_size(*image.shape[:2]) for image in images}
    if len(sizes) != 1:
        raise ValueError(f"images of one padded size make a batch, not {sorted(sizes)}")
    height, width = sizes.pop()
    batch = torch.empty((len(images), 3, height, width), device=device, memory_format=torch.channels_last)
    black = torch.zeros((3, 1, 1), dtype=torch.uint8, device=device)
    batch[:] = normalize(black, preprocessing) if preprocessing.padding == "black" else 0.0
    shifts = []
    for row, image in zip(batch, images, strict=True):
        (h, w), (top, left) = image.shape[:2], preprocessing.offset_of(*image.shape[:2])
        # a copy, because numpy calls a mirrored image of width 1 contiguous although its stride is negative
        pixels = torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)
        row[:, top : top + h, left : left + w] = normalize(pixels, preprocessing)
        shifts.append((left, top))
    return batch, torch.tensor(shifts, dtype=torch.float32, device=device)
