"""One side of ``busy.py``, in a process of its own: does one thing again and again, and times it when asked.

The job, its first argument, is JSON: a task, the exported file if the task has one, options of its runtime. For every
line on its input, a number of seconds, it works that long and prints the seconds of every repetition as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIDE = 320  # pixels
_LEAST = 3  # repetitions


def training_step(job: dict[str, Any]) -> Callable[[], object]:
    """A training step of the network ``small`` on two images of 256x256."""
    import torch

    from cornernet.config import SIZES, Recipe
    from cornernet.training.timing import step_on_noise

    recipe = Recipe(model=SIZES["small"])
    recipe.augmentation.crop_size = 256
    step = step_on_noise(recipe, 10, 2, torch.device("cpu"))
    return lambda: step().item()


def detection(job: dict[str, Any]) -> Callable[[], object]:
    """Detecting in an image of noise with the bundled weights, or with a file exported from them."""
    import cornernet

    detector = cornernet.load(job.get("file", "shapes"), device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return lambda: detector(image)


def bare_onnx(job: dict[str, Any]) -> Callable[[], object]:
    """The same with ONNX Runtime itself and any settings: ``threads``, and ``entries`` of its configuration."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job.get("threads", 0)
    for key, value in job["entries"].items():
        options.add_session_config_entry(key, value)
    session = onnxruntime.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 256, (1, 3, SIDE, SIDE), np.uint8)
    return lambda: session.run(None, {"images": images})


def bare_openvino(job: dict[str, Any]) -> Callable[[], object]:
    """The same with OpenVINO itself and any ``entries``."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(job["file"]), "CPU", job["entries"])
    images = np.random.default_rng(0).integers(0, 256, (1, 3, SIDE, SIDE), np.uint8)
    return lambda: compiled(images)


TASKS = {
    "training": training_step,
    "detection": detection,
    "onnx": detection,
    "openvino": detection,
    "bare onnx": bare_onnx,
    "bare openvino": bare_openvino,
}


def main() -> None:
    """Serve the benchmark until its input ends."""
    job = json.loads(sys.argv[1])
    once = TASKS[job["task"]](job)
    for _ in range(_LEAST):
        once()
    print("ready", flush=True)
    for line in sys.stdin:
        times: list[float] = []
        while len(times) < _LEAST or sum(times) < float(line):
            start = time.perf_counter()
            once()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
