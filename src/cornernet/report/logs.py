"""Training logs, ours and OpenMMLab's, under one set of names."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cornernet.config import OPENMMLAB_LOSSES
from cornernet.errors import InputError
from cornernet.files import parse_int

SMOOTHING = 0.1
_NO_PARTS = ("kind", "epoch", "step", "lr", "loss")  # all other fields of our lines are parts of the loss


def read_log(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training and validation lines with our names; ``x`` is the number of finished epochs, ``parts`` the loss's parts.

    An incomplete last line is left out with a warning. Raises ``InputError`` if the file is no log.
    """
    if path.is_dir():
        path = path / "log.jsonl"
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"no log to read ({error})", path, "name a run's folder or its log.jsonl") from None
    training, validation = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line, parse_int=parse_int)
        except (ValueError, RecursionError):
            if number == len(lines):
                print(f"warning: {path}: line {number} is cut off and left out", file=sys.stderr)
                continue
            raise InputError(f"line {number} is no JSON", path, "is this a training log?") from None
        if not isinstance(entry, dict):
            raise InputError(f"line {number} is no JSON object", path, "is this a training log?")
        kind = entry.get("kind") or entry.get("mode")
        if kind in ("validation", "val") or (kind is None and any("bbox_mAP" in key for key in entry)):
            validation.append(_checked(entry, f"{path}, line {number}"))
        elif kind == "train" or (kind is None and "loss" in entry):
            training.append(_checked(entry, f"{path}, line {number}"))
    if not training and not validation:
        raise InputError("no line of training or validation in it", path, "is this a training log?")
    _set_x(training, validation)
    return training, validation


def loss_parts(training: Sequence[dict[str, Any]]) -> list[str]:
    """The names of the parts of the loss in a log's training lines, in their order."""
    return list(dict.fromkeys(name for entry in training for name in entry["parts"]))


def _checked(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """`_ours` of an entry; ``InputError`` if what is drawn of it is no number (or ``None``), or its epoch no count."""
    try:
        found = _ours(entry)
    except (KeyError, TypeError):  # an epoch that cannot be counted from 0
        found = {"parts": []}
    epoch = found.get("epoch")
    if not isinstance(epoch, int) or isinstance(epoch, bool) or not -1 <= epoch < 2**31:
        raise InputError("has no epoch, or one that is no number", where, "is this a training log?")
    for name in ("lr", "loss", "AP", "AP50", "AP75", *found["parts"]):
        value = found.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise InputError(f"{name} is no number", where, "is this a training log?")
    return found


def _ours(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry with our names, its epoch counted from 0."""
    found = dict(entry)
    if "kind" in entry:
        parts = [name for name in entry if name not in _NO_PARTS]
    else:
        ours = {theirs: name for name, theirs in OPENMMLAB_LOSSES.items()}
        losses = {ours.get(key, key.removesuffix("_loss")): entry[key] for key in entry if key.endswith("_loss")}
        parts = list(losses)
        found |= losses
    found["parts"] = parts
    for ours, theirs in (("AP", "bbox_mAP"), ("AP50", "bbox_mAP_50"), ("AP75", "bbox_mAP_75")):
        for key in (theirs, f"coco/{theirs}"):
            if key in entry:
                found[ours] = entry[key]
    if "kind" not in entry:
        found["epoch"] = entry.get("epoch", entry.get("step", 1)) - 1
    return found


def _set_x(training: list[dict[str, Any]], validation: list[dict[str, Any]]) -> None:
    """Set ``x`` of every entry: the lines of an epoch are evenly spaced, a validation is at its end."""
    usual = Counter(entry["epoch"] for entry in training)
    count, seen = max(usual.values(), default=1), Counter()
    for entry in training:
        seen[entry["epoch"]] += 1
        entry["x"] = entry["epoch"] + seen[entry["epoch"]] / count
    for entry in validation:
        entry["x"] = entry["epoch"] + 1


def smooth(values: list[float | None]) -> list[float | None]:
    """An exponential moving average that ignores missing values."""
    averages, last = [], None
    for value in values:
        if value is not None:
            last = value if last is None else last + SMOOTHING * (value - last)
        averages.append(last)
    return averages
