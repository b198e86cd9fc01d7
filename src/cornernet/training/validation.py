"""The end of an epoch: its weights and, if it is due, a validation."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import EMAWeightAveraging

from cornernet.data.dataset import CocoDataset
from cornernet.evaluation.ap import Metrics, coco_metrics
from cornernet.evaluation.predict import predict_dataset
from cornernet.files import atomic_write_json
from cornernet.inference.detector import Detector
from cornernet.training.log import RunLog
from cornernet.training.module import TrainingModule
from cornernet.weights.store import Weights, save_weights, weights_of

METRICS_FILE = "metrics.json"


class EpochResults:
    """Writes ``last.safetensors`` after each epoch, and figures and ``best.safetensors`` after each validation.

    ``template`` has all of a weights file except its tensors. With ``ema`` the moving average is written and
    validated. ``metrics`` are the figures of the last validation.
    """

    def __init__(
        self,
        folder: Path,
        run_log: RunLog,
        template: Weights,
        validation: CocoDataset | None,
        ema: EMAWeightAveraging | None,
    ) -> None:
        self.folder, self.run_log, self.template, self.validation, self.ema = folder, run_log, template, validation, ema
        self.metrics: Metrics | None = None

    def write(self, trainer: Any, module: TrainingModule, epoch: int, stop_if_asked: Callable[[], None]) -> None:
        """Weights and figures of ``epoch``. A single process calls ``stop_if_asked`` after each image."""
        if self.ema:
            self.ema.on_validation_epoch_start(trainer, module)
        if trainer.world_size > 1:  # the processes' batch statistics differ since the last step
            for buffer in module.model.buffers():
                torch.distributed.broadcast(buffer, 0)
        is_due = (epoch + 1) % module.recipe.validate_every == 0 or epoch + 1 == module.recipe.epochs
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
            print(f"epoch {epoch + 1} of {module.recipe.epochs} done{figure}", file=sys.stderr)

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


def _gathered(results: list[dict[str, Any]], trainer: Any) -> list[dict[str, Any]] | None:
    """The results of all processes in the first one; ``None`` in the others."""
    if trainer.world_size == 1:
        return results
    parts: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(parts, results)
    return [result for part in parts for result in part] if trainer.is_global_zero else None
