"""A recipe for any data set: size, crop, batch and schedule, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from cornernet.config import (
    SIZES,
    Architecture,
    Augmentation,
    Decoding,
    Freeze,
    LossSettings,
    Optimization,
    Preprocessing,
    Recipe,
    Size,
    SizeConfig,
)
from cornernet.data.dataset import CocoDataset
from cornernet.devices import find_device, is_on_gpu
from cornernet.errors import InputError
from cornernet.evaluation.cost import training_bytes
from cornernet.hardware import available_memory
from cornernet.recipes.load import override
from cornernet.weights.store import Weights

_LARGEST_OBJECT = 320  # pixels: what a crop of 511 holds with room around it
_SMALLEST_OBJECT = 12  # pixels: three cells of the heatmap
_SMALL_OBJECTS = 96  # pixels
_LARGEST_CROP = 512  # the paper's, and a pixel
_SMALLEST_CROP = 256
_SMALL_SIDE = 384  # images up to this side are not cropped
_AROUND = 1.6  # a crop's side, and the window of corner pooling, in units of the 90th percentile of objects' sides
_SCALES = (0.8, 0.9, 1.0, 1.1, 1.2)  # of crops
_MOST_CORNERS = 500  # that are paired; images with more objects need tiles
_COARSE_OBJECTS = 48  # pixels, of half of the objects: six cells of stride 8
_TRUNK_RATE = 0.1  # of the rate of all else: docs/pretrained.md
_FEWEST_SEEN = 3000  # images that a training within --minutes should see, if need be smaller ones
_SMALLER = (1.0, 0.8, 0.64, 0.5)  # such images, in units of their size


class _Reasons(list[str]):
    """The reasons of all choices but those that the user made himself, by ``flags``."""

    def __init__(self, flags: Mapping[str, Any]) -> None:
        super().__init__()
        self.flags = flags

    def add(self, reason: str, *fields: str) -> None:
        """Add the reason of some fields of the recipe, or of a whole group of them."""
        if not any(f"{flag}.".startswith(f"{field}.") for flag in self.flags for field in fields):
            self.append(reason)


class _Start(NamedTuple):
    """What a size begins with, its learning rate for two images, and what its trunk, if that is fine-tuned, freezes."""

    weights: str | None
    rate: float
    freeze: Freeze = "none"

    @property
    def has_trunk(self) -> bool:
        """Whether a trunk is fine-tuned."""
        return self.freeze != "none"


_STARTS: dict[str, _Start] = {
    "nano": _Start("photos", 2e-3, "early"),
    "small": _Start("photos", 2e-3, "early"),
    "base": _Start("lite2", 1e-3, "early"),
    "hourglass-nano": _Start(None, 2e-3),
    "hourglass-small": _Start("shapes", 2e-3),
    "hourglass-base": _Start(None, 1e-3),
    "hourglass104": _Start(None, 2.5e-4),
}
_KNOWN = {"photos": "what photographs show", "lite2": "what photographs show", "shapes": "corners of such objects"}
_ROOM = 0.8  # the share of free memory that a training step may take


@dataclass(frozen=True)
class DatasetStats:
    """What the recipe depends on. ``image_side`` is the 95th percentile of the images' longer sides, in pixels;
    ``box_side`` the 10th, 50th and 90th percentile of the boxes' longer sides, in pixels; ``most_boxes`` the 99th
    percentile of an image's boxes; ``memory`` the free bytes on the ``device``, if known."""

    images: int
    classes: int
    image_side: int
    box_side: tuple[float, float, float]
    most_boxes: int
    device: str
    memory: int | None
    precision: str

    @property
    def has_large_objects(self) -> bool:
        """Whether a size above nano, and the bundled weights, help: docs/modern.md."""
        return self.box_side[2] > _SMALL_OBJECTS


def dataset_stats(dataset: CocoDataset) -> DatasetStats:
    """The figures of a training split and of this machine. Raises ``InputError`` if there is no box."""
    dataset.require_boxes()
    sides = [max(image.height, image.width) for image in dataset.images]
    boxes = np.concatenate([image.boxes[~image.crowd] for image in dataset.images])
    low, middle, high = np.percentile((boxes[:, 2:] - boxes[:, :2]).max(axis=1), (10, 50, 90)).tolist()
    has_gpu = is_on_gpu()
    return DatasetStats(
        len(dataset.images),
        len(dataset.class_names),
        int(np.percentile(sides, 95, method="higher")),
        (low, middle, high),
        int(np.percentile([len(image.boxes) for image in dataset.images], 99, method="higher")),
        "cuda" if has_gpu else "cpu",
        torch.cuda.mem_get_info(find_device())[0] if has_gpu else available_memory(),
        _fast_precision(has_gpu),
    )


def make_recipe(
    stats: DatasetStats,
    size: Size | None = None,
    minutes: float | None = None,
    seconds_per_image: Callable[[Recipe, int], float] | None = None,
    processes: int = 1,
    pretrained: bool = True,
    trunk: Weights | None = None,
    flags: Mapping[str, Any] | None = None,
) -> tuple[Recipe, list[str]]:
    """A recipe for the data set with ``flags``, fields that the user set; and the reasons, a line for each choice.

    ``size`` and ``minutes`` are the user's wishes, and so is ``trunk``, whose architecture stands in place of a size;
    ``seconds_per_image`` measures a recipe for a number of classes, and is needed for ``minutes``; ``processes`` is how
    many train. Without ``pretrained`` it begins from random weights. With ``minutes``, images are scaled down if
    otherwise fewer than 3,000 would be seen, and their objects allow it. Raises ``InputError`` if nothing fits into
    memory.
    """
    if minutes is not None and (not seconds_per_image or minutes <= 0):
        raise InputError("give a time above 0", f"--minutes {minutes:g}")
    crop = math.inf
    best: tuple[Recipe, _Reasons, float | None] | None = None
    for smaller in _SMALLER:
        reasons = _Reasons(flags or {})
        recipe = override(_recipe(stats, size, smaller, reasons, processes, pretrained, trunk), reasons.flags)
        if recipe.augmentation.crop_size >= crop:
            break  # nothing is gained
        crop = recipe.augmentation.crop_size
        seconds = seconds_per_image(recipe, stats.classes) if seconds_per_image else None
        best = recipe, reasons, seconds
        low = stats.box_side[0] * (recipe.preprocessing.max_size or stats.image_side) / stats.image_side
        if not (minutes and seconds) or 60 * minutes / seconds >= _FEWEST_SEEN or low * _SMALLER[1] < _SMALLEST_OBJECT:
            break
    assert best is not None
    recipe, reasons, seconds = best
    recipe = override(_schedule(recipe, stats, minutes, seconds, reasons, processes), reasons.flags)
    if reasons.flags:
        reasons.append(f"as asked: {', '.join(f'--{name} {value}' for name, value in reasons.flags.items())}")
    return recipe, reasons


def _recipe(
    stats: DatasetStats,
    size: Size | None,
    smaller: float,
    reasons: _Reasons,
    processes: int,
    pretrained: bool,
    trunk: Weights | None,
) -> Recipe:
    """The recipe but for its epochs, for images scaled down by ``smaller`` more than their objects demand."""
    scale, max_size = _scale(stats, smaller, reasons)
    crop_for = partial(_crop, stats, scale)
    chosen, batch, accumulate = _fit_memory(stats, size, scale, crop_for, reasons, processes, trunk)
    model = replace(_networks(trunk)[chosen], pairing=SizeConfig())
    crop, whole = crop_for(model.backbone.size_multiple)
    if not whole:
        window = math.ceil(_AROUND * stats.box_side[2] * scale / model.backbone.stride)  # an object and room around it
        model = replace(model, pool_window=max(8, window))
    how = "images seen whole" if whole else f"crops at objects, scaled by {_SCALES[0]} to {_SCALES[-1]}"
    most = f"nine in ten objects are at most {stats.box_side[2] * scale:.0f} pixels"
    reasons.add(f"input {crop}x{crop}, {how}: {most}", "augmentation")
    start = _start_of(chosen)
    weights = start.weights if pretrained and (start.has_trunk or stats.has_large_objects) else None
    if weights:
        known = _KNOWN.get(weights, "what its images show")
        reasons.add(f"weights {weights}: {known} need not be learnt anew (--weights none)", "weights")
    corners = min(_MOST_CORNERS, max(Decoding.num_corners, 2 * stats.most_boxes))
    if corners > Decoding.num_corners:
        why = f"images have up to {stats.most_boxes} objects"
        reasons.add(f"{corners} corners of each kind are paired: {why}", "decoding.num_corners")
    images = batch * accumulate * processes
    rate = Optimization("muon", lr=start.rate * (images / 2) ** 0.5, base_batch_size=images, schedule="cosine")
    fine_tunes = weights is not None and start.has_trunk
    pixels = trunk.preprocessing if trunk else Preprocessing(**model.backbone.normalization)
    return Recipe(
        model=model,
        preprocessing=replace(pixels, pad_multiple=model.backbone.size_multiple, max_size=max_size),
        decoding=Decoding(num_corners=corners, max_distance=0.6, pair_score="harmonic"),  # docs/modern.md
        augmentation=Augmentation(crop_size=crop, scales=() if whole else _SCALES, at_objects=not whole),
        loss=LossSettings(supervision_radius=1),
        optimization=replace(rate, backbone_lr=_TRUNK_RATE) if fine_tunes else rate,
        batch_size=batch,
        accumulate=accumulate,
        precision=stats.precision,  # type: ignore[arg-type]
        weights=weights,
        freeze=start.freeze if fine_tunes else "none",
        workers=8,  # loading takes no more than there are cores
    )


def _networks(trunk: Weights | None) -> dict[str, Architecture]:
    """What can be chosen, by name: the sizes, or the user's trunk alone."""
    return {trunk.info["source"]: trunk.architecture} if trunk else {**SIZES}


def _start_of(name: str) -> _Start:
    """What a size begins with; a trunk by its own weights."""
    return _STARTS.get(name) or _Start(name, 2e-3, "statistics")


def _scale(stats: DatasetStats, smaller: float, reasons: _Reasons) -> tuple[float, int | None]:
    """The factor that images are scaled down by, and their largest side then; ``None`` if they are not scaled."""
    small, _, large = stats.box_side
    scale = min(1.0, _LARGEST_OBJECT / large)
    scale = min(1.0, max(scale, _SMALLEST_OBJECT / max(small, 1.0)))
    scale = smaller * (1.0 if scale > 0.9 else scale)
    if scale == 1:
        return 1.0, None
    side = max(64, round(stats.image_side * scale))
    why = f"nine in ten objects are up to {large:.0f} pixels, a crop holds {_LARGEST_OBJECT}"
    if smaller < 1:
        why = f"else fewer than {_FEWEST_SEEN:,} images can be seen in the time"
    reasons.add(f"images scaled down to {side} pixels a side: {why}", "preprocessing.max_size")
    return scale, side


def _crop(stats: DatasetStats, scale: float, multiple: int) -> tuple[int, bool]:
    """The side of the training square, in pixels and a multiple of ``multiple``, and whether images are not cropped."""
    side, large = stats.image_side * scale, stats.box_side[2] * scale
    whole = side <= _SMALL_SIDE
    least = round(side) if whole else min(_LARGEST_CROP, max(_SMALLEST_CROP, int(_AROUND * large)))
    return max(2, -(-least // multiple)) * multiple, whole  # batch normalisation needs more than one innermost cell


def _fit_memory(
    stats: DatasetStats,
    size: Size | None,
    scale: float,
    crop_for: Callable[[int], tuple[int, bool]],
    reasons: _Reasons,
    processes: int,
    trunk: Weights | None,
) -> tuple[str, int, int]:
    """Size or trunk, images in a step of a process, and accumulated steps, such that a step fits into memory."""
    on_gpu = stats.device == "cuda"
    sharing = 1 if on_gpu else processes  # processes that share one memory
    is_coarse = stats.box_side[1] * scale >= _COARSE_OBJECTS
    wanted: Size = size or ("base" if on_gpu else "nano" if is_coarse else "small")
    sizes: list[Size] = ["base", "small", "nano"]
    networks = _networks(trunk)
    smaller: list[str] = [*networks] if trunk else [wanted] if size else [*sizes[sizes.index(wanted) :]]
    option, others = ("backbone", "NAME") if trunk else ("size", ", ".join(SIZES))
    for name in smaller:
        model = networks[name]
        full = batch = (6 if name == "hourglass104" else 8) if on_gpu else 2
        while batch >= 1:
            crop = crop_for(model.backbone.size_multiple)[0]
            need = training_bytes(model, stats.classes, batch, crop, frozen=_start_of(name).freeze)
            if stats.memory is None or need * sharing <= _ROOM * stats.memory:
                why = "as asked" if size or trunk else f"{stats.images:,} images on a {'GPU' if on_gpu else 'CPU'}"
                reasons.add(f"{option} {name}: {why} (--{option} {others})", "model")
                many = "many small steps learn most from few images" if batch == full else "what memory holds"
                factors = [processes] * (processes > 1) + [batch] + [full // batch] * (batch < full)
                each = f" ({processes} processes: --devices)" if processes > 1 else ""
                reasons.add(f"batch {' x '.join(map(str, factors))}{each}: {many}", "batch_size", "accumulate")
                return name, batch, full // batch
            batch //= 2
    free = (stats.memory or 0) / 2**30
    raise InputError(
        f"a training step of one image does not fit into {free:.1f} GiB of free memory",
        f"--{option} {smaller[-1]}",
        f"choose a smaller {option}, or free some",
    )


def _schedule(
    recipe: Recipe,
    stats: DatasetStats,
    minutes: float | None,
    seconds: float | None,
    reasons: _Reasons,
    processes: int,
) -> Recipe:
    """The recipe with its epochs, and a moving average for so many steps."""
    if minutes and seconds:
        seen = 60 * minutes / seconds
    else:
        seen = (60_000 if stats.device == "cuda" else 20_000) // (2 if recipe.freeze != "none" else 1)
    epochs = min(300, max(1 if minutes else 12, round(seen / stats.images)))
    if "epochs" in reasons.flags:
        epochs = recipe.epochs
    steps = epochs * (stats.images // (recipe.batch_size * processes)) // recipe.accumulate
    took = f", about {epochs * stats.images * seconds / 60:.0f} minutes" if seconds else ""
    reasons.append(f"{epochs} epochs: {epochs * stats.images:,} images seen{took} (--minutes)")
    decay = 0.999 if steps >= 5000 else 0.99  # a moving average needs time: docs/log.md
    return replace(
        recipe,
        epochs=epochs,
        validate_every=max(1, epochs // 10),
        optimization=replace(recipe.optimization, ema=decay, warmup_iterations=min(300, max(1, steps // 10))),
    )


def _fast_precision(has_gpu: bool) -> str:
    """Mixed precision if the device supports it, otherwise float32."""
    if has_gpu:
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if find_device().type != "cpu":
        return "32-true"
    native = any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))
    return "bf16-mixed" if native else "32-true"
