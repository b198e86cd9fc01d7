"""Recipes: everything that decides what a training gives, as typed fields filled from YAML."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from cornernet.config import Recipe
from cornernet.errors import InputError

RECIPE_FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """The shipped recipes."""
    return sorted(path.stem for path in RECIPE_FOLDER.glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The YAML file of a shipped recipe's name, or of a path; ``InputError`` with the known names otherwise.

    A name may stop at its first dash: cornernet_hourglass104_8xb6 is cornernet_hourglass104_8xb6-210e-mstest_coco.
    """
    shipped, given = RECIPE_FOLDER / f"{name}.yaml", Path(name)
    if shipped.is_file():
        return shipped
    short = [known for known in recipe_names() if known.split("-")[0] == name]
    if len(short) == 1:
        return RECIPE_FOLDER / f"{short[0]}.yaml"
    if given.suffix in (".yaml", ".yml") and given.is_file():
        return given
    raise InputError(f"recipe {name}: no such recipe or YAML file; shipped are {', '.join(recipe_names())}")


def recipe_parser() -> Any:
    """A jsonargparse parser of a recipe's fields, which also reads and writes them as YAML."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    parser.add_class_arguments(Recipe, as_group=False)
    return parser


def load_recipe(name: str) -> Recipe:
    """A shipped recipe, or one from a YAML file; unknown keys and wrong types are an ``InputError``."""
    from jsonargparse import ArgumentError

    path, parser = find_recipe(name), recipe_parser()
    try:
        values = parser.parse_path(str(path))
        recipe = Recipe(**dict(vars(parser.instantiate(values))))
    except (ArgumentError, ValueError, TypeError) as error:
        raise InputError(f"recipe {path}: {' '.join(str(error).split())}") from None
    recipe.check()
    return recipe


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries and lists."""
    return _plain(asdict(recipe))


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, such that ``load_recipe`` reads it back."""
    import yaml

    return yaml.safe_dump(plain_recipe(recipe), sort_keys=False, default_flow_style=None)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
