"""The log of a run: ``log.jsonl``, one with OpenMMLab's fields, TensorBoard, and other loggers."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from cornernet.config import OPENMMLAB_LOSSES
from cornernet.devices import is_on_gpu
from cornernet.errors import InputError
from cornernet.evaluation.ap import Metrics

LOG_FILE, BOARD_FOLDER = "log.jsonl", "tensorboard"
OPENMMLAB_LOG_FILE = "openmmlab.log.json"
EVERY = 10  # steps
OPENMMLAB_FIGURES = {"": "", "50": "_50", "75": "_75", "s": "_s", "m": "_m", "l": "_l"}


class RunLog(pl.Callback):
    """``log.jsonl``, TensorBoard and ``loggers``: losses and rate every 10 steps, figures after each validation.

    Losses have the names that a training step returns, in its order. The JSON lines do not depend on the clock: a
    resumed run writes the same lines as an uninterrupted one. A second log has OpenMMLab's fields, with times and
    memory, for programs that read these. A process that is not the first has a log with ``writes=False``, which only
    takes part in averaging the losses. ``loggers`` are those of `open_loggers`.
    """

    def __init__(self, folder: Path, *, writes: bool = True, loggers: Sequence[Any] = ()) -> None:
        self.path, self.loggers = folder / LOG_FILE, loggers
        self.board = SummaryWriter(str(folder / BOARD_FOLDER)) if writes else None
        if writes:
            self.path.touch()
        self.clock: tuple[float, int] | None = None
        self.waited, self.ended = 0.0, time.monotonic()
        self.saved_keys: set[str] = set()

    def write(self, entry: dict[str, Any], name: str = LOG_FILE) -> None:
        """Append one line to the file."""
        path = self.path.with_name(name)
        try:
            with path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise InputError(f"cannot write the log ({error.strerror})", path, "free some space") from None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.waited += time.monotonic() - self.ended

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.ended = time.monotonic()
        step = trainer.global_step
        if step % EVERY or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        means = trainer.strategy.reduce(torch.stack([value.detach() for value in outputs.values()]))
        if self.board is None:
            return
        losses = {name: round(float(value), 6) for name, value in zip(outputs, means, strict=True)}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.write({"kind": "train", "epoch": trainer.current_epoch, "step": step, "lr": rate, **losses})
        figures = {f"train/{name}": value for name, value in losses.items()} | {"train/lr": rate}
        now = time.monotonic()
        if self.clock:
            steps, seconds = step - self.clock[1], now - self.clock[0]
            images = steps * pl_module.recipe.batch_size * trainer.accumulate_grad_batches * trainer.world_size
            figures["train/images_per_second"] = images / seconds
            times = {"time": round(seconds / steps, 4), "data_time": round(self.waited / steps, 4)}
            place = {"mode": "train", "epoch": trainer.current_epoch + 1, "iter": batch_idx + 1, "lr": rate}
            rest = {"memory": _megabytes(), "grad_norm": round(float(pl_module.grad_norm), 4)}
            theirs = OPENMMLAB_LOSSES | {"loss": "loss"}
            named = {theirs.get(name, f"{name}_loss"): value for name, value in losses.items()}
            self.write(place | rest | named | times, OPENMMLAB_LOG_FILE)
        self._report(figures, step)
        self.clock, self.waited = (now, step), 0.0

    def validated(self, epoch: int, step: int, metrics: Metrics) -> None:
        """Write the figures of a validation."""
        figures = metrics.as_dict()["figures"]
        self.write({"kind": "validation", "epoch": epoch, "step": step, **figures})
        found = {f"bbox_mAP{tail}": figures[f"AP{name}"] for name, tail in OPENMMLAB_FIGURES.items()}
        self.write({"mode": "val", "epoch": epoch + 1, "iter": step} | found, OPENMMLAB_LOG_FILE)
        self._report({f"validation/{name}": value for name, value in figures.items() if value is not None}, step)

    def show(self, picture: np.ndarray, step: int) -> None:
        """Show a picture of the validation, uint8 (H, W, 3) RGB, where pictures can be shown."""
        if self.board:
            self.board.add_image("validation", picture, step, dataformats="HWC")
            self.board.flush()
        for logger in self.loggers:
            logger.show_picture(picture, step)

    def _report(self, figures: Mapping[str, float], step: int) -> None:
        assert self.board is not None
        for name, value in figures.items():
            self.board.add_scalar(name, value, step)
        for logger in self.loggers:
            logger.log_metrics(dict(figures), step=step)
            logger.save()

    def best(self) -> float:
        """The best validation AP so far, -1 before the first."""
        return max((entry["AP"] for entry in self._validations()), default=-1.0)

    def since_best(self) -> tuple[int, float, int]:
        """The epoch of the best validation so far, its AP, and how many validations there have been since.

        Before the first it is epoch -1. Those without boxes, and so without AP, do not count.
        """
        past = self._validations()
        if not past:
            return -1, -1.0, 0
        best = max(range(len(past)), key=lambda number: past[number]["AP"])  # the first of several
        return past[best]["epoch"], past[best]["AP"], len(past) - 1 - best

    def _validations(self) -> list[dict[str, Any]]:
        try:
            entries = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
            past = [entry for entry in entries if entry["kind"] == "validation" and entry["AP"] is not None]
            return [entry | {"AP": float(entry["AP"]), "epoch": int(entry["epoch"])} for entry in past]
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise InputError(f"damaged ({error!r})", self.path, "restore it from a copy") from None

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if self.board:
            self.board.close()

    def state_dict(self) -> dict[str, Any]:
        """How long the log was when the checkpoint was written."""
        return {"length": self.path.stat().st_size} if self.board else {}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Remember what a checkpoint has before the user's callbacks add to it: they come after this one."""
        self.saved_keys = {*checkpoint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remove what was logged after the checkpoint: it will be logged again."""
        if not self.board:
            return
        if self.path.stat().st_size < state_dict["length"]:
            raise InputError("shorter than when the state was saved", self.path, "restore it from a copy")
        os.truncate(self.path, state_dict["length"])


def _megabytes() -> int:
    """The peak memory of the GPU so far, or of this process if there is no GPU."""
    if is_on_gpu():
        return torch.cuda.max_memory_allocated() >> 20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)
