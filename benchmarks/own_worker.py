"""One measurement of cornernet, in a process of its own; started by ``peer.py`` with a job as JSON.

Prints one JSON line: seconds of every timed step, peak memory, number of parameters.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cv2
import torch
from images import answer, time_image

from cornernet.inference.detector import Detector
from cornernet.model.cornernet import CornerNet
from cornernet.model.fuse import fuse
from cornernet.recipes.load import load_recipe


def time_inference(job: dict[str, Any], model: CornerNet, class_names: tuple[str, ...]) -> list[float]:
    """Seconds from an image's pixels to its boxes."""
    model = fuse(model, {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}[job["variant"]])
    detector = Detector(model, class_names, load_recipe(job["recipe"]).preprocessing)
    return time_image(job, detector)


def main() -> None:
    """Run the job in the first argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(job["threads"])
    recipe, class_names = load_recipe(job["recipe"]), tuple(job["class_names"])
    torch.manual_seed(recipe.seed)
    model = CornerNet(recipe.model, len(class_names)).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    if job["task"] == "train":
        from own_training import time_training

        seconds = time_training(job, model, class_names)
    else:
        seconds = time_inference(job, model, class_names)
    threads = torch.get_num_threads()
    print(json.dumps(answer(job, seconds, threads) | {"parameters": parameters}))


if __name__ == "__main__":
    main()
