"""`shapes`: a data set that is drawn from a seed, so that training and tests need no download.

A scene is a 320 x 320 RGB picture with 3 to 12 objects of ten classes on a textured background.

- All classes are equally likely, and only the form shows the class: fills, outlines and colours do not depend on it,
  and objects and background have the same palette. Of the box corners of `triangle`, `box` and `hourglass`, 28%, 10%
  and 10% lie on the object; of those of the other seven classes below 1%. Corner pooling is made for this.
- The longest side is log-uniform over 12..220 px, the aspect ratio log-uniform over 1:4..4:1 as far as the shorter
  side stays at 12 px or more. An object that finds no place in the scene shrinks in steps of 0.75.
- 600 scenes of seed 3 have 7.5 objects each and a median longest side of 54 px; each sixth of the log-size range has
  16% to 18% of the objects, 49% of the boxes overlap another box, 17% of the objects are partly covered, and by COCO's
  areas 44% are small, 39% medium and 17% large.
- Later objects may cover earlier ones, but at least 65% of every object stays visible, and no side of its box moves by
  more than 2 px or 4% of the box's width (height), whichever is more.
- A box is the tight box of the object's visible pixels (coverage of half a pixel or more), in continuous coordinates:
  x1 is the first visible column, x2 the last one plus 1.

The same seed gives the same scene on every run and with any number of threads; across processors, last-bit differences
in sin, cos and OpenCV's interpolation can change single pixel values.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from cornernet.errors import InputError
from cornernet.files import atomic_folder

CLASS_NAMES = ("disc", "ring", "star", "cross", "crescent", "triangle", "heart", "arrow", "box", "hourglass")
SIZE = 320

_MIN_SIDE, _MAX_SIDE = 12, 220
_MAX_ASPECT = 4.0
_MIN_VISIBLE = 0.65
_SUPERSAMPLE = 4
_APART_SHARE = 0.35  # of the objects try to find a place that overlaps no earlier box
_CONTRAST = 70.0  # RGB distance to all but the most similar 15% of the pixels around
_GAUSSIAN = np.array([NormalDist().inv_cdf((level + 0.5) / 256) for level in range(256)])
# OKLab to linear sRGB, https://bottosson.github.io/posts/oklab/
_LAB_TO_LMS = np.array(
    [[1, 1, 1], [0.3963377774, -0.1055613458, -0.0894841775], [0.2158037573, -0.0638541728, -1.2914855480]]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -1.2684380046, -0.0041960863],
        [-3.3077115913, 2.6097574011, -0.7034186147],
        [0.2309699292, -0.3413193965, 1.7076147010],
    ]
)

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
Points = NDArray[np.float64]  # (points, 2), x y
Colours = NDArray[np.float64]  # (colours, 3), RGB 0..255
Channels = Sequence[Any]  # red, green, blue: each a Field or a number


class Scene(NamedTuple):
    """One drawn scene."""

    image: Image  # (320, 320, 3), RGB
    boxes: NDArray[np.float32]  # (N, 4), x1 y1 x2 y2 in pixels
    labels: NDArray[np.int64]  # (N,), into CLASS_NAMES


class _Object(NamedTuple):
    label: int
    pixels: int  # of the whole object, covered or not
    box: tuple[int, int, int, int]  # x1 y1 x2 y2 of the whole object


def scene_seed(split: str, seed: int, index: int) -> tuple[int, ...]:
    """The seed of scene `index` of a split ("train" or "val"); every (split, seed, index) has its own.

    Raises ValueError for another split, and for a seed or index outside 0..2**32 - 1.
    """
    if split not in ("train", "val"):
        raise ValueError(f'split must be "train" or "val", not {split!r}')
    # SeedSequence splits larger integers into 32-bit words, and different tuples could then give the same words.
    if not (0 <= seed < 2**32 and 0 <= index < 2**32):
        raise ValueError(f"seed and index must be in 0..2**32 - 1, not {seed} and {index}")
    return (seed, ("train", "val").index(split), index)


def draw_scene(seed: int | Sequence[int]) -> Scene:
    """Draws the scene of a seed (one or several non-negative integers, as for numpy's SeedSequence)."""
    return _compose(seed)[0]


def write_shapes(
    out: Path, train: int, val: int, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> None:
    """Writes `train` and `val` scenes as a COCO data set, whole or not at all.

    Files: out/train/000000.png, out/val/000000.png, ..., out/annotations/instances_train.json and instances_val.json.
    Category ids are label + 1, an annotation's area is its box's area in square pixels. `progress(done, total)` is
    called after each scene. Raises InputError if `out` is in use or cannot be written, or a number is out of range.
    """
    if train < 0 or val < 0:
        raise InputError(f"cannot write {train} train and {val} val scenes", fix="give counts of 0 or more")
    if not 0 <= seed < 2**32:
        raise InputError(f"cannot draw scenes from seed {seed}", fix="give one in 0..2**32 - 1")
    jobs = [("train", index) for index in range(train)] + [("val", index) for index in range(val)]
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(CLASS_NAMES)]
    content: dict[str, dict[str, Any]] = {
        split: {"info": {"description": f"cornernet shapes, {split}, seed {seed}"}, "categories": categories}
        | {"images": [], "annotations": []}
        for split in ("train", "val")
    }
    with atomic_folder(out) as new:
        for folder in ("annotations", *content):
            (new / folder).mkdir()
        for done, (split, index) in enumerate(jobs, start=1):
            scene = draw_scene(scene_seed(split, seed, index))
            encoded = cv2.imencode(".png", scene.image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
            (new / split / f"{index:06d}.png").write_bytes(encoded.tobytes())
            _add_to_coco(content[split], scene, index)
            if progress is not None:
                progress(done, len(jobs))
        for split, instances in content.items():
            (new / "annotations" / f"instances_{split}.json").write_text(json.dumps(instances))


def _add_to_coco(content: dict[str, Any], scene: Scene, index: int) -> None:
    # Ids start at 1: in COCO's own evaluation the annotation id 0 means "no match".
    content["images"].append({"id": index + 1, "file_name": f"{index:06d}.png", "width": SIZE, "height": SIZE})
    for (x1, y1, x2, y2), label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
        ids = {"id": len(content["annotations"]) + 1, "image_id": index + 1, "category_id": label + 1}
        box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        content["annotations"].append(ids | box)


def _compose(seed: int | Sequence[int]) -> tuple[Scene, NDArray[np.int8], list[_Object]]:
    """The scene, the index of the visible object at each pixel (-1: background), and the objects."""
    rng = np.random.Generator(np.random.PCG64(seed))
    palette = _palette(rng, 256)
    image = _background(rng, palette)
    owner = np.full((SIZE, SIZE), -1, np.int8)
    objects: list[_Object] = []
    sides = [_draw_sides(rng) for _ in range(rng.integers(3, 13))]
    # Large ones first: a small object behind a large one would be invisible.
    for width, height in sorted(sides, key=lambda side: -side[0] * side[1]):
        label = int(rng.integers(len(CLASS_NAMES)))
        apart = bool(rng.random() < _APART_SHARE)
        while True:
            alpha = _draw_mask(rng, label, width, height)
            place = _find_place(rng, alpha >= 0.5, owner, objects, apart)
            if place is not None or max(width, height) <= _MIN_SIDE:
                break
            width, height = max(_MIN_SIDE, width * 0.75), max(_MIN_SIDE, height * 0.75)
        if place is None:
            continue
        (x, y), solid = place, alpha >= 0.5
        rows, cols = solid.shape
        _paint(rng, palette, image, alpha, x, y)
        owner[y : y + rows, x : x + cols][solid] = len(objects)
        objects.append(_Object(label, int(solid.sum()), (x, y, x + cols, y + rows)))
    noise = np.rint(_GAUSSIAN * rng.uniform(1.5, 5.0)).astype(np.int16)
    noise = noise[rng.integers(256, size=image.shape, dtype=np.uint8)]
    image = cv2.add(image, noise, dtype=cv2.CV_8U).astype(np.uint8, copy=False)
    boxes = np.array([_visible(owner, index, item.box)[1] for index, item in enumerate(objects)], np.float32)
    labels = np.array([item.label for item in objects], np.int64)
    return Scene(image, boxes.reshape(-1, 4), labels), owner, objects


def _draw_sides(rng: np.random.Generator) -> tuple[float, float]:
    longest = math.exp(rng.uniform(math.log(_MIN_SIDE), math.log(_MAX_SIDE)))
    shortest = longest / math.exp(rng.uniform(0, math.log(min(_MAX_ASPECT, longest / _MIN_SIDE))))
    return (longest, shortest) if rng.random() < 0.5 else (shortest, longest)


def _visible(owner: NDArray[np.int8], index: int, box: Sequence[int]) -> tuple[int, tuple[int, int, int, int]]:
    """How many pixels of an object are visible, and their tight box."""
    x1, y1, x2, y2 = box
    mine = owner[y1:y2, x1:x2] == index
    left, top, right, bottom = _tight(mine)
    return int(np.count_nonzero(mine)), (x1 + left, y1 + top, x1 + right, y1 + bottom)


def _tight(mask: Mask) -> tuple[int, int, int, int]:
    cols, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return (int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1) if len(cols) else (0, 0, 0, 0)


def _find_place(
    rng: np.random.Generator, solid: Mask, owner: NDArray[np.int8], objects: list[_Object], apart: bool
) -> tuple[int, int] | None:
    rows, cols = solid.shape
    for attempt in range(24):
        x, y = int(rng.integers(SIZE - cols + 1)), int(rng.integers(SIZE - rows + 1))
        box = (x, y, x + cols, y + rows)
        if apart and attempt < 16 and any(_overlap(box, item.box) for item in objects):
            continue
        window = owner[y : y + rows, x : x + cols]
        before = window[solid]
        covered = [index for index in np.unique(before).tolist() if index >= 0]
        window[solid] = len(objects)
        if all(_is_visible_enough(owner, index, objects[index]) for index in covered):
            return x, y
        window[solid] = before
    return None


def _overlap(a: Sequence[int], b: Sequence[int]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _is_visible_enough(owner: NDArray[np.int8], index: int, item: _Object) -> bool:
    pixels, box = _visible(owner, index, item.box)
    if pixels < _MIN_VISIBLE * item.pixels or min(box[2] - box[0], box[3] - box[1]) < _MIN_SIDE:
        return False
    sides = (item.box[2] - item.box[0], item.box[3] - item.box[1]) * 2
    return all(abs(a - b) <= max(2.0, 0.04 * side) for a, b, side in zip(box, item.box, sides, strict=True))


def _circle(radius: float = 1.0, centre: float = 0.0, start: float = 0.0, end: float = 2 * math.pi) -> Points:
    angles = np.linspace(start, end, 96)
    return np.stack([centre + radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _form(rng: np.random.Generator, name: str) -> list[Points]:
    """Outlines of one form, (points, 2) each, for filling by the even-odd rule; scale and place do not matter."""
    quarter = rng.integers(4) * math.pi / 2
    tilt = rng.uniform(-0.22, 0.22)
    turn = quarter + tilt
    if name == "disc":
        return [_circle()]
    if name == "ring":
        return [_circle(), _circle(rng.uniform(0.48, 0.6))]
    if name == "star":
        radii = np.tile([1.0, rng.uniform(0.4, 0.48)], 5)
        angles = np.arange(10) * math.pi / 5
        points, turn = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1), rng.uniform(0, 2 * math.pi)
    elif name == "cross":
        arm = rng.uniform(0.28, 0.38)
        half = [(arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm), (arm, 1)]
        points = np.array(half + [(-x, -y) for x, y in half])
    elif name == "crescent":
        radius, shift = 0.82, rng.uniform(0.42, 0.55)
        x = (1 - radius**2 + shift**2) / (2 * shift)  # where the two circles meet
        outer, inner = math.acos(x), math.acos((x - shift) / radius)
        inside = _circle(radius, shift, -inner, inner - 2 * math.pi)
        points = np.concatenate([_circle(1, 0, outer, 2 * math.pi - outer), inside])
    elif name == "triangle":
        points = np.array([(rng.uniform(-0.35, 0.35), -1), (1, 1), (-1, 1)])
    elif name == "heart":
        t = np.linspace(0, 2 * math.pi, 96)
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
        points, turn = np.stack([16 * np.sin(t) ** 3, y], axis=1), tilt
    elif name == "arrow":
        shaft, neck = rng.uniform(0.3, 0.4), rng.uniform(-0.1, 0.1)
        half = [(1, 0), (neck, 1), (neck, shaft), (-1, shaft)]
        points = np.array(half + [(x, -y) for x, y in half[:0:-1]])
    elif name == "box":
        points = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    else:
        waist = rng.uniform(0.08, 0.16)
        points = np.array([(-1, -1), (1, -1), (waist, 0), (1, 1), (-1, 1), (-waist, 0)])
    cos, sin = math.cos(turn), math.sin(turn)
    return [points @ np.array([[cos, sin], [-sin, cos]])]


def _draw_mask(rng: np.random.Generator, label: int, width: float, height: float) -> Field:
    """Coverage 0..1 of an object in its own tight box, (rows, columns)."""
    outlines = _form(rng, CLASS_NAMES[label])
    points = np.concatenate(outlines)
    low, span = points.min(axis=0), np.ptp(points, axis=0)
    wanted = np.array([round(width), round(height)])
    size = wanted
    while True:
        scale = size * _SUPERSAMPLE
        contours = [np.rint((outline - low) / span * scale * 16 - 8).astype(np.int32) for outline in outlines]
        canvas = np.zeros((int(scale[1]), int(scale[0])), np.uint8)
        cv2.fillPoly(canvas, contours, 255, shift=4)
        coverage = cv2.resize(canvas, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
        x1, y1, x2, y2 = _tight(coverage >= 128)
        missing = np.maximum(wanted - [x2 - x1, y2 - y1], 0)
        if not missing.any():
            break
        size = size + missing  # tips thinner than half a pixel do not count
    return coverage[y1:y2, x1:x2].astype(np.float32) / np.float32(255)


def _noise(rng: np.random.Generator, rows: int, cols: int, cell: int) -> Field:
    """Value noise 0..1, (rows, cols), with one random value every `cell` pixels."""
    grid = rng.random((rows // cell + 2, cols // cell + 2), np.float32)
    return np.clip(cv2.resize(grid, (cols, rows), interpolation=cv2.INTER_CUBIC), 0, 1).astype(np.float32)


def _waves(rng: np.random.Generator, rows: int, cols: int, period: float) -> Field:
    """A sine wave 0..1 in a random direction, (rows, cols)."""
    angle, phase = rng.uniform(0, math.pi), rng.uniform(0, 2 * math.pi)
    x = np.arange(cols) * (2 * math.pi / period * math.cos(angle))
    y = np.arange(rows) * (2 * math.pi / period * math.sin(angle)) + phase
    # sin(x + y) by the sum rule: the sines of two vectors take less time than those of a matrix.
    return (0.5 + 0.5 * (np.outer(np.sin(y), np.cos(x)) + np.outer(np.cos(y), np.sin(x)))).astype(np.float32)


def _palette(rng: np.random.Generator, count: int) -> Colours:
    """A scene's RGB colours 0..255, (count, 3): uniform in OKLCh lightness, of three matching hues."""
    hues = rng.uniform(0, 2 * math.pi) + np.array([0.0, rng.uniform(1.2, 2.4), rng.uniform(2.8, 3.6)])
    hue = hues[rng.integers(3, size=count)] + rng.normal(0, 0.35, count)
    light, chroma = rng.uniform(0.3, 0.95, count), rng.uniform(0.02, 0.16, count)
    lms = (np.stack([light, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1) @ _LAB_TO_LMS) ** 3
    linear = np.clip(lms @ _LMS_TO_RGB, 0, 1)
    return np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear) * 255


def _pick(rng: np.random.Generator, palette: Colours, count: int) -> Colours:
    return palette[rng.integers(len(palette), size=count)]


def _blend(first: Channels, second: Channels, weight: Field) -> Channels:
    """``first`` with weight 0, ``second`` with weight 1; one channel after another is fast in numpy."""
    return [a + (b - a) * weight for a, b in zip(first, second, strict=True)]


def _merge(channels: Channels) -> Image:
    return cv2.convertScaleAbs(cv2.merge(channels)).astype(np.uint8, copy=False)  # rounds and clips in one pass


def _background(rng: np.random.Generator, palette: Colours) -> Image:
    colours = _pick(rng, palette, 14)
    # All are near the first colour, so that objects differ from the background.
    near = (colours[0] + (colours - colours[0]) * 0.45).tolist()
    half = SIZE // 2  # no detail is smaller than 8 pixels, so half the resolution is enough
    octaves = np.zeros((half, half), np.float32)
    for cell, weight in ((48, 0.53), (20, 0.27), (8, 0.13), (3, 0.07)):
        octaves += _noise(rng, half, half, cell) * weight
    channels = _blend(near[0], near[1], octaves)
    channels = _blend(channels, near[2], _waves(rng, half, half, rng.uniform(250, 750)) * 0.7)
    patches = np.clip(_noise(rng, half, half, 24) * 3 - 1.5, 0, 0.7)
    channels = _blend(channels, near[3], patches * _waves(rng, half, half, rng.uniform(4, 15)))
    channels = _blend(channels, near[4], np.clip(_noise(rng, half, half, 16) * 4 - 2.6, 0, 0.8))
    image = cv2.resize(_merge(channels), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    for ink in near[5:]:
        kind = rng.integers(3)
        for _ in range(rng.integers(2, 5)):
            start, angle = rng.uniform(0, SIZE, 2), rng.uniform(0, 2 * math.pi)
            if kind == 2:  # a spray of speckles
                for x, y in np.rint((start + rng.normal(0, 25, (10, 2))) * 16).astype(int).tolist():
                    cv2.circle(image, (x, y), int(rng.integers(8, 28)), ink, -1, cv2.LINE_AA, 4)
                continue
            bend = rng.normal(0, 0.12, 14).cumsum() + np.arange(14) * rng.uniform(-0.15, 0.15) if kind else np.zeros(14)
            steps = np.stack([np.cos(angle + bend), np.sin(angle + bend)], axis=1) * rng.uniform(2, 7 if kind else 18)
            path = np.rint((start + steps.cumsum(axis=0)) * 16).astype(np.int32)
            cv2.polylines(image, [path], False, ink, int(rng.integers(1, 3)), cv2.LINE_AA, 4)
    return image.astype(np.uint8, copy=False)


def _stand_out(candidates: Colours, around: NDArray[np.float32]) -> tuple[list[float], float]:
    """The first candidate that differs enough from the pixels around, or the one that differs most; the difference."""
    distance = np.sqrt(((candidates[:, None] - around) ** 2).sum(axis=2))
    distance = np.sort(distance, axis=1)[:, int(distance.shape[1] * 0.15)]
    best = int(np.argmax(np.minimum(distance, _CONTRAST)))
    return candidates[best].tolist(), float(distance[best])


def _paint(rng: np.random.Generator, palette: Colours, image: Image, alpha: Field, x: int, y: int) -> None:
    """Fills an object of coverage `alpha` into the image with its box's first pixel at x, y."""
    rows, cols = alpha.shape
    pad = 4
    solid = cv2.copyMakeBorder((alpha > 0).astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    band = cv2.dilate(solid, np.ones((2 * pad + 1, 2 * pad + 1), np.uint8)) > solid
    left, top = max(0, pad - x), max(0, pad - y)
    window = image[max(0, y - pad) : y + rows + pad, max(0, x - pad) : x + cols + pad]
    around = window[band[top : top + window.shape[0], left : left + window.shape[1]]]
    around = around[:: max(1, len(around) // 64)].astype(np.float32)

    base, apart = _stand_out(_pick(rng, palette, 12), around)
    if apart < _CONTRAST:
        base, _ = _stand_out(palette, around)
    other, apart = _stand_out(base + (_pick(rng, palette, 8) - base) * rng.uniform(0.25, 0.5), around)
    kind, shade = rng.integers(4), np.zeros_like(alpha)
    if kind == 1:
        shade = _waves(rng, rows, cols, 2.0 * max(rows, cols))
    elif kind == 2:
        shade = _noise(rng, rows, cols, int(rng.integers(3, 12)))
    elif kind == 3:
        shade = _waves(rng, rows, cols, rng.uniform(5, 20))
    fill = _blend(base, other, shade * (1.0 if apart >= _CONTRAST * 0.7 else 0.4))
    if min(rows, cols) >= 20 and rng.random() < 0.4:
        ink, apart = _stand_out(np.array(base) * 0.5 + [[10.0], [125.0]], around)
        if apart >= _CONTRAST * 0.7:
            thick = 2 * min(4, max(1, round(0.02 * min(rows, cols)))) + 1
            padded = cv2.copyMakeBorder(alpha, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
            inner = cv2.erode(padded, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (thick, thick)))[1:-1, 1:-1]
            fill = _blend(ink, fill, inner.astype(np.float32, copy=False))
    target = image[y : y + rows, x : x + cols]
    target[:] = _merge(_blend(cv2.split(target), fill, alpha))
