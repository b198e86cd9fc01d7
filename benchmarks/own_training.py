"""The timed training of ``own_worker.py``, in its own file: detection does not need the imports of training."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar

from cornernet.data.coco import find_split, load_coco
from cornernet.data.loading import TrainingLoader
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe
from cornernet.training.log import RunLog
from cornernet.training.module import TrainingModule


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
            callbacks=[log, clock, TQDMProgressBar()],
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
        )
        trainer.fit(TrainingModule(model, recipe, len(loader)), loader)
        log.board.close()
    return [end - start for start, end in zip(clock.moments, clock.moments[1:], strict=False)]
