"""Checkpoints with the full state of a training, and an orderly end on Ctrl-C or SIGTERM."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from cornernet.errors import InputError, InterruptedRun
from cornernet.training.module import TrainingModule
from cornernet.training.validation import EpochResults

STATE_FILE = "state.ckpt"
CHECKPOINT_SECONDS = 240.0  # well under the promised five minutes


def check_state(path: Path) -> None:
    """Raise ``InputError`` if a run's full state is damaged. PyTorch's own reader does not compare its checksums."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        damaged = str(error)
    if damaged:
        raise InputError(f"damaged ({damaged})", path, "restore it from a copy, or start the run anew")


class Keeper(pl.Callback):
    """Saves the full state every ``checkpoint_seconds``, after every epoch, and before a signal ends the run.

    After an epoch's state its ``results`` are written. What a callback of the user wants to save and a resumed run
    could not read is left out, with a warning.
    """

    def __init__(self, folder: Path, results: EpochResults, checkpoint_seconds: float = CHECKPOINT_SECONDS) -> None:
        self.folder, self.results, self.checkpoint_seconds = folder, results, checkpoint_seconds
        self.signal_number = 0
        self.has_begun = False
        self.saved_at = time.monotonic()
        self._handlers: dict[int, Any] = {}
        self._at_epoch_end = False
        self._finished_epoch = -1
        self._warned: set[str] = set()

    # signals ---------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self.has_begun = True
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)
        if trainer.current_epoch > 0 and self._at_epoch_end:  # killed after the epoch's checkpoint, before its figures
            self._finish_epoch(trainer, pl_module, trainer.current_epoch - 1)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal_number:  # the second signal ends the run at once
            raise KeyboardInterrupt
        self.signal_number = number

    def _due(self, trainer: Any) -> bool:
        """Whether to save now: after a signal, or after enough time. All processes decide together, every 10 steps."""
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

    # state -----------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        return {"at_epoch_end": self._at_epoch_end}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._at_epoch_end = state_dict["at_epoch_end"]

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """This callback comes after the user's: it sees what they have added."""
        states = checkpoint.get("callbacks", {})
        own = {callback.state_key for callback in self.results.callbacks}
        added = checkpoint.keys() - self.results.run_log.saved_keys  # in their ``on_save_checkpoint``
        for place, keys in ((states, own & states.keys()), (checkpoint, added)):
            for key in sorted(keys):
                if not (reason := _unreadable(place[key])):
                    continue
                del place[key]
                if key not in self._warned:
                    said = f"warning: callback state {key} is not saved ({reason}): it begins anew after --resume"
                    print(f"{said}; keep it to numbers, texts, lists, dictionaries and tensors", file=sys.stderr)
                self._warned.add(key)

    def save_state(self, trainer: Any, module: TrainingModule) -> None:
        """Write everything needed to go on exactly to one file. If that fails, the last file stays."""
        module.check_weights()
        target, hidden = self.folder / STATE_FILE, self.folder / f".{STATE_FILE}.tmp"
        try:
            trainer.save_checkpoint(hidden)  # in all processes: Lightning gathers, the first writes
            if trainer.is_global_zero:
                os.replace(hidden, target)
        except (OSError, RuntimeError) as error:
            hidden.unlink(missing_ok=True)
            raise InputError(f"cannot write the state ({error})", target, "the last one is as it was") from None
        self.saved_at = time.monotonic()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        trainer.train_dataloader.progress = {"epoch": trainer.current_epoch, "batches": batch_idx + 1}
        is_last = batch_idx + 1 == trainer.num_training_batches
        if is_last or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # the epoch's end saves anyway; a checkpoint has no accumulated gradients
        if self._due(trainer):
            self._at_epoch_end = False
            self.save_state(trainer, pl_module)
            self._stop_if_asked(trainer)

    # the end of an epoch ---------------------------------------------------------------------------------------------

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._at_epoch_end = True
        self.save_state(trainer, pl_module)
        self._finish_epoch(trainer, pl_module, trainer.current_epoch)

    def finish(self, trainer: Any, module: TrainingModule) -> None:
        """Write the last epoch's weights and figures, if the run was killed before that."""
        if not trainer.should_stop and self._finished_epoch < module.recipe.epochs - 1:
            self._finish_epoch(trainer, module, module.recipe.epochs - 1)

    def _finish_epoch(self, trainer: Any, module: TrainingModule, epoch: int) -> None:
        self._stop_if_asked(trainer)
        self.results.write(trainer, module, epoch, self._stop_if_asked)
        self._finished_epoch = epoch
        self._stop_if_asked(trainer)


def _unreadable(value: Any) -> str:
    """Why a value cannot be saved and read again without running its code; empty if it can."""
    buffer = io.BytesIO()
    try:
        torch.save(value, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:  # pickling runs the value's own code
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""
