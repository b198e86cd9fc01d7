"""``cornernet plot``: what a training log says, ours or OpenMMLab's, as a picture."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from cornernet.errors import InputError
from cornernet.structures import OPENMMLAB_LOSSES

SMOOTHING = 0.1


def plot(logs: list[str], *, out: str = "log.png") -> None:
    """Draw losses, learning rate and AP of one or more LOGS, log.jsonl of a run or OpenMMLab's .log.json.

    Args:
        logs: Log files, or run folders.
        out: Picture to write: .png, .svg or .pdf.
    """
    try:
        import matplotlib
    except ImportError:
        raise InputError("plot: needs matplotlib; pip install 'cornernet[report]' brings it") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from cornernet.files import make_folder

    if Path(out).suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--out {out}: give a name that ends in .png, .svg or .pdf")
    series = [(name_of(Path(log)), *read_log(Path(log))) for log in logs]
    figure, ((losses, parts), (rates, figures)) = pyplot.subplots(
        2, 2, sharex=True, figsize=(11, 7), layout="constrained"
    )
    for number, (name, training, validation) in enumerate(series):
        color = f"C{number}"
        x = [entry["x"] for entry in training]
        losses.plot(x, _smooth([entry.get("loss") for entry in training]), color=color, label=name)
        for style, part in zip(("-", "--", "-.", ":"), OPENMMLAB_LOSSES, strict=True):
            label = part if number == 0 else None
            parts.plot(x, _smooth([entry.get(part) for entry in training]), style, color=color, label=label, lw=1.2)
        rates.plot(x, [entry.get("lr") for entry in training], color=color)
        for style, key in (("o-", "AP"), ("^--", "AP50"), ("v:", "AP75")):
            points = [(entry["x"], entry[key]) for entry in validation if entry.get(key) is not None]
            if points:
                figures.plot(*zip(*points, strict=True), style, color=color, ms=4, label=key if number == 0 else None)
    losses.set(title="loss", yscale="log")
    parts.set(title="its parts", yscale="log")
    rates.set(title="learning rate", xlabel="epoch", yscale="log")
    figures.set(title="validation", xlabel="epoch", ylim=(0, 1))
    losses.legend(frameon=False)
    parts.legend(frameon=False)
    if any(validation for _, _, validation in series):
        figures.legend(frameon=False, loc="upper left")
    make_folder(Path(out).parent)
    figure.savefig(out, dpi=110)
    print(f"{sum(len(t) for _, t, _ in series)} training and {sum(len(v) for *_, v in series)} validation lines: {out}")


def name_of(path: Path) -> str:
    """What a log is called in the picture: its folder's name where its own says nothing."""
    return path.resolve().parent.name if path.name == "log.jsonl" else path.name.split(".")[0]


def read_log(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training and validation lines with our names, ``x`` the epochs passed by then.

    A last line that was cut off is left out with a warning. Raises ``InputError`` where a file is no log.
    """
    if path.is_dir():
        path = path / "log.jsonl"
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no log to read ({error}); name a run's folder or its log.jsonl") from None
    training, validation = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            if number == len(lines):
                print(f"warning: {path}: line {number} is cut off and left out", file=sys.stderr)
                continue
            raise InputError(f"{path}: line {number} is no JSON; is this a training log?") from None
        if not isinstance(entry, dict):
            raise InputError(f"{path}: line {number} is no JSON object; is this a training log?")
        kind = entry.get("kind") or {"train": "train", "val": "validation"}.get(entry.get("mode", ""))
        if kind is None and any("bbox_mAP" in key for key in entry):
            kind = "validation"
        if kind is None and "loss" in entry:
            kind = "train"
        if kind == "train":
            training.append(_ours(entry))
        elif kind == "validation":
            validation.append(_ours(entry))
    if not training and not validation:
        raise InputError(f"{path}: no line of training or validation in it; is this a training log?")
    _place(training, validation)
    return training, validation


def _ours(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry under our names, its epoch counted from 0."""
    found = dict(entry)
    for ours, theirs in OPENMMLAB_LOSSES.items():
        if theirs in entry:
            found[ours] = entry[theirs]
    for ours, theirs in (("AP", "bbox_mAP"), ("AP50", "bbox_mAP_50"), ("AP75", "bbox_mAP_75")):
        for key in (theirs, f"coco/{theirs}"):
            if key in entry:
                found[ours] = entry[key]
    if "kind" not in entry:
        found["epoch"] = entry.get("epoch", entry.get("step", 1)) - 1
    return found


def _place(training: list[dict[str, Any]], validation: list[dict[str, Any]]) -> None:
    """Give every entry its ``x``: lines of an epoch lie evenly in it, a validation at its end."""
    usual = Counter(entry["epoch"] for entry in training)
    count, seen = max(usual.values(), default=1), Counter()
    for entry in training:
        seen[entry["epoch"]] += 1
        entry["x"] = entry["epoch"] + seen[entry["epoch"]] / count
    for entry in validation:
        entry["x"] = entry["epoch"] + 1


def _smooth(values: list[float | None]) -> list[float | None]:
    """An exponential moving average that steps over what is not there."""
    smooth, last = [], None
    for value in values:
        if value is not None:
            last = value if last is None else last + SMOOTHING * (value - last)
        smooth.append(last)
    return smooth
