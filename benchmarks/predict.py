"""The speed of prediction over a folder compared with the network alone, without reading and writing files.

    python benchmarks/predict.py --weights shapes --images DIR --count 60

``network``: ready inputs to raw maps, nothing else. ``detector``: pixels in memory to boxes. ``folder``: files to the
pictures and the JSON that ``cornernet predict`` writes, reading and writing beside the network. They take turns, round
after round, on the same images in one process.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from cornernet.evaluation.cost import cpu_model
from cornernet.files import atomic_write_json
from cornernet.inference.detector import Detector, load_detector
from cornernet.inference.preprocess import to_input
from cornernet.inference.stream import detect
from cornernet.media.images import read_image
from cornernet.media.sources import find_sources, read_frames
from cornernet.media.walk import find_images
from cornernet.outputs.choice import make_writers, parse_kinds
from cornernet.outputs.writer import WriteBehind


def run_network(detector: Detector, inputs: list[torch.Tensor]) -> None:
    """The last output's raw heatmaps of every input."""
    with torch.inference_mode():
        for pixels in inputs:
            detector.model(pixels, last_only=True)
    _finish(inputs[0].device)


def run_folder(detector: Detector, paths: list[Path]) -> None:
    """As ``cornernet predict`` without --save."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, lowest = Path(scratch), detector.threshold
        kinds = parse_kinds(None)
        writers = make_writers(kinds, folder, detector.class_names, lowest, all_frames=False, heatmaps=False)
        frames = read_frames(find_sources([str(path) for path in paths]), depth=3)
        with WriteBehind(writers) as written:
            for result in detect(detector, frames, threshold=lowest):
                if isinstance(result, Exception):
                    raise result
                written.add(result)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure, print the table, write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="shapes")
    parser.add_argument("--images", required=True, help="folder of images")
    parser.add_argument("--count", type=int, default=60, help="how many of them at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    detector = load_detector(options.weights, device=options.device)
    paths = find_images([options.images])[: options.count]
    images = [read_image(path) for path in paths]
    device = next(detector.model.parameters()).device
    inputs = [to_input([image], detector.preprocessing, device)[0] for image in images]
    sides: dict[str, Callable[[], object]] = {
        "network": lambda: run_network(detector, inputs),
        "detector": lambda: detector(images),
        "folder": lambda: run_folder(detector, paths),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for work in sides.values():  # warm up
        work()
    for number in range(options.rounds):
        names = list(sides)
        for name in names[number % 3 :] + names[: number % 3]:
            start = time.perf_counter()
            sides[name]()
            seconds[name].append(time.perf_counter() - start)
    rates = {name: len(paths) / median(values) for name, values in seconds.items()}
    print("| | images/s | slowest - fastest round | of the network's |\n|---|--:|--:|--:|")
    for name, values in seconds.items():
        low, high = len(paths) / max(values), len(paths) / min(values)
        print(f"| {name} | {rates[name]:.2f} | {low:.2f} - {high:.2f} | {rates[name] / rates['network']:.3f} |")
    print(f"\n{cpu_model()}, {torch.get_num_threads()} threads; {device}; load: {os.getloadavg()[0]:.1f}")
    if options.out:
        atomic_write_json(options.out, {"images": len(paths), "seconds": seconds, "images per second": rates})


if __name__ == "__main__":
    main()
