"""Training targets by cornernet and by mmdetection, side by side: from a batch's boxes to the inputs of the losses.

48 crops of 511x511 with as many boxes as COCO's images have, 80 classes, maps of 128x128. Each measurement is a process
of its own, the sides take turns, round after round. mmdetection makes dense heatmaps; cornernet only the occupied
ones, which its losses read (``model.targets``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

BATCH, CLASSES, CROP, MAP = 48, 80, 511, 128
SIDES = {"cornernet": "cornernet", "peer": "mmdetection"}


def draw() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Boxes and labels of every image: 7.3 objects on average, of few classes, sizes spread as COCO's."""
    rng = np.random.default_rng(0)
    all_boxes, all_labels = [], []
    for _ in range(BATCH):
        count = int(np.clip(rng.geometric(1 / 7.3), 1, 60))
        sizes = np.exp(rng.normal(4.2, 0.9, (count, 2))).clip(8, 480)
        corners = rng.uniform(0, 1, (count, 2)) * (CROP - sizes)
        all_boxes.append(torch.from_numpy(np.hstack((corners, corners + sizes)).astype(np.float32)))
        all_labels.append(torch.from_numpy(rng.choice(rng.choice(CLASSES, 3), count)))
    return all_boxes, all_labels


def own_targets(boxes: list[torch.Tensor], labels: list[torch.Tensor]) -> Any:
    """As the loader and the training step make them."""
    from cornernet.model.targets import find_occupied_maps, make_targets

    padded = torch.nn.utils.rnn.pad_sequence(boxes, batch_first=True)
    classes = torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-1)
    return make_targets(padded, classes, (CROP, CROP), (MAP, MAP), occupied_maps=find_occupied_maps(classes))


def peer_head() -> Any:
    """mmdetection's corner head, as its configuration has it."""
    import mmdet
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.config import Config

    register_all_modules()
    name = "cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py"
    return MODELS.build(Config.fromfile(Path(mmdet.__file__).parent / ".mim/configs" / name).model.bbox_head)


def work(side: str, repeats: int) -> list[float]:
    """Seconds of every repeat on one side, after three to warm up."""
    boxes, labels = draw()
    if side == "peer":
        head, shape = peer_head(), (BATCH, CLASSES, MAP, MAP)

        def make() -> Any:
            return head.get_targets(boxes, labels, shape, (CROP, CROP), with_corner_emb=True)
    else:

        def make() -> Any:
            return own_targets(boxes, labels)

    seconds = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        make()
        seconds.append(time.perf_counter() - start)
    return seconds[3:]


def compare(options: argparse.Namespace) -> None:
    """Measure, print, and write the JSON file if asked; the peer's python cannot import cornernet."""
    from peer import cpu_model, find_python, run

    from cornernet.files import atomic_write_json

    pythons = {"cornernet": sys.executable, "peer": find_python(options.peer_python, "mmdet 3.3.0")}
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(options.rounds):
        for side, python in pythons.items():
            words = [python, str(Path(__file__)), "--peer-python", "", "--side", side]
            words += ["--repeats", str(options.repeats), "--threads", str(options.threads)]
            seconds[side] += run(words, options.threads)
    medians = {side: median(values) for side, values in seconds.items()}
    print("| targets of 48 images | median, ms | half of them within | to the peer |\n|---|--:|--:|--:|")
    for side, values in seconds.items():
        low, high = (1000 * float(q) for q in np.quantile(values, (0.25, 0.75)))
        ratio = medians["peer"] / medians[side]
        print(f"| {SIDES[side]} | {1000 * medians[side]:.1f} | {low:.1f} - {high:.1f} | {ratio:.1f}x |")
    print(f"\n{cpu_model()}, {options.threads} of {os.cpu_count()} cores; load: {os.getloadavg()[0]:.1f}")
    if options.out:
        atomic_write_json(options.out, {"seconds": seconds, "medians": medians})


def main() -> None:
    """The command line; with ``--side`` one side's measurement, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="python of an environment with mmdet 3.3.0")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.side:
        print(json.dumps(work(options.side, options.repeats)))
        return
    from peer import one_line_errors

    one_line_errors(compare, options)


if __name__ == "__main__":
    main()
