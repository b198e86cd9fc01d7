"""What happens beside the training step: log, checkpoints, validation, signals."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.tensorboard import SummaryWriter

from cornernet.config import OPENMMLAB_LOSSES
from cornernet.data.dataset import CocoDataset
from cornernet.errors import InputError, InterruptedRun
from cornernet.evaluation.ap import Metrics, coco_metrics
from cornernet.evaluation.predict import predict_dataset
from cornernet.files import atomic_write_json
from cornernet.inference.detector import Detector
from cornernet.training.module import LOSSES, TrainingModule
from cornernet.weights.store import Weights, save_weights, weights_of

STATE_FILE, LOG_FILE, BOARD_FOLDER = "state.ckpt", "log.jsonl", "tensorboard"
OPENMMLAB_LOG_FILE = "openmmlab.log.json"
OPENMMLAB_FIGURES = {"": "", "50": "_50", "75": "_75", "s": "_s", "m": "_m", "l": "_l"}
CHECKPOINT_SECONDS = 240.0  # well under the promised five minutes


class RunLog(pl.Callback):
    """``log.jsonl`` and TensorBoard: losses and rate every ``every`` steps, figures after each validation.

    The JSON lines hold nothing that depends on the clock, so that a resumed run writes what an uninterrupted one does.
    A second log has the fields of OpenMMLab's, times and memory among them, for programs that read those.
    """

    def __init__(self, folder: Path, every: int = 10) -> None:
        self.path, self.every = folder / LOG_FILE, every
        self.path.touch()
        self.board: SummaryWriter | None = SummaryWriter(str(folder / BOARD_FOLDER))
        self.clock: tuple[float, int] | None = None
        self.waited, self.ended = 0.0, time.monotonic()

    def write(self, entry: dict[str, Any], name: str = LOG_FILE) -> None:
        """Append one line; on disk before anything else happens."""
        path = self.path.with_name(name)
        try:
            with path.open("a") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise InputError(f"{path}: cannot write the log ({error.strerror}); free some space") from None

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.waited += time.monotonic() - self.ended

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.ended = time.monotonic()
        step = trainer.global_step
        if step % self.every or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        means = trainer.strategy.reduce(torch.stack([outputs[name].detach() for name in ("loss", *LOSSES)]))
        losses = {name: round(float(value), 6) for name, value in zip(("loss", *LOSSES), means, strict=True)}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.write({"kind": "train", "epoch": trainer.current_epoch, "step": step, "lr": rate, **losses})
        if self.board is None:
            return
        for name, value in losses.items():
            self.board.add_scalar(f"train/{name}", value, step)
        self.board.add_scalar("train/lr", rate, step)
        now = time.monotonic()
        if self.clock:
            steps, seconds = step - self.clock[1], now - self.clock[0]
            images = steps * pl_module.recipe.batch_size * trainer.accumulate_grad_batches * trainer.world_size
            self.board.add_scalar("train/images_per_second", images / seconds, step)
            times = {"time": round(seconds / steps, 4), "data_time": round(self.waited / steps, 4)}
            place = {"mode": "train", "epoch": trainer.current_epoch + 1, "iter": batch_idx + 1, "lr": rate}
            named = {OPENMMLAB_LOSSES.get(name, name): value for name, value in losses.items()}
            rest = {"memory": _megabytes(), "grad_norm": round(float(pl_module.grad_norm), 4)}
            self.write(place | rest | named | times, OPENMMLAB_LOG_FILE)
        self.clock, self.waited = (now, step), 0.0

    def validated(self, epoch: int, step: int, metrics: Metrics) -> None:
        """Note the figures of a validation."""
        self.write({"kind": "validation", "epoch": epoch, "step": step, **metrics.as_dict()["figures"]})
        figures = metrics.as_dict()["figures"]
        found = {f"bbox_mAP{tail}": figures[f"AP{name}"] for name, tail in OPENMMLAB_FIGURES.items()}
        self.write({"mode": "val", "epoch": epoch + 1, "iter": step} | found, OPENMMLAB_LOG_FILE)
        assert self.board is not None
        for name, value in metrics.figures.items():
            self.board.add_scalar(f"validation/{name}", value, step)
        self.board.flush()

    def best(self) -> float:
        """The best validation AP so far, -1 before the first."""
        entries = [json.loads(line) for line in self.path.read_text().splitlines()]
        return max((e["AP"] for e in entries if e["kind"] == "validation" and e["AP"] is not None), default=-1.0)

    def state_dict(self) -> dict[str, Any]:
        """How long the log was when the checkpoint was written."""
        return {"length": self.path.stat().st_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Forget what was logged after the checkpoint: it will happen again."""
        if self.path.stat().st_size > state_dict["length"]:
            os.truncate(self.path, state_dict["length"])


class SilentLog(RunLog):
    """The log of a process that is not the first: it only averages along."""

    def __init__(self, folder: Path, every: int = 10) -> None:
        self.path, self.every, self.board, self.clock = folder / LOG_FILE, every, None, None
        self.waited, self.ended = 0.0, time.monotonic()

    def write(self, entry: dict[str, Any], name: str = LOG_FILE) -> None: ...

    def validated(self, epoch: int, step: int, metrics: Metrics) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class Keeper(pl.Callback):
    """Full-state checkpoints, weights, validation, and an orderly end on Ctrl-C or SIGTERM."""

    def __init__(
        self,
        folder: Path,
        run_log: RunLog,
        template: Weights,
        validation: CocoDataset | None,
        ema: EMAWeightAveraging | None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        self.folder, self.run_log, self.template, self.validation, self.ema = folder, run_log, template, validation, ema
        self.checkpoint_seconds = checkpoint_seconds
        self.signal_number = 0
        self.saved_at = time.monotonic()
        self.metrics: Metrics | None = None
        self._handlers: dict[int, Any] = {}
        self._at_epoch_end = False
        self._finished_epoch = -1

    # signals ---------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)
        if trainer.current_epoch > 0 and self._at_epoch_end:  # killed after the epoch's checkpoint, before its figures
            self._finish_epoch(trainer, pl_module, trainer.current_epoch - 1)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self.run_log.board:
            self.run_log.board.close()

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal_number:  # asked twice: at once
            raise KeyboardInterrupt
        self.signal_number = number

    def _due(self, trainer: Any) -> bool:
        """Whether to save now: asked by a signal, or long enough ago; all processes decide alike, now and then."""
        due = bool(self.signal_number) or time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if trainer.world_size == 1:
            return due
        return trainer.global_step % 10 == 0 and trainer.strategy.reduce_boolean_decision(due, all=False)

    def _stop_if_asked(self, trainer: Any = None) -> None:
        if trainer and trainer.world_size > 1:
            number = torch.tensor(self.signal_number, device=trainer.strategy.root_device)
            self.signal_number = int(trainer.strategy.reduce(number, reduce_op="max"))
        if self.signal_number:
            name = signal.Signals(self.signal_number).name
            raise InterruptedRun(
                f"{name}: stopped, state saved; go on with: cornernet train --resume {self.folder}", self.signal_number
            )

    # checkpoints -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"at_epoch_end": self._at_epoch_end}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._at_epoch_end = state_dict["at_epoch_end"]

    def save_state(self, trainer: Any, module: TrainingModule) -> None:
        """Everything needed to go on exactly, in one file, whole or not at all."""
        module.check_weights()
        is_first = trainer.is_global_zero
        target, hidden = self.folder / STATE_FILE, self.folder / f".{STATE_FILE}.tmp"
        try:
            trainer.save_checkpoint(hidden)  # all of them: Lightning gathers, the first writes
            if is_first:
                os.replace(hidden, target)
        except (OSError, RuntimeError) as error:
            hidden.unlink(missing_ok=True)
            raise InputError(f"{target}: cannot write the state ({error}); the last one is as it was") from None
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        trainer.train_dataloader.progress = {"epoch": trainer.current_epoch, "batches": batch_idx + 1}
        is_last = batch_idx + 1 == trainer.num_training_batches
        if is_last or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # the epoch's end saves anyway; gradients under way are in no checkpoint
        if self._due(trainer):
            self._at_epoch_end = False
            self.save_state(trainer, pl_module)
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._at_epoch_end = True
        self.save_state(trainer, pl_module)
        self._finish_epoch(trainer, pl_module, trainer.current_epoch)

    # validation ------------------------------------------------------------------------------------------------------

    def finish(self, trainer: Any, module: TrainingModule) -> None:
        """After the last epoch: its weights and figures, where the run was killed before them."""
        last = module.recipe.epochs - 1
        if self._finished_epoch < last:
            self._finish_epoch(trainer, module, last)

    def _finish_epoch(self, trainer: Any, module: TrainingModule, epoch: int) -> None:
        """Weights and figures of a finished epoch; the moving average's, where there is one."""
        self._stop_if_asked(trainer)
        if self.ema:
            self.ema.on_validation_epoch_start(trainer, module)
        if trainer.world_size > 1:  # batch statistics are each process's own since the last step began
            for buffer in module.model.buffers():
                torch.distributed.broadcast(buffer, 0)
        is_due = (epoch + 1) % module.recipe.validate_every == 0 or epoch + 1 == module.recipe.epochs
        try:
            weights = weights_of(module.model, self.template, epochs=epoch + 1, step=trainer.global_step)
            if trainer.is_global_zero:
                save_weights(self.folder / "last.safetensors", weights)
            if self.validation and is_due:
                self._validate(trainer, module, epoch, weights)
        finally:
            if self.ema:
                self.ema.on_validation_epoch_end(trainer, module)
        self._finished_epoch = epoch
        figure = f", AP {self.metrics.figures['AP']:.3f}" if self.metrics and is_due else ""
        if trainer.is_global_zero:
            print(f"epoch {epoch + 1} of {module.recipe.epochs} done{figure}", file=sys.stderr)
        self._stop_if_asked(trainer)

    def _validate(self, trainer: Any, module: TrainingModule, epoch: int, weights: Weights) -> None:
        assert self.validation is not None
        precision = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(module.recipe.precision)
        detector = Detector(
            module.model, weights.class_names, weights.preprocessing, decoding=weights.decoding, precision=precision
        )
        alone = trainer.world_size == 1
        try:
            results = predict_dataset(
                detector,
                self.validation,
                rank=trainer.global_rank,
                world=trainer.world_size,
                progress=lambda done, total: self._stop_if_asked() if alone else None,
            )
        finally:
            module.train()
        results = _gathered(results, trainer)
        if results is None:
            return
        self.metrics = coco_metrics(self.validation.coco_dict(), results)
        is_best = self.metrics.figures["AP"] > self.run_log.best()
        self.run_log.validated(epoch, trainer.global_step, self.metrics)
        if is_best:
            save_weights(self.folder / "best.safetensors", weights)
        atomic_write_json(self.folder / "metrics.json", self.metrics.as_dict() | {"epoch": epoch})
        atomic_write_json(self.folder / "predictions.json", results, indent=None)


def _megabytes() -> int:
    """The most memory used so far: of the GPU, or of this process where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() >> 20
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak >> (20 if sys.platform == "darwin" else 10)


def _gathered(results: list[dict[str, Any]], trainer: Any) -> list[dict[str, Any]] | None:
    """The results of all processes' images, for the first; ``None`` for the others."""
    if trainer.world_size == 1:
        return results
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, results)
    return [result for part in parts for result in part] if trainer.is_global_zero else None
