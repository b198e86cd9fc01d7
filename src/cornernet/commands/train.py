"""``cornernet train``."""

from __future__ import annotations

from pathlib import Path

from cornernet.commands import options
from cornernet.commands.arguments import RecipeFlags
from cornernet.config import Recipe, Size
from cornernet.devices import on_device
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe, override, recipe_yaml
from cornernet.training.loggers import parse_loggers


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
    device: options.Device = None,
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
    if not resume and not data and not print_config:
        raise InputError("say what to learn from with --data FOLDER", "train")
    if print_config and (recipe_name or not data):
        recipe = load_recipe(recipe_name, flags) if recipe_name else override(Recipe(), flags)
        print(recipe_yaml(recipe), end="")
        return
    loggers = parse_loggers(logger)
    from cornernet.tasks.fit import make_plan, resume_run, run_plan

    with on_device(device):
        if resume:
            result = resume_run(
                Path(resume),
                data,
                devices=devices,
                checkpoint_seconds=checkpoint_seconds,
                report=not no_report,
                loggers=loggers,
            )
        else:
            plan = make_plan(
                recipe_name,
                str(data),
                size=size,
                backbone=backbone,
                minutes=minutes,
                train_split=train_split,
                val_split=val_split,
                val_share=val_share,
                format=format,
                devices=devices,
                fields=flags,
            )
            if print_config:
                print(recipe_yaml(plan.recipe), end="")
                return
            result = run_plan(
                plan,
                Path(out) if out else None,
                strict=strict,
                devices=devices,
                checkpoint_seconds=checkpoint_seconds,
                report=not no_report,
                loggers=loggers,
            )
        if result and result.metrics:
            print(result.metrics.table())
