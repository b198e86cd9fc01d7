"""The end of an epoch: its weights and, if it is due, a validation."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from cornernet.config import Recipe
from cornernet.data.dataset import CocoDataset
from cornernet.evaluation.ap import Metrics, coco_metrics
from cornernet.evaluation.predict import predict_dataset
from cornernet.files import atomic_write_json
from cornernet.inference.detector import Detector
from cornernet.training.log import RunLog
from cornernet.training.module import TrainingModule
from cornernet.training.validation_picture import validation_picture
from cornernet.weights.store import Weights, save_weights, weights_of

METRICS_FILE = "metrics.json"
_PICTURES = 10  # at most about so many in a run


class EpochResults:
    """Writes ``last.safetensors`` after each epoch, and figures and ``best.safetensors`` after each validation.

    ``template`` has all of a weights file except its tensors. With ``ema`` the moving average is written and
    validated. ``metrics`` are the figures of the last validation. ``callbacks`` are the user's: they are told of each
    validation.
    """

    def __init__(
        self,
        folder: Path,
        run_log: RunLog,
        template: Weights,
        validation: CocoDataset | None,
        ema: EMAWeightAveraging | None,
        callbacks: Sequence[pl.Callback] = (),
    ) -> None:
        self.folder, self.run_log, self.template, self.validation, self.ema = folder, run_log, template, validation, ema
        self.callbacks = callbacks
        self.metrics: Metrics | None = None

    def write(self, trainer: Any, module: TrainingModule, epoch: int, stop_if_asked: Callable[[], None]) -> None:
        """Weights and figures of ``epoch``. A single process calls ``stop_if_asked`` after each image."""
        if self.ema:
            self.ema.on_validation_epoch_start(trainer, module)
        if trainer.world_size > 1:  # the processes' batch statistics differ since the last step
            for buffer in module.model.buffers():
                torch.distributed.broadcast(buffer, 0)
        recipe = module.recipe
        # a callback may end the run after this epoch
        is_due = (epoch + 1) % recipe.validate_every == 0 or epoch + 1 == recipe.epochs or trainer.should_stop
        try:
            weights = weights_of(module.model, self.template, epochs=epoch + 1, step=trainer.global_step)
            if trainer.is_global_zero:
                save_weights(self.folder / "last.safetensors", weights)
            if self.validation and is_due:
                self._validate(trainer, module, epoch, weights, self.validation, stop_if_asked)
        finally:
            if self.ema:
                self.ema.on_validation_epoch_end(trainer, module)
        is_measured = self.metrics is not None and self.metrics.boxes > 0 and is_due
        figure = f", AP {self.metrics.figures['AP']:.3f}" if self.metrics and is_measured else ""
        if trainer.is_global_zero:
            print(f"epoch {epoch + 1} of {recipe.epochs} done{figure}", file=sys.stderr)
        if self.validation and is_due:
            self._tell_callbacks(trainer, module)
            if recipe.patience:
                self._stop_if_in_vain(trainer, recipe, recipe.patience, epoch)

    def _tell_callbacks(self, trainer: Any, module: TrainingModule) -> None:
        figures: dict[str, float] | None = self.metrics.figures if self.metrics else None
        if trainer.world_size > 1:  # only the first process has them
            figures = trainer.strategy.broadcast(figures)
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in (figures or {}).items()})
        for callback in self.callbacks:
            callback.on_validation_end(trainer, module)

    def _stop_if_in_vain(self, trainer: Any, recipe: Recipe, patience: int, epoch: int) -> None:
        """Stop after ``patience`` validations without a better AP. The log decides: so does a resumed run."""
        is_last, in_vain = epoch + 1 == recipe.epochs, False
        if trainer.is_global_zero and not is_last:
            best_epoch, best, count = self.run_log.since_best()
            in_vain = count >= patience
            if in_vain:
                print(
                    f"patience {patience}: no AP above the {best:.3f} of epoch {best_epoch + 1} in {count}"
                    f" validations; stopped after epoch {epoch + 1} of {recipe.epochs} (to go on: a larger patience in"
                    f" {self.folder / 'recipe.yaml'}, then --resume)",
                    file=sys.stderr,
                )
        if trainer.world_size > 1:
            in_vain = trainer.strategy.reduce_boolean_decision(in_vain, all=False)
        trainer.should_stop = trainer.should_stop or in_vain

    def _validate(
        self,
        trainer: Any,
        module: TrainingModule,
        epoch: int,
        weights: Weights,
        dataset: CocoDataset,
        stop_if_asked: Callable[[], None],
    ) -> None:
        precision = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(module.recipe.precision)
        detector = Detector(
            module.model, weights.class_names, weights.preprocessing, decoding=weights.decoding, precision=precision
        )
        alone = trainer.world_size == 1
        results = predict_dataset(
            detector,
            dataset,
            rank=trainer.global_rank,
            world=trainer.world_size,
            progress=lambda done, total: stop_if_asked() if alone else None,
        )
        results = _gathered(results, trainer)
        if results is None:
            return
        self.metrics = coco_metrics(dataset.coco_dict(), results)
        # Without boxes there is no AP, and the last weights are as good as any.
        is_best = not self.metrics.boxes or self.metrics.figures["AP"] > self.run_log.best()
        self.run_log.validated(epoch, trainer.global_step, self.metrics)
        if is_best:
            save_weights(self.folder / "best.safetensors", weights)
        atomic_write_json(self.folder / METRICS_FILE, self.metrics.as_dict() | {"epoch": epoch})
        atomic_write_json(self.folder / "predictions.json", results, indent=None)
        if is_picture_due(epoch, module.recipe):
            self.run_log.show(validation_picture(dataset, results), trainer.global_step)


def is_picture_due(epoch: int, recipe: Recipe) -> bool:
    """Whether the validation after ``epoch`` is shown: the last one, and of the others at most ten, evenly spaced."""
    every = math.ceil(math.ceil(recipe.epochs / recipe.validate_every) / _PICTURES)
    number = (epoch + 1) // recipe.validate_every
    return epoch + 1 == recipe.epochs or number % every == 0


def _gathered(results: list[dict[str, Any]], trainer: Any) -> list[dict[str, Any]] | None:
    """The results of all processes in the first one; ``None`` in the others."""
    if trainer.world_size == 1:
        return results
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, results)
    return [result for part in parts for result in part] if trainer.is_global_zero else None
