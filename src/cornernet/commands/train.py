"""``cornernet train``."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.commands.common import report_dataset
from cornernet.commands.report import report_after_training
from cornernet.config import Recipe, Size
from cornernet.data.formats import Format
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe, recipe_yaml

if TYPE_CHECKING:
    from cornernet.training.trainer import DataSource


def train(
    recipe: str | None = None,
    *,
    data: str | None = None,
    size: Size | None = None,
    minutes: float | None = None,
    out: str | None = None,
    resume: str | None = None,
    train_split: str = "train",
    val_split: str = "val",
    val_share: float | None = None,
    format: Format | None = None,
    strict: bool = False,
    devices: int | None = None,
    show_config: bool = False,
    checkpoint_seconds: float = 240.0,
    no_report: bool = False,
    settings: Recipe,
) -> None:
    """Train a network by RECIPE, a shipped recipe's name or a YAML file, or by one made for the data.

    Without RECIPE the data's box sizes, the number of images and this machine decide, and the reasons are printed.
    Every field can be overridden.

    Args:
        data: Data set in COCO's, YOLO's or Pascal VOC's format: its folder, or its JSON or YAML file. With --resume
            only where it has moved.
        size: The network's size, for a run without RECIPE. Default: by the data and the machine.
        minutes: The training's time on this machine, about, for a run without RECIPE. Default: by the number of images.
        out: Run folder for weights, log and checkpoints. Default: runs/RECIPE-DATE.
        resume: Run folder to go on with, exactly where its last checkpoint was written.
        train_split: Split to learn from.
        val_split: Split to validate on; none for no validation.
        val_share: Where there is no val split: hold back this share of the images for it, such as 0.1, by a hash of
            their names. Without RECIPE a tenth is held back by itself.
        format: What the data set is, where it looks like two formats.
        strict: Refuse a data set with unusable images or boxes, instead of leaving them out.
        devices: Processes on this machine, each with a GPU of its own where there are GPUs. Default: 1; with --resume
            as many as the run began with. For several machines: torchrun or srun, see docs/many-gpus.md.
        show_config: (or --print_config) Print all settings as YAML and stop.
        checkpoint_seconds: The full state is saved this often, and after every epoch.
        no_report: Write no report.html after the last epoch, and leave the threshold as it is.
        settings: The recipe's fields.
    """
    if not resume and not data and not show_config:
        raise InputError("train: say what to learn from with --data FOLDER")
    if settings.weights and resume:
        raise InputError("train: a resumed run goes on with its own weights; leave --weights out, or --resume")
    if recipe and resume:
        raise InputError("train: a resumed run keeps its recipe; leave the recipe out, or --resume")
    if recipe and (size or minutes is not None):
        raise InputError("train: --size and --minutes are for a run without a recipe; leave them out, or the recipe")
    settings.check()
    if show_config:
        print(recipe_yaml(settings), end="")
        return
    from cornernet.training import trainer
    from cornernet.training.distributed import find_world, launch

    world = find_world()
    if not recipe and not resume and world.size > 1:
        raise InputError(
            "train: write the recipe down before many machines train by it: the same command with --print_config on"
            " one of them gives it as YAML; save it as mine.yaml and train mine.yaml"
        )
    name = Path(recipe).stem if recipe else f"auto-{Path(str(data)).stem}"
    stamp = os.environ.get("TORCHELASTIC_RUN_ID") or os.environ.get("SLURM_JOB_ID") if world.size > 1 else None
    folder = Path(out) if out else Path("runs") / f"{name}-{stamp or time.strftime('%Y%m%d-%H%M%S')}"
    processes = _processes(devices, resume) if world.size == 1 else 1
    if processes > 1 and (recipe or resume):
        launch(processes, [*sys.argv[1:], *([] if out or resume else ["--out", str(folder)])])
        return
    if processes > 1:  # by the recipe chosen here, not by one that each would choose for itself
        with tempfile.TemporaryDirectory(prefix="cornernet-") as scratch:
            written = Path(scratch) / f"{name}.yaml"
            written.write_text(recipe_yaml(settings), encoding="utf-8")
            options: dict[str, object] = {
                "data": data,
                "out": folder,
                "train_split": train_split,
                "val_split": val_split,
                "val_share": _source(str(data), train_split, val_split, val_share, format, False).val_share,
                "format": format,
                "checkpoint_seconds": checkpoint_seconds,
            }
            given = [f"--{name}={value}" for name, value in options.items() if value is not None]
            launch(processes, ["train", str(written), *given, *["--strict"] * strict, *["--no_report"] * no_report])
        return
    if resume:
        result = trainer.resume(Path(resume), data, checkpoint_seconds=checkpoint_seconds)
    else:
        source = _source(str(data), train_split, val_split, val_share, format, bool(recipe))
        result = trainer.train(
            settings,
            source,
            folder,
            name=name,
            strict=strict,
            checkpoint_seconds=checkpoint_seconds,
            report=report_dataset,
        )
    if not world.is_first:
        return
    if result.metrics:
        print(result.metrics.table())
    print(f"weights, log and figures: {result.folder}", file=sys.stderr)
    if result.metrics and not no_report:
        report_after_training(result.folder)


def given_recipe(values: Any) -> Recipe | None:
    """The recipe that a command line's ``values`` name, or the one that its data ask for."""
    if values.recipe:
        return load_recipe(values.recipe)
    if not values.data or values.resume:
        return None
    from cornernet.training.auto_recipe import dataset_stats, make_recipe
    from cornernet.training.timing import seconds_per_image

    source = _source(values.data, values.train_split, values.val_split, values.val_share, values.format, False)
    processes = _processes(values.devices, None)
    timed = partial(seconds_per_image, processes=processes)
    chosen, reasons = make_recipe(dataset_stats(source.load_training()), values.size, values.minutes, timed, processes)
    for reason in reasons:
        print(reason, file=sys.stderr)
    return chosen


def _processes(devices: int | None, resume: str | None) -> int:
    """How many train on this machine: as asked, or as the run began."""
    if devices is not None and devices < 1:
        raise InputError(f"--devices {devices}: at least 1")
    if devices or not resume:
        return devices or 1
    import torch

    from cornernet.training.trainer import processes_of

    began_with = processes_of(Path(resume))
    elsewhere = torch.cuda.is_available() and began_with > torch.cuda.device_count()
    return 1 if elsewhere else began_with


def _source(
    data: str, train_split: str, val_split: str, val_share: float | None, format: Format | None, has_recipe: bool
) -> DataSource:
    """Where a training reads from; without a recipe it holds back a tenth itself where there is no val split."""
    from cornernet.data.find import find_data, has_val
    from cornernet.training.trainer import DataSource

    if not has_recipe and val_share is None and val_split == "val" and not has_val(find_data(data, format)):
        val_share = 0.1
    return DataSource(data, train_split, None if val_split == "none" else val_split, val_share, format)
