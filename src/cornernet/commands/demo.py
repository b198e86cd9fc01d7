"""``cornernet demo``: everything at once, on scenes that the program draws itself."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.data.dataset import CocoDataset
    from cornernet.inference.detector import Detector

SCENES = 200  # the bundled weights were trained on others


def demo(*, out: str = "demo", train: bool = False, minutes: float = 8.0, pictures: int = 12, seed: int = 0) -> None:
    """Draw 200 scenes, find the objects with the bundled weights, print COCO AP and write pictures.

    Args:
        out: Folder for the pictures.
        train: First train a network on such scenes, and show its results next to those of the bundled weights.
        minutes: Time for that training; evaluation and drawing come on top.
        pictures: Scenes to write pictures of.
        seed: Another seed draws other scenes.
    """
    from cornernet.data.coco import find_split, load_coco
    from cornernet.data.shapes import write_shapes
    from cornernet.evaluation.predict import evaluate_dataset
    from cornernet.files import make_folder
    from cornernet.inference.detector import load_detector
    from cornernet.weights import BUNDLED

    folder = make_folder(Path(out))
    detectors = {"bundled weights": load_detector(BUNDLED["shapes"])}
    with tempfile.TemporaryDirectory(prefix="cornernet-demo-") as scratch:
        if train:
            trained = _train(Path(scratch) / "training", minutes, seed)
            shutil.copyfile(trained / "last.safetensors", folder / "trained.safetensors")
            shutil.copyfile(trained / "log.jsonl", folder / "trained-log.jsonl")
            detectors = {"just trained": load_detector(folder / "trained.safetensors"), **detectors}
        data = Path(scratch) / "scenes"
        write_shapes(data, 0, SCENES, seed, progress=ProgressBar("drawing scenes"))
        dataset = load_coco(*find_split(data, "val"))
        for name, detector in detectors.items():
            metrics, _ = evaluate_dataset(detector, dataset, progress=ProgressBar(f"evaluating {name}"))
            print(f"\n{name}, {SCENES} held-back scenes\n{metrics.table()}")
        _draw(detectors, dataset, pictures, folder)
    print(f"pictures: {folder.resolve()}")


def _train(folder: Path, minutes: float, seed: int) -> Path:
    """Train on as many new scenes as fit into ``minutes`` on this machine; returns the run's folder."""
    from cornernet.data.shapes import CLASS_NAMES, write_shapes
    from cornernet.data.source import DataSource
    from cornernet.recipes.load import load_recipe
    from cornernet.training import trainer
    from cornernet.training.timing import seconds_per_image

    recipe = load_recipe("shapes-demo")
    end = time.monotonic() + 60 * minutes
    seconds = seconds_per_image(recipe, len(CLASS_NAMES)) + 0.03 / recipe.epochs  # drawing takes 0.03 s
    scenes = max(recipe.batch_size, int((end - time.monotonic()) / seconds / recipe.epochs))
    print(f"training on {scenes} scenes, {recipe.epochs} times: about {minutes:g} minutes", file=sys.stderr)
    write_shapes(folder / "data", scenes, 0, seed, progress=ProgressBar("drawing scenes"))
    source = DataSource(str(folder / "data"), val_split=None)
    return trainer.train(recipe, source, folder / "run", name="shapes-demo").folder


def _draw(detectors: dict[str, Detector], dataset: CocoDataset, count: int, folder: Path) -> None:
    from cornernet.drawing.draw import draw_boxes, draw_detections, save_image, side_by_side
    from cornernet.media.images import read_image
    from cornernet.outputs.image_writers import draw_explanation

    bar = ProgressBar("drawing pictures")
    records = dataset.images[:count]
    for done, record in enumerate(records, start=1):
        image = read_image(record.path)
        name = f"scene_{done:02d}"
        panels = [draw_boxes(image, record.boxes, record.labels, dataset.class_names)]
        titles = ["ground truth"]
        for title, detector in detectors.items():
            panels.append(draw_detections(image, detector(image), detector.threshold))
            titles.append(title)
        save_image(folder / f"{name}.jpg", side_by_side(panels, titles))
        bundled = detectors["bundled weights"]
        draw_explanation(image, bundled.explain(image), bundled.threshold, folder / name)
        bar(done, len(records))
