"""cornernet's training samples, timed in a process of its own; started by ``feeding.py`` with a job as JSON.

Prints one JSON line: seconds for each sample, in batches, of every pass, and seconds of reading an image alone.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import torch

from cornernet.data.coco import load_coco
from cornernet.data.loading import TrainingImages, collate
from cornernet.media.images import read_image
from cornernet.recipes.load import load_recipe


def time_passes(job: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Processor seconds for each sample, and for reading one image, in every pass but the first."""
    recipe = load_recipe(job["recipe"])
    recipe.seed = job["round"]
    dataset = load_coco(Path(job["annotations"]), Path(job["folder"]), class_names=job["class_names"])
    wanted = set(job["file_names"])
    dataset.images = [image for image in dataset.images if image.file_name in wanted]
    images, count, size = TrainingImages(dataset, recipe), len(dataset.images), recipe.batch_size
    samples, decoding = [], []
    for epoch in range(job["passes"] + 1):
        start = time.process_time()
        for first in range(0, count, size):
            collate([images[epoch, index] for index in range(first, min(first + size, count))])
        samples.append((time.process_time() - start) / count)
        start = time.process_time()
        for image in dataset.images:
            read_image(image.path, size=(image.height, image.width))
        decoding.append((time.process_time() - start) / count)
    return samples[1:], decoding[1:]


def main() -> None:
    """Run the job in the first argument."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    samples, decoding = time_passes(json.loads(sys.argv[1]))
    print(json.dumps({"sample": samples, "decoding": decoding}))


if __name__ == "__main__":
    main()
