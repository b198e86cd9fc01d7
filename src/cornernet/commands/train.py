"""``cornernet train``."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.commands import options
from cornernet.commands.arguments import RecipeFlags
from cornernet.commands.common import report_dataset
from cornernet.commands.report import report_after_training
from cornernet.config import Recipe, Size
from cornernet.data.formats import Format
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe, override, recipe_yaml
from cornernet.training.loggers import parse_loggers

if TYPE_CHECKING:
    from cornernet.data.source import DataSource


def train(
    recipe_name: str | None = None,
    *,
    data: str | None = None,
    size: Size | None = None,
    backbone: str | None = None,
    minutes: float | None = None,
    out: str | None = None,
    resume: str | None = None,
    train_split: str = "train",
    val_split: str = "val",
    val_share: float | None = None,
    format: options.Format = None,
    strict: options.Strict = False,
    devices: int | None = None,
    print_config: bool = False,
    checkpoint_seconds: float = 240.0,
    no_report: bool = False,
    logger: str | None = None,
    recipe_flags: RecipeFlags | None = None,
) -> None:
    """Train a network by RECIPE, a shipped recipe's name or a YAML file, or by one made for the data.

    Without RECIPE, it depends on the data's box sizes, the number of images and this machine; the reasons are printed.
    Every field can be overridden.

    Args:
        data: Data set in any label format (COCO, YOLO, Pascal VOC, CVAT, LabelMe, Label Studio): its folder, or its
            label file, or a .zip or .tar of it. With --resume only where it has moved.
        size: The network's size, for a run without RECIPE. Default: by the data and the machine.
        backbone: A pretrained trunk instead of a size: a model's name on the Hugging Face hub, or its folder.
        minutes: About how long to train on this machine, without RECIPE. Default: by the number of images.
        out: Run folder for weights, log and checkpoints. Default: runs/RECIPE-DATE.
        resume: Run folder to go on with, exactly from its last checkpoint.
        train_split: Split to learn from.
        val_split: Split to validate on; none for no validation.
        val_share: If there is no val split: hold back this share of the images for it, such as 0.1, by a hash of
            their names. Without RECIPE the default is 0.1.
        devices: Processes on this machine, each with a GPU of its own where there are GPUs. Default: 1; with --resume
            as many as the run began with. For several machines: torchrun or srun, see docs/many-gpus.md.
        print_config: Print all settings as YAML and stop.
        checkpoint_seconds: The full state is saved this often, and after every epoch.
        no_report: Write no report.html after the last epoch, and leave the threshold as it is.
        logger: Report to wandb, mlflow, trackio or csv too, several joined by commas; tensorboard is always written.
            Default with --resume: as the run began.
        recipe_flags: Fields of the recipe, by their dotted names, as YAML.
    """
    flags = recipe_flags or {}
    if resume and flags:
        raise InputError(f"a resumed run keeps its recipe; leave --{next(iter(flags))} out, or --resume", "train")
    if recipe_name and resume:
        raise InputError("a resumed run keeps its recipe; leave the recipe out, or --resume", "train")
    if recipe_name and (size or backbone or minutes is not None):
        what = "--size, --backbone and --minutes are for a run without a recipe"
        raise InputError(what, "train", "leave them out, or the recipe")
    if size and backbone:
        raise InputError("--size and --backbone both choose the network", "train", "leave one out")
    loggers = parse_loggers(logger)
    recipe = load_recipe(recipe_name, flags) if recipe_name else None
    if not resume and not data and not print_config:
        raise InputError("say what to learn from with --data FOLDER", "train")
    if print_config and not data and not recipe:
        recipe = override(Recipe(), flags)
    if print_config and recipe:
        print(recipe_yaml(recipe), end="")
        return
    from cornernet.training import trainer
    from cornernet.training.distributed import find_world
    from cornernet.training.launch import launch

    world = find_world()
    if world.size > 1 and not recipe and not resume:
        raise InputError(
            "many machines need a written recipe",
            "train",
            "write the recipe down first: the same command with --print_config prints it; save it as mine.yaml, and"
            " train mine.yaml",
        )
    processes = _processes(devices, resume) if world.size == 1 else 1
    source = None if resume else _source(str(data), train_split, val_split, val_share, format, bool(recipe))
    if source and not recipe:
        recipe = _recipe_for(source, size, backbone, minutes, processes, flags)
    if recipe and print_config:
        print(recipe_yaml(recipe), end="")
        return
    name = Path(recipe_name).stem if recipe_name else f"auto-{Path(str(data)).stem}"
    stamp = os.environ.get("TORCHELASTIC_RUN_ID") or os.environ.get("SLURM_JOB_ID") if world.size > 1 else None
    folder = Path(out) if out else Path("runs") / f"{name}-{stamp or time.strftime('%Y%m%d-%H%M%S')}"
    if processes > 1:
        passed: dict[str, object] = {"data": data, "resume": resume, "checkpoint_seconds": checkpoint_seconds}
        passed["logger"] = logger
        with tempfile.TemporaryDirectory(prefix="cornernet-") as scratch:
            words = ["train"]
            if recipe and source:  # so that every process trains by the same recipe
                written = Path(scratch) / f"{name}.yaml"
                written.write_text(recipe_yaml(recipe), encoding="utf-8")
                words.append(str(written))
                passed |= {"out": folder, "train_split": train_split, "val_split": val_split, "format": format}
                passed["val_share"] = source.val_share
            given = [f"--{option}={value}" for option, value in passed.items() if value is not None]
            launch(processes, [*words, *given, *["--strict"] * strict, *["--no_report"] * no_report])
        return
    if recipe and source:
        result = trainer.train(
            recipe,
            source,
            folder,
            name=name,
            strict=strict,
            checkpoint_seconds=checkpoint_seconds,
            report=report_dataset,
            loggers=loggers,
        )
    else:
        result = trainer.resume(Path(str(resume)), data, checkpoint_seconds=checkpoint_seconds, loggers=loggers)
    if not world.is_first:
        return
    if not result.metrics:
        print("without validation there are no figures, no report and no best.safetensors", file=sys.stderr)
    print(f"weights, log and figures: {result.folder}", file=sys.stderr)
    if result.metrics and not no_report:
        report_after_training(result.folder)
    if result.metrics:
        print(result.metrics.table())


def _recipe_for(
    source: DataSource,
    size: Size | None,
    backbone: str | None,
    minutes: float | None,
    processes: int,
    flags: RecipeFlags,
) -> Recipe:
    """A recipe made for the data set, with ``flags``; prints its reasons."""
    from cornernet.training.auto_recipe import dataset_stats, make_recipe
    from cornernet.training.timing import seconds_per_image
    from cornernet.weights.hub import load_hub_trunk

    trunk = load_hub_trunk(backbone, with_tensors=False) if backbone else None
    timed = partial(seconds_per_image, processes=processes)
    begins = flags.get("weights") != "none"
    stats = dataset_stats(source.load_training())
    recipe, reasons = make_recipe(stats, size, minutes, timed, processes, begins, trunk, flags)
    for reason in reasons:
        print(reason, file=sys.stderr)
    return recipe


def _processes(devices: int | None, resume: str | None) -> int:
    """The number of processes on this machine: ``devices``, or as the run began."""
    if devices is not None and devices < 1:
        raise InputError("at least 1", f"--devices {devices}")
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
    """The data of a training; without a recipe and a val split, about a tenth is held back for validation."""
    from cornernet.data.find import auto_val_share, find_data, has_val
    from cornernet.data.source import DataSource

    if not has_recipe and val_share is None and val_split == "val":
        labels = find_data(data, format)
        val_share = None if has_val(labels) else auto_val_share(labels)
    return DataSource(data, train_split, None if val_split == "none" else val_split, val_share, format)
