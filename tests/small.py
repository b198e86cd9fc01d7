"""A data set and a recipe so small that a training takes seconds."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import torch

from cornernet.cli import main

SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT  # what torch takes to start ranks, and keeps
RECIPE = """
model:
  backbone: {name: hourglass, num_stacks: 1, channels: [8, 8, 16], blocks: [1, 1, 1], feature_channels: 8}
  corner_channels: 8
  branch_channels: 8
preprocessing: {pad_mask: 15}
augmentation: {crop_size: 63, border: 16}
optimization: {optimizer: muon, lr: 0.002, base_batch_size: 2, warmup_iterations: 5, milestones: [2]}
batch_size: 2
epochs: 3
validate_every: 1
workers: 1
"""


def write_recipe(folder: Path, **changes: object) -> Path:
    """The recipe as a YAML file, with top-level fields changed or added."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.yaml"
    lines = [line for line in RECIPE.splitlines() if line.split(":")[0] not in changes]
    path.write_text("\n".join([*lines, *(f"{name}: {json.dumps(value)}" for name, value in changes.items())]) + "\n")
    return path


def write_data(folder: Path, train: int = 40, val: int = 4, size: int = 64) -> Path:
    """COCO data: on each image two filled boxes, a red and a blue one, whose colour is their class."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", val)):
        (folder / split).mkdir(parents=True)
        (folder / "annotations").mkdir(exist_ok=True)
        images, annotations = [], []
        for i in range(1, count + 1):
            image = rng.integers(90, 140, (size, size, 3), dtype=np.uint8)
            for label, color in ((1, (30, 30, 220)), (2, (220, 30, 30))):  # BGR, as cv2 writes it
                w, h = (int(v) for v in rng.integers(10, 24, 2))
                x, y = int(rng.integers(0, size - w)), int(rng.integers(0, size - h))
                image[y : y + h, x : x + w] = color
                box = {"id": len(annotations) + 1, "image_id": i, "category_id": label, "bbox": [x, y, w, h]}
                annotations.append(box | {"area": w * h, "iscrowd": 0})
            cv2.imwrite(str(folder / split / f"{i:03}.png"), image)
            images.append({"id": i, "file_name": f"{i:03}.png", "width": size, "height": size})
        content = {"images": images, "annotations": annotations}
        content["categories"] = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


def cornernet(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in this process, on one thread: in one of its own it would first load Lightning for seconds."""
    words, output, errors = [str(argument) for argument in arguments], io.StringIO(), io.StringIO()
    threads, handlers = torch.get_num_threads(), {number: signal.getsignal(number) for number in SIGNALS}
    torch.set_num_threads(1)
    try:
        with patch.dict(os.environ, environment()), redirect_stdout(output), redirect_stderr(errors):
            code = main(words)
    finally:
        torch.set_num_threads(threads)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess(words, code, output.getvalue(), errors.getvalue())


def start(*arguments: object) -> subprocess.Popen[str]:
    """The same in a process and a session of its own, left running."""
    words = [sys.executable, "-m", "cornernet", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdout=pipe, stderr=pipe, text=True, env=environment(), start_new_session=True)
