"""``cornernet train``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from cornernet.commands.common import report_dataset
from cornernet.data.formats import Format
from cornernet.errors import InputError
from cornernet.recipe import Recipe, recipe_names, recipe_yaml


def train(
    recipe: str | None = None,
    *,
    data: str | None = None,
    weights: str | None = None,
    out: str | None = None,
    resume: str | None = None,
    train_split: str = "train",
    val_split: str = "val",
    val_share: float | None = None,
    format: Format | None = None,
    strict: bool = False,
    devices: int = 1,
    show_config: bool = False,
    checkpoint_seconds: float = 240.0,
    settings: Recipe,
) -> None:
    """Train a network by RECIPE, a shipped recipe's name or a YAML file; every field of it can be overridden.

    Args:
        data: Data set in COCO's, YOLO's or Pascal VOC's format: its folder, or its JSON or YAML file. With --resume
            only where it has moved.
        weights: Start from these: a file of any dialect, shapes, or a release's name. What fits is taken, same-named
            classes keep what they know.
        out: Run folder for weights, log and checkpoints. Default: runs/RECIPE-DATE.
        resume: Run folder to go on with, exactly where its last checkpoint was written.
        train_split: Split to learn from.
        val_split: Split to validate on; none for no validation.
        val_share: Where there is no val split: hold back this share of the images for it, such as 0.1, by a hash of
            their names.
        format: What the data set is, where it looks like two formats.
        strict: Refuse a data set with unusable images or boxes, instead of leaving them out.
        devices: Processes on this machine, each with a GPU of its own where there are GPUs. For several machines:
            torchrun or srun, see docs/many-gpus.md.
        show_config: (or --print_config) Print all settings as YAML and stop.
        checkpoint_seconds: The full state is saved this often, and after every epoch.
        settings: The recipe's fields.
    """
    if not recipe and not resume:
        raise InputError(f"train: name a recipe ({', '.join(recipe_names())}), a YAML file, or a run with --resume")
    if weights and resume:
        raise InputError("train: a resumed run goes on with its own weights; leave --weights out, or --resume")
    if recipe and resume:
        raise InputError("train: a resumed run keeps its recipe; leave the recipe out, or --resume")
    settings.check()
    if show_config:
        print(recipe_yaml(settings), end="")
        return
    if not resume and not data:
        raise InputError("train: say what to learn from with --data FOLDER")
    if devices < 1:
        raise InputError(f"--devices {devices}: at least 1")
    from cornernet.training import run
    from cornernet.training.distributed import find_world, launch

    world = find_world()
    name = Path(str(recipe)).stem
    stamp = os.environ.get("TORCHELASTIC_RUN_ID") or os.environ.get("SLURM_JOB_ID") if world.size > 1 else None
    folder = Path(out) if out else Path("runs") / f"{name}-{stamp or time.strftime('%Y%m%d-%H%M%S')}"
    if devices > 1 and world.size == 1:
        launch(devices, [*sys.argv[1:], *([] if out or resume else ["--out", str(folder)])])
        return
    if resume:
        result = run.resume(Path(resume), data, checkpoint_seconds=checkpoint_seconds)
    else:
        source = run.DataSource(str(data), train_split, None if val_split == "none" else val_split, val_share, format)
        result = run.train(
            settings,
            source,
            folder,
            name=name,
            weights=weights,
            strict=strict,
            checkpoint_seconds=checkpoint_seconds,
            report=report_dataset,
        )
    if not world.is_first:
        return
    if result.metrics:
        print(result.metrics.table())
    print(f"weights, log and figures: {result.folder}", file=sys.stderr)
