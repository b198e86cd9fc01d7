"""Training crops: scale, place, colour, flip (paper, section 4.2), all from one random generator a sample."""

from __future__ import annotations

import cv2
import numpy as np

from cornernet.recipe import Augmentation

_TRIES = 50  # a crop without any object is drawn again, this often at most


def augment(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    settings: Augmentation,
    fill: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One training sample of side ``crop_size``.

    ``image`` uint8 (H, W, 3) RGB; ``boxes`` float32 (N, 4) x1 y1 x2 y2 in its pixels; ``labels`` (N,). What lies
    outside the image becomes ``fill`` (RGB, 0..255). Returns the same three; boxes whose centre fell outside are gone,
    the others cut to the crop. Source: the authors' training crop.
    """
    size = settings.crop_size
    if settings.scales:
        side = max(1, int(size * settings.scales[rng.integers(len(settings.scales))]))
        left, top = _place(image.shape, boxes, side, settings.border, rng)
    else:
        side = max(size, *image.shape[:2])
        left, top = image.shape[1] // 2 - side // 2, image.shape[0] // 2 - side // 2
    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    region = image[y1:y2, x1:x2]
    if settings.color_jitter:
        region = jitter(region, rng)
    if region.shape[:2] == (side, side):
        crop = region
    else:
        crop = np.empty((side, side, 3), np.uint8)
        crop[:] = np.round(fill)
        crop[y1 - top : y2 - top, x1 - left : x2 - left] = region
    inside = _centres_inside(boxes, left, top, side)
    boxes = (boxes[inside] - np.array([left, top, left, top], np.float32)).clip(0, side) * np.float32(size / side)
    labels = labels[inside]
    if side != size:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < settings.flip:
        crop = crop[:, ::-1]
        boxes = np.stack((size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]), axis=1)
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return np.ascontiguousarray(crop), boxes[solid].astype(np.float32), labels[solid]


def _place(
    shape: tuple[int, ...], boxes: np.ndarray, side: int, border: int, rng: np.random.Generator
) -> tuple[int, int]:
    height, width = shape[:2]
    margin_y, margin_x = _fitting_border(border, height), _fitting_border(border, width)
    left = top = 0
    for _ in range(_TRIES):
        centre_x = int(rng.integers(margin_x, max(width - margin_x, margin_x + 1)))
        centre_y = int(rng.integers(margin_y, max(height - margin_y, margin_y + 1)))
        left, top = centre_x - side // 2, centre_y - side // 2
        if not len(boxes) or _centres_inside(boxes, left, top, side).any():
            break
    return left, top


def _fitting_border(border: int, length: int) -> int:
    """``border`` halved until an image of ``length`` pixels has room between its two borders."""
    while border and length <= 2 * border:
        border //= 2
    return border


def _centres_inside(boxes: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return (x > left) & (x < left + side) & (y > top) & (y < top + side)


def jitter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photometric distortion of uint8 (H, W, 3) RGB, as in SSD (Liu et al., 2016): same shape and type.

    Brightness +-32, contrast and saturation x 0.5..1.5, hue +-18 degrees, channels reordered, each with probability
    one half; contrast comes before or after the colour changes.
    """
    brightness = rng.uniform(-32, 32) if rng.random() < 0.5 else 0.0
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    contrast_first = rng.random() < 0.5
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue = rng.uniform(-18, 18) if rng.random() < 0.5 else 0.0
    channels = rng.permutation(3) if rng.random() < 0.5 else None
    if image.size == 0:
        return image
    pixels = (image.astype(np.float32) + np.float32(brightness)) * np.float32(contrast if contrast_first else 1)
    if saturation != 1.0 or hue != 0.0:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)  # hue in degrees, saturation 0..1
        hsv[..., 1] *= saturation
        hsv[..., 0] = (hsv[..., 0] + hue) % 360
        pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if not contrast_first:
        pixels *= np.float32(contrast)
    if channels is not None:
        pixels = pixels[..., channels]
    return pixels.clip(0, 255).round().astype(np.uint8)
