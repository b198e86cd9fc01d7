"""Images in another size, and the sizes they get."""

from __future__ import annotations

import cv2
import numpy as np

from cornernet.errors import InputError
from cornernet.media.images import Pixels


def shrink(image: Pixels, max_size: int | None) -> tuple[Pixels, float]:
    """The image with its longer side at most ``max_size`` pixels, and the scale: boxes found in it / scale = original.

    Area averaging; never enlarges, and ``None`` leaves the image as it is. Raises ``InputError`` for a size below 1.
    """
    height, width = image.shape[:2]
    scale = shrunk_scale(height, width, max_size)
    if scale == 1:
        return image, 1.0
    height, width = shrunk_size(height, width, max_size)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8), scale


def shrunk_scale(height: int, width: int, max_size: int | None) -> float:
    """The scale, at most 1, at which the longer side has at most ``max_size`` pixels. Raises as ``shrink``."""
    if max_size is None:
        return 1.0
    if max_size < 1:
        raise InputError(f"the largest size must be at least 1 pixel, not {max_size}")
    return min(1.0, max_size / max(height, width))


def shrunk_size(height: int, width: int, max_size: int | None) -> tuple[int, int]:
    """Height and width, in pixels, of what ``shrink`` returns for an image of this size."""
    scale = shrunk_scale(height, width, max_size)
    return max(1, round(height * scale)), max(1, round(width * scale))


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width, in pixels, of an image in another scale; at least 1."""
    return max(1, int(height * scale)), max(1, int(width * scale))


def resize(image: Pixels, scale: float) -> Pixels:
    """The image in another scale, bilinear. Boxes found in it / scale = original."""
    if scale == 1:
        return image
    height, width = scaled_size(image.shape[0], image.shape[1], scale)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
