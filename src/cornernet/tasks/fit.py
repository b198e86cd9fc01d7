"""A training from what a user says: the plan, the run, its report."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.config import Recipe, Size
from cornernet.data.formats import Format
from cornernet.devices import chosen_device, is_on_gpu
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe, recipe_yaml
from cornernet.tasks.notices import report_dataset
from cornernet.tasks.run_report import report_after_training

if TYPE_CHECKING:
    from cornernet.data.source import DataSource
    from cornernet.training.trainer import TrainingResult


@dataclass
class TrainingPlan:
    """What a training will do: ``recipe`` on the data of ``source``. ``name`` is the recipe's, or says the data's."""

    name: str
    recipe: Recipe
    source: DataSource

    def default_folder(self) -> Path:
        """runs/NAME-DATE; the job's number instead of the date where several processes must agree."""
        job = os.environ.get("TORCHELASTIC_RUN_ID") or os.environ.get("SLURM_JOB_ID") if _is_part() else None
        return Path("runs") / f"{self.name}-{job or time.strftime('%Y%m%d-%H%M%S')}"


def make_plan(
    recipe_name: str | None,
    data: str,
    *,
    size: Size | None = None,
    backbone: str | None = None,
    minutes: float | None = None,
    train_split: str = "train",
    val_split: str = "val",
    val_share: float | None = None,
    format: Format | None = None,
    devices: int | None = None,
    fields: Mapping[str, Any] | None = None,
) -> TrainingPlan:
    """The plan by a recipe's name or file; without one, a recipe is made for the data, and its reasons are printed.

    ``val_split`` may be ``"none"``. ``fields`` replace fields of the recipe, by their dotted names. Raises
    ``InputError`` for options that exclude each other, and for data that cannot be used.
    """
    if recipe_name and (size or backbone or minutes is not None):
        what = "--size, --backbone and --minutes are for a run without a recipe"
        raise InputError(what, "train", "leave them out, or the recipe")
    if size and backbone:
        raise InputError("--size and --backbone both choose the network", "train", "leave one out")
    recipe = load_recipe(recipe_name, fields) if recipe_name else None
    if not recipe and _is_part():
        raise InputError(
            "many machines need a written recipe",
            "train",
            "write the recipe down first: the same command with --print-config prints it; save it as mine.yaml, and"
            " train mine.yaml",
        )
    processes = count_processes(devices, None)
    source = _source(data, train_split, val_split, val_share, format, bool(recipe))
    recipe = recipe or _recipe_for(source, size, backbone, minutes, processes, fields or {})
    return TrainingPlan(Path(recipe_name).stem if recipe_name else f"auto-{Path(data).stem}", recipe, source)


def run_plan(
    plan: TrainingPlan,
    folder: Path | None = None,
    *,
    strict: bool = False,
    devices: int | None = None,
    checkpoint_seconds: float = 240.0,
    report: bool = True,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
) -> TrainingResult | None:
    """Train by the plan, and write the report; ``None`` in the processes of a training that are not the first.

    ``folder`` is the new run folder. ``devices`` processes train on this machine. ``callbacks`` and ``loggers`` are
    Lightning's; a logger may be a name. Errors are those of ``training.trainer``.
    """
    folder, processes = folder or plan.default_folder(), count_processes(devices, None)
    if processes > 1:
        source = plan.source
        given = {"out": folder, "data": source.folder, "train_split": source.train_split}
        given |= {"val_split": source.val_split or "none", "val_share": source.val_share, "format": source.format}
        with tempfile.TemporaryDirectory(prefix="cornernet-") as scratch:  # every process reads the same recipe
            written = Path(scratch) / f"{plan.name}.yaml"
            written.write_text(recipe_yaml(plan.recipe), encoding="utf-8")
            words = [str(written), *["--strict"] * strict]
            return _launched(folder, words, given, processes, checkpoint_seconds, report, callbacks, loggers)
    from cornernet.training import trainer

    result = trainer.train(
        plan.recipe,
        plan.source,
        folder,
        name=plan.name,
        strict=strict,
        checkpoint_seconds=checkpoint_seconds,
        report=report_dataset,
        will_report=report,
        callbacks=callbacks,
        loggers=loggers,
    )
    return _finished(result, report)


def resume_run(
    folder: Path,
    data: str | None = None,
    *,
    devices: int | None = None,
    checkpoint_seconds: float = 240.0,
    report: bool = True,
    callbacks: Sequence[Any] = (),
    loggers: Sequence[Any] = (),
) -> TrainingResult | None:
    """Go on exactly from the last checkpoint of the run in ``folder``, as ``run_plan`` does; ``data`` if it moved."""
    processes = count_processes(devices, folder)
    if processes > 1:
        given = {"resume": folder, "data": data}
        return _launched(folder, [], given, processes, checkpoint_seconds, report, callbacks, loggers)
    from cornernet.training import trainer

    report = report and trainer.has_report(folder)
    result = trainer.resume(folder, data, checkpoint_seconds=checkpoint_seconds, callbacks=callbacks, loggers=loggers)
    return _finished(result, report)


def count_processes(devices: int | None, resumed: Path | None) -> int:
    """The number of processes to start on this machine: ``devices``, or as the run began; 1 in a part of a training."""
    if _is_part():
        return 1
    if devices is not None and devices < 1:
        raise InputError("at least 1", f"--devices {devices}")
    if devices or not resumed:
        return devices or 1
    import torch

    from cornernet.training.trainer import processes_of

    began_with = processes_of(resumed)
    elsewhere = is_on_gpu() and began_with > torch.cuda.device_count()
    return 1 if elsewhere else began_with


def _is_part() -> bool:
    """Whether this process is one of several of a training."""
    from cornernet.training.distributed import find_world

    return find_world().size > 1


def _launched(
    folder: Path,
    words: Sequence[str],
    given: Mapping[str, object],
    processes: int,
    checkpoint_seconds: float,
    report: bool,
    callbacks: Sequence[Any],
    loggers: Sequence[Any],
) -> TrainingResult:
    """The result of ``cornernet train`` in several processes, with these words and options."""
    if callbacks or not all(isinstance(logger, str) for logger in loggers):
        what = "objects of Python cannot be handed to several processes"
        raise InputError(what, "callbacks and logger", "train in one process, or start this program with torchrun")
    from cornernet.training.launch import launch
    from cornernet.training.trainer import read_result

    device = chosen_device()
    if device and ":" in device:
        raise InputError("one device for several processes", f"--device {device}", f"give {device.split(':')[0]}")
    options = {**given, "logger": ",".join(loggers) or None, "device": device, "checkpoint_seconds": checkpoint_seconds}
    shown = [f"--{name}={value}" for name, value in options.items() if value is not None]
    launch(processes, ["train", *words, *shown, *["--no-report"] * (not report)])
    return read_result(folder)


def _finished(result: TrainingResult, report: bool) -> TrainingResult | None:
    """Print where the results are, and write the report."""
    from cornernet.training.distributed import find_world

    if not find_world().is_first:
        return None
    if not result.metrics:
        print("without validation there are no figures, no report and no best.safetensors", file=sys.stderr)
    print(f"weights, log and figures: {result.folder}", file=sys.stderr)
    if result.metrics and report:
        report_after_training(result.folder)
    return result


def _recipe_for(
    source: DataSource,
    size: Size | None,
    backbone: str | None,
    minutes: float | None,
    processes: int,
    fields: Mapping[str, Any],
) -> Recipe:
    """A recipe made for the data set, with ``fields``; prints its reasons."""
    from cornernet.training.auto_recipe import dataset_stats, make_recipe
    from cornernet.training.timing import seconds_per_image
    from cornernet.weights.hub import load_hub_trunk

    trunk = load_hub_trunk(backbone, with_tensors=False) if backbone else None
    timed = partial(seconds_per_image, processes=processes)
    begins = fields.get("weights") != "none"
    stats = dataset_stats(source.load_training())
    recipe, reasons = make_recipe(stats, size, minutes, timed, processes, begins, trunk, fields)
    for reason in reasons:
        print(reason, file=sys.stderr)
    return recipe


def _source(
    data: str, train_split: str, val_split: str, val_share: float | None, format: Format | None, has_recipe: bool
) -> DataSource:
    """The data of a training; without a recipe and a val split, about a tenth is held back for validation."""
    from cornernet.data.find import auto_val_share, find_data, has_val
    from cornernet.data.source import DataSource

    if not has_recipe and val_share is None and val_split == "val":
        labels = find_data(data, format)
        val_share = None if has_val(labels) else auto_val_share(labels)
    return DataSource(data, train_split, None if val_split == "none" else val_split, val_share, format)
