"""Training crops: scale, place, colour, flip (paper, section 4.1), turns; each sample has one random generator."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from cornernet.config import Augmentation

_TRIES = 50  # a crop without any object is drawn again, at most so often


def augment(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    settings: Augmentation,
    fill: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One training sample of side ``crop_size``.

    ``image`` uint8 (H, W, 3) RGB; ``boxes`` float32 (N, 4) x1 y1 x2 y2 in its pixels; ``labels`` (N,). Pixels outside
    the image become ``fill`` (RGB, 0..255). Returns the same three, without boxes whose centre is outside the crop; the
    other boxes are clipped to it. Source: the authors' training crop.
    """
    size = settings.crop_size
    if settings.scales:
        side = max(1, int(size * settings.scales[rng.integers(len(settings.scales))]))
        if settings.at_objects and len(boxes):
            left, top = _place_at(boxes[rng.integers(len(boxes))], image.shape, side, rng)
        else:
            left, top = _place(image.shape, boxes, side, settings.border, rng)
    else:
        side = max(size, *image.shape[:2])
        left, top = image.shape[1] // 2 - side // 2, image.shape[0] // 2 - side // 2
    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    crop = image[y1:y2, x1:x2]  # from here on only the pixels of the crop
    if settings.color_jitter:
        crop = jitter(crop, rng)
    if crop.shape[:2] != (side, side):
        margins = y1 - top, top + side - y2, x1 - left, left + side - x2
        crop = cv2.copyMakeBorder(crop, *margins, cv2.BORDER_CONSTANT, value=fill)
    inside = _centres_inside(boxes, left, top, side)
    boxes = (boxes[inside] - np.array([left, top, left, top], np.float32)).clip(0, side) * np.float32(size / side)
    labels = labels[inside]
    if side != size:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < settings.flip:
        crop = cv2.flip(crop, 1)
        boxes = np.stack((size - boxes[:, 2], boxes[:, 1], size - boxes[:, 0], boxes[:, 3]), axis=1)
    crop, boxes = turn(crop, boxes, settings, rng)
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return np.ascontiguousarray(crop), boxes[solid].astype(np.float32), labels[solid]


def turn(
    crop: np.ndarray, boxes: np.ndarray, settings: Augmentation, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A square crop (S, S, 3) and its boxes (N, 4), perhaps mirrored top to bottom, perhaps turned by quarters.

    The boxes that come back are upright again: after a quarter turn another corner is the top left one. Nothing is
    drawn for what is off, so that other fields' samples stay as they are.
    """
    size = crop.shape[0]
    if settings.vertical_flip and rng.random() < settings.vertical_flip:
        crop = cv2.flip(crop, 0)
        boxes = np.stack((boxes[:, 0], size - boxes[:, 3], boxes[:, 2], size - boxes[:, 1]), axis=1)
    if settings.quarter_turns and rng.random() < settings.quarter_turns:
        for _ in range(int(rng.integers(1, 4))):  # each to the left: (x, y) becomes (y, size - x)
            crop = cv2.rotate(crop, cv2.ROTATE_90_COUNTERCLOCKWISE)
            boxes = np.stack((boxes[:, 1], size - boxes[:, 2], boxes[:, 3], size - boxes[:, 0]), axis=1)
    return crop, boxes


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


def _place_at(box: np.ndarray, shape: tuple[int, ...], side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Left and top of a crop around ``box``, or of a crop inside a larger one; in the image if that is possible."""
    found = []
    for start, end, length in ((box[0], box[2], shape[1]), (box[1], box[3], shape[0])):
        low, high = int(np.ceil(end)) - side, int(start)
        if low > high:
            low, high = int((start + end) / 2 - 0.75 * side), int((start + end) / 2 - 0.25 * side)
        low, high = max(low, min(0, length - side)), min(high, max(0, length - side))
        found.append(int(rng.integers(low, high + 1)) if low <= high else high)
    return found[0], found[1]


def _fitting_border(border: int, length: int) -> int:
    """``border``, halved until an image of ``length`` pixels has pixels between its two borders."""
    while border and length <= 2 * border:
        border //= 2
    return border


def _centres_inside(boxes: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    return (x > left) & (x < left + side) & (y > top) & (y < top + side)


def jitter(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Photometric distortion of uint8 (H, W, 3) RGB, as in SSD (Liu et al., 2016): same shape and type.

    Brightness +-32, contrast and saturation x 0.5..1.5, hue +-18 degrees, channels reordered, each with probability
    one half. SSD puts contrast before or after the other colour changes; as these scale with it, both are the same.
    """
    brightness = rng.uniform(-32, 32) if rng.random() < 0.5 else 0.0
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue = rng.uniform(-18, 18) if rng.random() < 0.5 else 0.0
    channels = rng.permutation(3).tolist() if rng.random() < 0.5 else (0, 1, 2)
    return recolor(image, brightness, contrast, saturation, hue, channels)


def recolor(
    image: np.ndarray, brightness: float, contrast: float, saturation: float, hue: float, channels: Sequence[int]
) -> np.ndarray:
    """uint8 (H, W, 3) RGB: adds ``brightness``, multiplies by ``contrast``, then in the HSV colour model multiplies
    the saturation by ``saturation`` and adds ``hue`` degrees (at most 60), then reorders the channels to ``channels``.

    Same shape and type; the image itself if nothing changes. The result is within 2 grey levels of the one in floating
    point. No HSV image is made: with V the largest channel of a pixel, a saturation S times as large turns a channel c
    into V - S (V - c), and this and the change of hue may come before brightness and contrast. So values are rounded
    and clipped to 0..255 only at the end.
    """
    offset = brightness * contrast
    if saturation != 1.0 or hue != 0.0 or tuple(channels) != (0, 1, 2):
        colors = cv2.split(np.ascontiguousarray(image))  # splitting a view of an image is ten times slower
        if hue != 0.0:
            colors = _turn_hue(colors, hue / 60)
        if saturation != 1.0:
            largest = cv2.max(cv2.max(colors[0], colors[1]), colors[2])
            own, common = contrast * saturation, contrast * (1 - saturation)
            colors = [cv2.addWeighted(color, own, largest, common, offset) for color in colors]
            contrast, offset = 1.0, 0.0
        image = cv2.merge([colors[channel] for channel in channels])
    if contrast != 1.0 or offset != 0.0:
        image = cv2.addWeighted(image, contrast, image, 0, offset)
    return image


def _turn_hue(colors: Sequence[np.ndarray], turn: float) -> Sequence[np.ndarray]:
    """Red, green and blue, uint8 (H, W) each, with the hue turned by ``turn`` sixths of the circle (-1..1).

    Exact within 1 grey level. When the hue turns, the middle channel moves between the least and the largest one by
    ``turn`` times their difference. If it would pass one of them, that channel becomes the middle one and moves back by
    the rest.
    """
    red, green, blue = colors
    if turn < 0:
        red, blue, green = _turn_hue((red, blue, green), -turn)
        return red, green, blue
    least, largest = cv2.min(cv2.min(red, green), blue), cv2.max(cv2.max(red, green), blue)
    middle = cv2.max(cv2.min(red, green), cv2.min(cv2.max(red, green), blue))
    step = cv2.convertScaleAbs(cv2.subtract(largest, least), alpha=turn)
    turned = []
    for own, following, last in ((red, green, blue), (green, blue, red), (blue, red, green)):
        shift = cv2.subtract(step, cv2.absdiff(own, middle))  # OpenCV clips differences at 0 and sums at 255
        risen = cv2.min(cv2.add(own, shift), largest)
        fallen = cv2.max(cv2.subtract(own, shift), least)
        # A channel falls on the half circle that begins at its own colour, and rises on the other half.
        turned.append(cv2.copyTo(fallen, cv2.compare(following, last, cv2.CMP_GE), risen))
    return turned
