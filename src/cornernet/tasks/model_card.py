"""The page that a model has on the Hugging Face hub, filled from a training's run folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cornernet.errors import InputError

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def write_card(run: Path, name: str, licence: str) -> str:
    """The card, in Markdown with the hub's fields in front, of the run's best weights.

    It holds no path of this machine. Raises ``InputError`` for a licence that is no name of one, and for a folder
    without a finished epoch.
    """
    from cornernet.tasks.run_report import best_weights
    from cornernet.weights.store import load_weights

    if not _LICENCE.fullmatch(licence):
        raise InputError("give its short name", f"--licence {licence}", "such as apache-2.0, mit, cc-by-4.0 or other")
    file = best_weights(run)
    weights, told = load_weights(file), _read(run / "run.json")
    recipe = _without_paths((run / "recipe.yaml").read_text(encoding="utf-8"))
    metrics = _read(run / "metrics.json") if (run / "metrics.json").is_file() else {}
    names, epochs = ", ".join(weights.class_names), weights.info.get("epochs", "unknown many")
    lines = [
        "---",
        f"license: {licence}",
        "library_name: cornernet",
        "pipeline_tag: object-detection",
        "tags: [object-detection, cornernet]",
        "---",
        "",
        f"# {name.partition('/')[2]}",
        "",
        f"A CornerNet that finds {len(weights.class_names)} classes: {names}.",
        "",
        "```",
        "pip install 'cornernet[hub]'",
        f"cornernet predict photo.jpg --weights {name}",
        "```",
        "",
        "## Data and figures",
        "",
        f"Trained on {told.get('images', 'unknown many')} images for {epochs} epoch{'' if epochs == 1 else 's'}.",
        *_figures(metrics),
        f"Boxes below a score of {weights.threshold:g} are not shown by default.",
        "",
        "What the images show, who made them, and what the network is not for: please add it here.",
        "",
        "## Recipe",
        "",
        "```yaml",
        recipe.rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def _figures(metrics: dict[str, Any]) -> list[str]:
    """COCO's figures as a table; nothing without a validation that had boxes."""
    figures = metrics.get("figures", {})
    shown = {key: figures[key] for key in _FIGURES if figures.get(key) is not None}
    if not shown:
        return ["There was no validation, so nothing is known of its accuracy.", ""]
    counted = f"{metrics['images']} validation images with {metrics['boxes']} boxes"
    return [
        f"On {counted}, COCO's figures:",
        "",
        f"| {' | '.join(shown)} |",
        f"|{'--:|' * len(shown)}",
        f"| {' | '.join(f'{value:.3f}' for value in shown.values())} |",
        "",
    ]


def _without_paths(recipe: str) -> str:
    """A recipe's text with the file's name alone where it names weights by a path."""
    return re.sub(r"(?m)^(weights: ).*[/\\]([^/\\\n]+)$", r"\1\2", recipe)


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"no run to describe ({error})", path, "name the folder of a training") from None
