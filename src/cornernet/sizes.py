"""The one dial: named network sizes, from a quarter of a second of one core to the paper's network."""

from __future__ import annotations

from typing import Literal

from cornernet.structures import Architecture

Size = Literal["nano", "small", "base", "hourglass104"]

# GFLOP of one 511x511 image with 10 classes at test: 6, 13, 43, 608
SIZES: dict[Size, Architecture] = {
    "nano": Architecture(1, (32, 48, 64, 96), (1, 1, 1, 2), 32, 32, 32),
    "small": Architecture(1, (32, 64, 96, 128, 160), (1, 1, 1, 1, 2), 48, 64, 64),  # that of the bundled weights
    "base": Architecture(1, (64, 96, 128, 192, 256), (1, 1, 2, 2, 2), 96, 96, 96),
    "hourglass104": Architecture(),
}


def pad_multiple(architecture: Architecture) -> int:
    """What inputs are padded to multiples of, so that every level halves evenly: 128 for HourglassNet-104."""
    return 4 << architecture.depth  # the stem's stride of 4, then one halving a level
