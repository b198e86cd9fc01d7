"""``cornernet.train``: the arguments of Python as those of a training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.config import Recipe
from cornernet.devices import on_device
from cornernet.errors import InputError, nearest
from cornernet.recipes.load import recipe_names
from cornernet.tasks.fit import make_plan, resume_run, run_plan
from cornernet.tasks.keywords import checked
from cornernet.training.loggers import parse_loggers
from cornernet.typed import plain

if TYPE_CHECKING:
    from cornernet.training.trainer import TrainingResult

_PLAN = ("size", "backbone", "minutes", "train_split", "val_split", "val_share", "format")
_RUN = ("strict", "devices", "checkpoint_seconds", "report", "callbacks")
_OTHERS = ("out", "resume", "logger", "device")
_NOT_ON_RESUME = (*_PLAN, "strict", "out")


def train_network(
    recipe: str | os.PathLike[str] | None = None, data: str | os.PathLike[str] | None = None, **options: Any
) -> TrainingResult | None:
    """See ``cornernet.train``; ``None`` in the processes of a training that are not the first."""
    for name, value in (("recipe", recipe), ("data", data)):
        if not isinstance(value, (str, os.PathLike, type(None))):
            raise InputError(f"{name} must be a name or a path, not {value!r}", "train")
    options = checked(options, "train")
    with on_device(options.pop("device", None)):
        return _train(recipe, data, options)


def _train(
    recipe: str | os.PathLike[str] | None, data: str | os.PathLike[str] | None, options: dict[str, Any]
) -> TrainingResult | None:
    fields = {name: value for name, value in options.items() if name not in (*_PLAN, *_RUN, *_OTHERS)}
    _refuse_unknown(fields)
    running = {name: options[name] for name in _RUN if name in options}
    if "logger" in options:
        logger = options["logger"]
        several = parse_loggers(logger) if isinstance(logger, str) else logger
        running["loggers"] = list(several) if isinstance(several, (list, tuple)) else [several] if several else []
    if resume := options.get("resume"):
        given = [name for name in (*fields, *_NOT_ON_RESUME) if options.get(name)] + ["recipe"] * (recipe is not None)
        if given:
            raise InputError(f"a resumed run keeps its settings; leave {', '.join(given)} out", "train")
        return resume_run(Path(resume), None if data is None else os.fspath(data), **running)
    if data is None:
        recipe, data = None, recipe
        if data in recipe_names():
            raise InputError(f"{data} is a recipe, and what to learn from is missing", "train", "give data=FOLDER")
    if data is None:
        raise InputError("say what to learn from", "train", "give its folder first, or data=FOLDER")
    planning = {name: options[name] for name in _PLAN if name in options}
    if recipe is not None and Path(recipe).is_dir():
        raise InputError("is a folder of data, not a recipe", recipe, "leave data out, or name a recipe first")
    name = None if recipe is None else os.fspath(recipe)
    plan = make_plan(name, os.fspath(data), **planning, devices=options.get("devices"), fields=_dotted(fields))
    return run_plan(plan, Path(options["out"]) if options.get("out") else None, **running)


def _refuse_unknown(fields: Mapping[str, Any]) -> None:
    """``InputError`` for a name that is neither an option nor a field of a recipe; fields in a group are told."""
    groups = {name: value for name, value in plain(Recipe()).items() if isinstance(value, dict)}
    for name in fields:
        if name.split(".")[0] in Recipe.__dataclass_fields__:
            continue
        for group, inner in groups.items():
            if name in inner:
                fix = f'write {group}={{"{name}": {fields[name]!r}}}'
                raise InputError(f"is a field of {group}", name, fix)
        known = (*_PLAN, *_RUN, *_OTHERS, *Recipe.__dataclass_fields__)
        raise InputError("neither an option nor a field of a recipe", name, nearest(name, known, "see cornernet.train"))


def _dotted(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"optimization": {"lr": 0.1}}`` as ``{"optimization.lr": 0.1}``."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        place = f"{prefix}{name}"
        flat |= _dotted(value, f"{place}.") if isinstance(value, Mapping) and value else {place: value}
    return flat
