"""``cornernet benchmark``."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.commands import options
from cornernet.data.formats import Format
from cornernet.devices import find_device
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    import torch

    from cornernet.config import Recipe
    from cornernet.data.dataset import CocoDataset


def benchmark(
    name: str,
    *,
    images: str | None = None,
    data: str | None = None,
    format: options.Format = None,
    weights: str | None = None,
    batch_size: int | None = None,
    device: options.Device = None,
    no_training: bool = False,
    seconds: float = 20.0,
    out: str = "benchmark.json",
) -> None:
    """Measure the figures of the model zoo's table for the recipe NAME on this machine, next to the published ones.

    Args:
        images: Folder of images for the timing. Default: drawn ones of 640x480 pixels.
        data: Data set in any format; its val split is evaluated, with flip, for the AP column. Needs weights.
        weights: Weights file or a release's name. Default: random ones, which take as long.
        batch_size: Images of a training step. Default: the recipe's, per GPU.
        no_training: Leave training memory out.
        seconds: Longest time for each of the two timings.
        out: JSON file for the figures.
    """
    from cornernet.errors import InputError
    from cornernet.evaluation.cost import count_cost, images_per_second, require_training_memory, training_bytes
    from cornernet.evaluation.predict import evaluate_dataset
    from cornernet.files import atomic_write_json
    from cornernet.inference.detector import Detector
    from cornernet.media.walk import find_images
    from cornernet.model.cornernet import CornerNet, channels_last
    from cornernet.model.fuse import fuse
    from cornernet.recipes.load import find_recipe, load_recipe
    from cornernet.weights.coco_classes import COCO_CLASSES
    from cornernet.weights.zoo import find_release, open_weights

    recipe = load_recipe(name)
    if data and not weights:
        raise InputError("--data wants an AP, which needs --weights", "benchmark")
    place = find_device(device)
    # Errors of the input come before minutes of timing.
    stored = open_weights(weights, progress=ProgressBar("fetching", "B")) if weights else None
    dataset = _dataset(data, format, stored.class_names) if data and stored else None
    pictures = find_images([images]) if images else None
    classes, batch = len(COCO_CLASSES), batch_size or recipe.batch_size
    row: dict[str, Any] = {"name": find_recipe(name).stem, "machine": _machine(place)}
    row["date"] = time.strftime("%Y-%m-%d")
    cost = count_cost(recipe.model, classes)
    row |= {"parameters (M)": round(cost.parameters, 2), "GFLOPs at 511x511": round(cost.gflops, 1)}
    crop, checkpointing = recipe.augmentation.crop_size, recipe.activation_checkpointing
    need = training_bytes(recipe.model, classes, batch, crop, checkpointing=checkpointing, frozen=recipe.freeze)
    row |= {"images per device": batch, "training memory, estimated (GB)": round(need / 1e9, 1)}
    if not no_training:
        require_training_memory(need, place)
        if place.type == "cuda":
            row["training memory (GB)"] = round(_training_memory(recipe, classes, batch, place), 1)
    model = stored.build() if stored else CornerNet(recipe.model, classes)
    names = stored.class_names if stored else COCO_CLASSES
    preprocessing = stored.preprocessing if stored else recipe.preprocessing
    decoding = stored.decoding if stored else recipe.decoding
    model = fuse(channels_last(model.to(place)))
    with tempfile.TemporaryDirectory() as scratch:
        paths = pictures or _draw_images(Path(scratch))
        for flip in (False, True):
            detector = Detector(model, names, preprocessing, decoding=decoding, flip=flip)
            bar = ProgressBar("timing with flip" if flip else "timing")
            speed = images_per_second(detector, paths, seconds=seconds, progress=bar)
            row["images/s, flip" if flip else "images/s"] = round(speed, 2)
    if dataset:
        detector = Detector(model, names, preprocessing, decoding=decoding, flip=True)
        metrics, _ = evaluate_dataset(detector, dataset, progress=ProgressBar("evaluating"))
        row["box AP, flip"] = round(100 * metrics.figures["AP"], 1)
    release = find_release(row["name"])
    published: dict[str, Any] = {}
    if release:
        published = {"training memory (GB)": release.memory, "images/s, flip": release.fps, "box AP, flip": release.ap}
    width = max(map(len, row))
    atomic_write_json(out, {"measured": row, "published": published})
    print(f"{'':{width}}  {'measured':>24}  {'published':>10}")
    for key in [*row, *(k for k in published if k not in row)]:
        print(f"{key:{width}}  {row.get(key, '-')!s:>24}  {published.get(key, ''):>10}")
    print(f"figures: {out}", file=sys.stderr)


def _training_memory(recipe: Recipe, classes: int, batch_size: int, device: torch.device) -> float:
    """GB of GPU memory at the peak of three of the recipe's training steps, as OpenMMLab's logs count them."""
    import torch

    from cornernet.training.timing import step_on_noise

    torch.cuda.reset_peak_memory_stats(device)
    step = step_on_noise(recipe, classes, batch_size, device)
    for _ in range(3):
        step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) / 1e9


def _dataset(data: str, format: Format | None, class_names: Sequence[str]) -> CocoDataset:
    from cornernet.data.find import find_data, load_split

    dataset = load_split(find_data(data, format), "val", class_names=class_names)
    print(dataset)
    if dataset.problems:
        counted = f"{len(dataset.problems)} images and boxes left out or clipped"
        print(f"warning: {dataset.name}: {counted}; cornernet data check lists them", file=sys.stderr)
    return dataset


def _draw_images(scratch: Path) -> list[Path]:
    """Images of 480x640 pixels."""
    import numpy as np

    from cornernet.data.shapes import draw_scene
    from cornernet.drawing.draw import save_image

    paths = []
    for i in range(20):
        scene = draw_scene((0, i)).image
        wide = np.tile(scene, (2, 2, 1))[:480, :640]
        save_image(scratch / f"{i}.jpg", np.ascontiguousarray(wide))
        paths.append(scratch / f"{i}.jpg")
    return paths


def _machine(device: torch.device) -> str:
    import torch

    from cornernet.evaluation.cost import cpu_model

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{cpu_model()}, {torch.get_num_threads()} threads"
