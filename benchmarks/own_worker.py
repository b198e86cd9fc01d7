"""One measurement of cornernet, in a process of its own; started by ``peer.py`` with a job as JSON.

Prints one JSON line: seconds of every timed step, peak memory, number of parameters.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import lightning.pytorch as pl
import torch

from cornernet.data.coco import find_split, load_coco
from cornernet.data.images import read_image
from cornernet.data.loading import TrainingLoader
from cornernet.detector import Detector
from cornernet.network.cornernet import CornerNet
from cornernet.network.fused import fuse
from cornernet.recipe import load_recipe
from cornernet.training.callbacks import RunLog
from cornernet.training.module import TrainingModule
from cornernet.training.run import Bar


class Clock(pl.Callback):
    """Seconds from the end of one training step to the end of the next: fetching the batch is inside."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_train_start(self, *_: Any) -> None:
        self.moments.append(time.perf_counter())

    def on_train_batch_end(self, *_: Any) -> None:
        self.moments.append(time.perf_counter())


def time_training(job: dict[str, Any], model: CornerNet, class_names: tuple[str, ...]) -> list[float]:
    """Seconds of each step of a training as ``cornernet train`` runs it, without checkpoints and validation."""
    recipe = load_recipe(job["recipe"])
    recipe.precision, recipe.workers = job["variant"], 0
    dataset = load_coco(*find_split(job["data"], "train"), class_names=class_names)
    loader, clock = TrainingLoader(dataset, recipe), Clock()
    with tempfile.TemporaryDirectory() as folder:
        log = RunLog(Path(folder))
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            precision=recipe.precision,
            max_epochs=recipe.epochs,
            max_steps=job["warmup"] + job["iterations"],
            accumulate_grad_batches=recipe.accumulate,
            callbacks=[log, clock, Bar()],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(TrainingModule(model, recipe, len(loader)), loader)
        log.board.close()
    return [end - start for start, end in zip(clock.moments, clock.moments[1:], strict=False)]


def time_inference(job: dict[str, Any], model: CornerNet, class_names: tuple[str, ...]) -> list[float]:
    """Seconds from an image's pixels to its boxes."""
    model = fuse(model, {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}[job["variant"]])
    detector = Detector(model, class_names, load_recipe(job["recipe"]).preprocessing)
    pixels, seconds = read_image(Path(job["image"])), []
    if job["side"]:
        pixels = cv2.resize(pixels, (job["side"], job["side"]))
    for _ in range(job["warmup"] + job["iterations"]):
        start = time.perf_counter()
        detector(pixels)
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Do the job given as the first argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(job["threads"])
    recipe, class_names = load_recipe(job["recipe"]), tuple(job["class_names"])
    pl.seed_everything(recipe.seed, verbose=False)
    model = CornerNet(recipe.model, len(class_names)).to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    seconds = {"train": time_training, "infer": time_inference}[job["task"]](job, model, class_names)
    answer = {
        "seconds": seconds[job["warmup"] :],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # Linux counts in KiB
        "parameters": parameters,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
