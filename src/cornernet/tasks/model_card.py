"""The page that a model has on the Hugging Face hub, filled from a training's run folder."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.errors import InputError
from cornernet.files import read_own_json
from cornernet.recipes.load import load_recipe, recipe_yaml

if TYPE_CHECKING:
    from cornernet.evaluation.ap import Metrics

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_FIGURES = ("AP", "AP50", "AP75", "APs", "APm", "APl")


def write_card(run: Path, name: str, licence: str) -> str:
    """The card, in Markdown with the hub's fields in front, of the run's best weights.

    It holds no path of this machine. Raises ``InputError`` for a licence that is no name of one, and for a folder
    without a finished epoch.
    """
    from cornernet.tasks.run_report import best_weights
    from cornernet.training.run_file import RUN_FILE
    from cornernet.training.trainer import RECIPE_FILE, read_result
    from cornernet.weights.store import load_weights

    if not _LICENCE.fullmatch(licence):
        raise InputError("give its short name", f"--licence {licence}", "such as apache-2.0, mit, cc-by-4.0 or other")
    file = best_weights(run)
    weights, told = load_weights(file), read_own_json(run / RUN_FILE, "name the folder of a training")
    images = told.get("images", "unknown many") if isinstance(told, dict) else "unknown many"
    recipe = _without_paths(recipe_yaml(load_recipe(str(run / RECIPE_FILE))))
    metrics = read_result(run).metrics
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
        f"Trained on {images} images for {epochs} epoch{'' if epochs == 1 else 's'}.",
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


def _figures(metrics: Metrics | None) -> list[str]:
    """COCO's figures as a table; nothing without a validation that had boxes."""
    shown = {key: metrics.figures[key] for key in _FIGURES if not math.isnan(metrics.figures[key])} if metrics else {}
    if not metrics or not shown:
        return ["There was no validation, so nothing is known of its accuracy.", ""]
    counted = f"{metrics.images} validation images with {metrics.boxes} boxes"
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
