"""An image to boxes on the CPU, beside YOLOv5n in the same engines: milliseconds, size of the files, AP of ours.

The peer is the package yolov5 7.0.14 (AGPL-3.0) in an environment of its own, exported by its own tool. Both sides get
the same square photographs, in turns, process by process; each does all of its own work: letterbox or padding, network,
NMS. With random weights (no ``--peer-weights``) no candidate of the peer reaches its NMS, which is to its advantage.

    python benchmarks/yolo.py --peer-python PEER/bin/python --data PHOTOS --folder build/yolo

Files that are in the folder already are not exported again. Close other programs first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from peer import find_python, one_line_errors, positive, run, versions

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split
from cornernet.evaluation.cost import cpu_model
from cornernet.files import atomic_write_json

HERE, SIDES, ITERATIONS = Path(__file__).parent, (320, 640), 4
NEEDED = "yolov5 7.0.14, torch, onnx, onnxruntime and openvino"
ENGINES = {  # of one row: variant of ours, variant of the peer
    "PyTorch, fp32": ("torch-fp32", "torch-fp32"),
    "PyTorch, bf16": ("torch-bf16", "torch-bf16"),
    "ONNX Runtime, fp32": ("fp32.onnx", "{side}.onnx"),
    "OpenVINO, fp32": ("fp32.xml", "{side}.xml"),
    "OpenVINO, bf16": ("bf16.xml", "{side}.xml, bf16"),
    "OpenVINO, int8": ("int8.xml", None),
}


def export_ours(weights: str, folder: Path, dataset: CocoDataset) -> None:
    """The files that the table has; int8 is calibrated on images of ``dataset``."""
    from cornernet.export.quantize import Calibration
    from cornernet.export.write import to_onnx, write_onnx, write_openvino
    from cornernet.weights.zoo import open_weights

    if (folder / "int8.xml").is_file():  # the last one
        return
    proto, bf16 = to_onnx(open_weights(weights)), to_onnx(open_weights(weights), precision="bf16")
    write_onnx(folder / "fp32.onnx", proto)
    write_openvino(folder / "fp32.xml", proto)
    write_openvino(folder / "bf16.xml", bf16)
    write_openvino(folder / "int8.xml", proto, Calibration(dataset, open_weights(weights).preprocessing.max_size))


def measure(job: dict[str, Any], peer_python: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every timed image, for each side ("ours", "peer"), and each variant and size of image."""
    found: dict[str, dict[str, list[float]]] = {"ours": {}, "peer": {}}
    for number in range(rounds):
        for name, python, worker in (
            ("ours", sys.executable, "yolo_own_worker.py"),
            ("peer", peer_python, "yolo_worker.py"),
        ):
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr, flush=True)
            answer = run([python, str(HERE / worker), json.dumps(job | {"task": "time"})], job["threads"])
            for variant, seconds in answer.items():
                found[name].setdefault(variant, []).extend(seconds)
    return found


def average_precision(weights: str, folder: Path, dataset: CocoDataset, threads: int) -> dict[str, float]:
    """AP of each variant of ours, at the size that its recipe validates with."""
    import torch

    import cornernet
    from cornernet.evaluation.predict import evaluate_dataset

    torch.set_num_threads(threads)
    detectors: dict[str, Any] = {
        "torch-fp32": cornernet.load(weights, device="cpu"),
        "torch-bf16": cornernet.load(weights, device="cpu", precision=torch.bfloat16),
    }
    for _, (name, _) in list(ENGINES.items())[2:]:
        detectors[name] = cornernet.load(folder / name, device="cpu", threads=threads)
    return {name: evaluate_dataset(each, dataset)[0].figures["AP"] for name, each in detectors.items()}


def megabytes(path: Path) -> str:
    """Size of a file and, for OpenVINO, of its weights; "" if there is none."""
    parts = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return f"{sum(part.stat().st_size for part in parts) / 1e6:.1f}" if path.is_file() else ""


def rows(found: dict[str, dict[str, list[float]]], folder: Path, ap: dict[str, float]) -> list[dict[str, Any]]:
    """Figures of each engine: medians in ms for each size of image, sizes of files, AP."""
    table = []
    for engine, (ours, peer) in ENGINES.items():
        row: dict[str, Any] = {"engine": engine, "MB": megabytes(folder / ours), "AP": ap.get(ours)}
        row["peer MB"] = megabytes(folder / f"yolov5n-{peer.split(',')[0].format(side=SIDES[0])}") if peer else ""
        for side in SIDES:
            row[f"{side}"] = 1000 * median(found["ours"][f"{ours} {side}"])
            row[f"peer {side}"] = 1000 * median(found["peer"][f"{peer.format(side=side)} {side}"]) if peer else None
        table.append(row)
    return table


def as_markdown(table: list[dict[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| ms an image; size of the file | MB | YOLOv5n, MB | AP | 320x320 | YOLOv5n | 640x640 | YOLOv5n |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in table:
        ap = "" if row["AP"] is None else f"{row['AP']:.4f}"
        times = (row[key] for side in SIDES for key in (f"{side}", f"peer {side}"))
        cells = [row["engine"], row["MB"], row["peer MB"], ap, *("" if t is None else f"{t:.1f}" for t in times)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> None:
    """Export what is missing, measure, print the table, and write the JSON file if asked."""
    peer_python, folder = find_python(options.peer_python, NEEDED), options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    from cornernet.weights.zoo import open_weights

    labels = find_data(options.data)
    dataset = load_split(labels, "val", class_names=open_weights(options.weights).class_names)
    export_ours(options.weights, folder, load_split(labels, "train"))
    images = [str(record.path.resolve()) for record in dataset.images[: options.images]]
    job: dict[str, Any] = {"weights": options.weights, "folder": str(folder), "images": images, "sides": SIDES}
    job |= {"threads": options.threads, "iterations": ITERATIONS, "peer_weights": options.peer_weights}
    run([peer_python, str(HERE / "yolo_worker.py"), json.dumps(job | {"task": "export"})], options.threads)
    found = {} if options.no_timing else measure(job, peer_python, options.rounds)
    chosen = replace(dataset, images=dataset.images[: options.ap_images])
    ap = average_precision(options.weights, folder, chosen, options.threads) if options.ap_images else {}
    print(json.dumps(ap)) if not found else print(as_markdown(rows(found, folder, ap)))
    machine = f"{cpu_model()}, {options.threads} threads, {len(images)} images, {options.rounds} rounds"
    packages = {"cornernet": versions(sys.executable, ("torch", "onnxruntime", "openvino"))}
    packages["peer"] = versions(peer_python, ("torch", "onnxruntime", "openvino"))
    print(f"{machine}\n{packages}")
    if options.out and found:
        atomic_write_json(options.out, {"machine": machine, "packages": packages, "rows": rows(found, folder, ap)})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help=f"python of an environment with {NEEDED}")
    parser.add_argument("--peer-weights", help="yolov5n.pt; random weights without")
    parser.add_argument("--weights", default="photos", help="ours: a weights file or a release's name")
    parser.add_argument("--data", required=True, help="data set: val is timed and evaluated, train calibrates int8")
    parser.add_argument("--folder", required=True, type=Path, help="for the exported files")
    parser.add_argument("--images", type=positive, default=5, help="images of val that are timed")
    parser.add_argument("--ap-images", type=int, default=0, help="images of val for AP; 0 for none")
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, help="JSON file to write")
    one_line_errors(compare, parser.parse_args())


if __name__ == "__main__":
    main()
