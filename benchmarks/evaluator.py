"""COCO's twelve figures by cornernet and by pycocotools, side by side: differences and speed.

Drawn boxes in as many images as COCO's validation has, written to files that both sides read; timed from the parsed
JSON to the figures. Each measurement is a process of its own with one thread, the sides take turns, round after round.
The exit code is 1 if a figure differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from peer import cpu_model, find_python, one_line_errors, positive, run

from cornernet.evaluation.ap import METRIC_NAMES
from cornernet.files import atomic_write_json

HERE = Path(__file__).parent
WIDTH, HEIGHT, OBJECTS = 640, 480, 7  # COCO's validation has 7.4 objects an image
TOLERANCE = 1e-6


def draw(images: int, boxes: int, classes: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ground truth, one box in 100 a crowd, and ``boxes`` predictions for each image: inexact objects, and noise."""
    rng = np.random.default_rng(0)
    annotations, predictions = [], []
    for image in range(1, images + 1):
        count = int(rng.poisson(OBJECTS))
        sizes = np.exp(rng.uniform(np.log(8), np.log(400), (boxes, 2)))
        corners = rng.uniform(0, 1, (boxes, 2)) * (np.array([WIDTH, HEIGHT]) - sizes).clip(1)
        truth = np.hstack([corners, sizes])[:count]
        labels = rng.integers(1, classes + 1, boxes)
        found = np.hstack([corners, sizes]) + rng.normal(0, 0.08, (boxes, 4)) * np.tile(sizes, 2)
        found[:, 2:] = found[:, 2:].clip(1)
        scores = np.where(np.arange(boxes) < count, rng.beta(4, 2, boxes), rng.beta(1, 6, boxes))
        for box, label in zip(truth.round(2).tolist(), labels.tolist(), strict=False):
            crowd = int(rng.random() < 0.01)
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": label, "bbox": box}
            annotations.append(entry | {"area": box[2] * box[3] * rng.uniform(0.4, 1), "iscrowd": crowd})
        for box, label, score in zip(found.round(3).tolist(), labels.tolist(), scores.round(6).tolist(), strict=True):
            predictions.append({"image_id": image, "category_id": label, "bbox": box, "score": score})
    truth = {
        "images": [{"id": i + 1, "width": WIDTH, "height": HEIGHT} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": f"class {i + 1}"} for i in range(classes)],
    }
    return truth, predictions


def measure(folder: Path, peer_python: str, rounds: int) -> dict[str, dict[str, Any]]:
    """The seconds of every round and the figures, for each side."""
    found: dict[str, dict[str, Any]] = {side: {"seconds": []} for side in ("cornernet", "pycocotools")}
    for number in range(rounds):
        for side, entry in found.items():
            print(f"round {number + 1} of {rounds}: {side}", file=sys.stderr, flush=True)
            python = sys.executable if side == "cornernet" else peer_python
            answer = run([python, str(HERE / "evaluator_worker.py"), side, str(folder)], 1)
            entry["seconds"].append(answer["seconds"])
            entry["figures"] = dict(zip(METRIC_NAMES, answer["figures"], strict=True))
    return found


def compare(options: argparse.Namespace) -> int:
    """Measure, print, and write the JSON file if asked; returns the exit code."""
    peer_python = find_python(options.peer_python, "pycocotools")
    with tempfile.TemporaryDirectory() as name:
        truth, predictions = draw(options.images, options.boxes, options.classes)
        Path(name, "truth.json").write_text(json.dumps(truth))
        Path(name, "predictions.json").write_text(json.dumps(predictions))
        found = measure(Path(name), peer_python, options.rounds)
    own, peer = found["cornernet"], found["pycocotools"]
    difference = max(abs(own["figures"][name] - peer["figures"][name]) for name in METRIC_NAMES)
    print("| evaluator | median, s | fastest - slowest | to the peer | AP | AR100 |\n|---|--:|--:|--:|--:|--:|")
    for side, entry in found.items():
        seconds, figures = entry["seconds"], entry["figures"]
        entry["median_seconds"] = median(seconds)
        relative = median(peer["seconds"]) / median(seconds)
        spread = f"{min(seconds):.2f} - {max(seconds):.2f}"
        print(f"| {side} | {median(seconds):.2f} | {spread} | {relative:.2f}x | ", end="")
        print(f"{figures['AP']:.6f} | {figures['AR100']:.6f} |")
    size = f"{options.images} images, {options.boxes} boxes each, {options.classes} classes"
    print(f"\n{cpu_model()}, one thread; {size}; {options.rounds} rounds")
    print(f"largest difference of the twelve figures: {difference:.1e}")
    if options.out:
        machine = {"cpu": cpu_model(), "cores": os.cpu_count()}
        sizes = {"images": options.images, "boxes": options.boxes, "classes": options.classes}
        atomic_write_json(options.out, {"machine": machine, **sizes, "results": found, "difference": difference})
    return int(difference > TOLERANCE)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="python of an environment with pycocotools")
    parser.add_argument("--images", type=positive, default=5000)
    parser.add_argument("--boxes", type=positive, default=100, help="predictions an image")
    parser.add_argument("--classes", type=positive, default=80)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    sys.exit(one_line_errors(compare, parser.parse_args()))


if __name__ == "__main__":
    main()
