"""Videos of drawn objects that move and cross each other, with the truth of every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cornernet.data import shapes
from cornernet.data.shapes import CLASS_NAMES, SIZE

LEAST_VISIBLE = 0.25  # share of an object's pixels; with less it counts as hidden
MARGIN = 20  # pixels around the picture in which objects turn back, so that some leave it for a while


@dataclass
class Sprite:
    """One object: ``coverage`` (h, w) 0..1 and ``colors`` (h, w, 3), moving on a smooth path; ``number`` from 1."""

    number: int
    label: int
    coverage: NDArray[np.float32]
    colors: NDArray[np.uint8]
    path: NDArray[np.float64]  # (frames, 2) its top left corner, x y


@dataclass
class MovingFrame:
    """A frame (H, W, 3), and its objects that are visible enough: ``boxes`` (N, 4), ``labels`` and ``numbers`` (N,)."""

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    numbers: NDArray[np.int64]


def draw_video(seed: int, frames: int, objects: int = 8, speed: float = 3.0) -> Iterator[MovingFrame]:
    """``frames`` frames of 320x320 pixels; objects move about ``speed`` pixels a frame, later ones before others."""
    rng = np.random.Generator(np.random.PCG64(seed))
    palette = shapes._palette(rng, 256)
    background = shapes._background(rng, palette)
    kinds = rng.integers(len(CLASS_NAMES), size=max(2, objects // 2))  # so that neighbours are often of one class
    sprites = []
    for number in range(1, objects + 1):
        label, side = int(rng.choice(kinds)), float(rng.uniform(32, 84))
        coverage = shapes._draw_mask(rng, label, side, side / rng.uniform(1, 1.6))
        rows, columns = coverage.shape
        scratch, (x, y) = background.copy(), (rng.integers(SIZE - columns), rng.integers(SIZE - rows))
        shapes._paint(rng, palette, scratch, np.ones_like(coverage), int(x), int(y))
        colors = scratch[y : y + rows, x : x + columns]
        sprites.append(Sprite(number, label, coverage, colors, _path(rng, frames, rows, columns, speed)))
    for i in range(frames):
        yield _compose(rng, background, sprites, i)


def _path(rng: np.random.Generator, frames: int, rows: int, columns: int, speed: float) -> NDArray[np.float64]:
    """Straight ways that bend a little, and turn back beside the picture."""
    place = rng.uniform(0, [SIZE - columns, SIZE - rows])
    angle, pace, path = rng.uniform(0, 2 * np.pi), speed * rng.uniform(0.5, 1.5), []
    for _ in range(frames):
        path.append(place.copy())
        angle += rng.normal(0, 0.04)
        step = pace * np.array([np.cos(angle), np.sin(angle)])
        low, high = -np.array([columns, rows]) - MARGIN, np.array([SIZE, SIZE]) + MARGIN
        outside = (place + step < low) | (place + step > high)
        step[outside] *= -1
        angle = float(np.arctan2(step[1], step[0]))
        place += step
    return np.array(path)


def _compose(rng: np.random.Generator, background: NDArray[np.uint8], sprites: list[Sprite], index: int) -> MovingFrame:
    image = background.copy()
    owner = np.zeros((SIZE, SIZE), np.int64)
    for sprite in sprites:
        x, y = np.rint(sprite.path[index]).astype(int).tolist()
        rows, columns = sprite.coverage.shape
        top, left, bottom, right = max(0, y), max(0, x), min(SIZE, y + rows), min(SIZE, x + columns)
        if top >= bottom or left >= right:
            continue
        part = sprite.coverage[top - y : bottom - y, left - x : right - x, None]
        color = sprite.colors[top - y : bottom - y, left - x : right - x]
        target = image[top:bottom, left:right]
        target[:] = np.rint(target * (1 - part) + color * part).astype(np.uint8)
        owner[top:bottom, left:right][part[..., 0] >= 0.5] = sprite.number
    noise = rng.normal(0, 3, image.shape)
    image = np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)
    boxes, labels, numbers = [], [], []
    for sprite in sprites:
        ys, xs = np.nonzero(owner == sprite.number)
        if len(ys) >= LEAST_VISIBLE * (sprite.coverage >= 0.5).sum() and len(ys):
            boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            labels.append(sprite.label)
            numbers.append(sprite.number)
    return MovingFrame(image, np.array(boxes, np.float32).reshape(-1, 4), np.array(labels), np.array(numbers))
