"""Which images an epoch has, and how often: each once, or those of rare classes more often."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cornernet.data.dataset import ImageRecord


def repeat_factors(images: Sequence[ImageRecord], classes: int, threshold: float) -> np.ndarray:
    """How often each image is seen in an epoch, on average: float64 (N,), at least 1.

    A class in a share f of the images has the factor sqrt(``threshold`` / f), at least 1; an image has the largest one
    of its classes. Crowd boxes do not count. Source: Gupta et al., LVIS, 2019, appendix B.
    """
    present = [np.unique(image.labels[~image.crowd]) for image in images]
    shares = np.bincount(np.concatenate([[], *present]).astype(np.int64), minlength=classes) / max(1, len(images))
    of_class = np.maximum(1.0, np.sqrt(threshold / np.maximum(shares, 1e-12)))
    return np.array([of_class[labels].max(initial=1.0) for labels in present])


def repeated_order(factors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices of images in a random order, each as often as its factor says: rounded down, or up by chance.

    The length is that of `epoch_length`, the sum of the factors rounded down.
    """
    whole = np.floor(factors).astype(np.int64)
    order = rng.permutation(len(factors))
    # The parts that are left lie one behind the other on a line; marks at a distance of 1 hit each by its length.
    marks = rng.random() + np.arange(epoch_length(factors) - whole.sum())
    hit = np.searchsorted(np.cumsum((factors - whole)[order]), marks, side="right")
    once_more = order[hit.clip(max=len(order) - 1)]  # a sum of floats may be short by a bit
    return rng.permutation(np.concatenate([np.repeat(np.arange(len(factors)), whole), once_more]))


def epoch_length(factors: np.ndarray) -> int:
    """How many images an epoch with these factors has."""
    return int(math.fsum(factors) + 1e-6)  # the exact sum, so that it depends on no order
