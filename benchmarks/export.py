"""Exported files compared with their weights: size, time for each image, AP.

All sides have the same threads and take turns, image by image, in one process; the median counts. The first images
warm every side up. Close other programs first.

    python benchmarks/export.py --weights shapes --data DIR --images 50
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

import cornernet
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split
from cornernet.evaluation.ap import coco_metrics, to_coco_results
from cornernet.evaluation.cost import cpu_model
from cornernet.export.quantize import Calibration
from cornernet.export.write import to_onnx, write_onnx, write_openvino, write_program
from cornernet.files import atomic_write_json
from cornernet.media.images import read_image
from cornernet.structures import Detections
from cornernet.weights.zoo import open_weights

WARMUP = 3  # images


def export_all(weights: str, folder: Path, images: Calibration) -> dict[str, Path]:
    """Every kind of exported file, by name; int8 is calibrated on ``images``."""
    files, fp32 = {}, to_onnx(open_weights(weights))
    for precision, proto in (("fp32", fp32), ("fp16", to_onnx(open_weights(weights), precision="fp16"))):
        for kind, suffix, write in (("ONNX", ".onnx", write_onnx), ("OpenVINO", ".xml", write_openvino)):
            path = folder / f"{precision}{suffix}"
            write(path, proto)
            files[f"{kind}, {precision}"] = path
    files["OpenVINO, bf16"] = folder / "bf16.xml"
    write_openvino(files["OpenVINO, bf16"], to_onnx(open_weights(weights), precision="bf16"))
    files["OpenVINO, int8"] = folder / "int8.xml"
    write_openvino(files["OpenVINO, int8"], fp32, images)
    files["PyTorch program (.pt2), fp32"] = folder / "fp32.pt2"
    write_program(files["PyTorch program (.pt2), fp32"], open_weights(weights))
    return files


def load_program(path: Path, class_names: tuple[str, ...]) -> Callable[[Any], Detections]:
    """A ``.pt2`` file as a detector, as its user would write it."""
    run = torch.export.load(path).module()

    @torch.inference_mode()
    def detect(image: Any) -> Detections:
        boxes, scores, labels, count = (t[0].numpy() for t in run(torch.from_numpy(image.transpose(2, 0, 1)[None])))
        return Detections(boxes[:count], scores[:count], labels[:count], class_names, image.shape[:2])

    return detect


def megabytes(path: Path) -> float:
    """The size of a file and, for OpenVINO, of its weights."""
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(part.stat().st_size for part in parts) / 1e6


def measure(sides: dict[str, Callable[[Any], Any]], dataset: CocoDataset) -> dict[str, dict[str, float]]:
    """Median milliseconds for each image, from pixels to boxes, and AP, of every side."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    results: dict[str, list[Any]] = {name: [] for name in sides}
    for number, record in enumerate(dataset.images):
        image, names = read_image(record.path), list(sides)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            found = sides[name](image)
            seconds[name].append(time.perf_counter() - start)
            results[name] += to_coco_results(found, record.id, dataset.category_ids)
    truth, seen = dataset.coco_dict(), {record.id for record in dataset.images}
    truth["annotations"] = [box for box in truth["annotations"] if box["image_id"] in seen]
    return {
        name: {
            "ms": 1000 * median(seconds[name][WARMUP:]),
            "AP": coco_metrics(truth, results[name]).figures["AP"],
        }
        for name in sides
    }


def main() -> None:
    """Export, measure, print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="shapes", help="weights file or a release's name")
    parser.add_argument("--data", required=True, help="data set in any format: val counts, train calibrates int8")
    parser.add_argument("--images", type=int, default=50, help="so many of them, more than the 3 of warming up")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", default="export.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stored = open_weights(arguments.weights)
    labels = find_data(arguments.data)
    dataset = load_split(labels, "val", class_names=stored.class_names)
    dataset = replace(dataset, images=dataset.images[: arguments.images])
    with tempfile.TemporaryDirectory() as scratch:
        calibration = Calibration(load_split(labels, "train"), stored.preprocessing.max_size)
        files = export_all(arguments.weights, Path(scratch), calibration)
        sides: dict[str, Any] = {"PyTorch, fp32": cornernet.load(arguments.weights, device="cpu")}
        for name, path in files.items():
            if path.suffix == ".pt2":
                sides[name] = load_program(path, stored.class_names)
            else:
                sides[name] = cornernet.load(path, device="cpu", threads=arguments.threads)
        rows = measure(sides, dataset)
        for name, path in files.items():
            rows[name]["MB"] = megabytes(path)
    machine = f"{cpu_model()}, {arguments.threads} threads, {len(dataset.images)} images"
    print(f"{machine}\n\n| | file, MB | ms an image | AP |\n|---|--:|--:|--:|")
    for name, row in rows.items():
        size = f"{row['MB']:.1f}" if "MB" in row else ""
        print(f"| {name} | {size} | {row['ms']:.1f} | {row['AP']:.4f} |")
    atomic_write_json(arguments.out, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
