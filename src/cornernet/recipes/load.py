"""Recipes: read from YAML and the command line, checked once, and written as YAML."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from cornernet.config import Architecture, BackboneConfig, PairingConfig, Recipe
from cornernet.errors import InputError
from cornernet.typed import build, convert, plain

RECIPE_FOLDER = Path(__file__).parent

_RENAMED = {  # keys of earlier versions, read with a notice
    "loss.around": "loss.supervision_radius",
    "model.pooling_reach": "model.pool_window",
    "model.num_stacks": "model.backbone.num_stacks",
    "model.channels": "model.backbone.channels",
    "model.blocks": "model.backbone.blocks",
    "model.feature_channels": "model.backbone.feature_channels",
}
_WITHOUT_EFFECT = [  # a field, another one that takes its effect away, and the value with which it does not
    ("optimization.milestones", "optimization.schedule", "step"),
    ("augmentation.border", "augmentation.at_objects", False),
    ("preprocessing.pad_mask", "preprocessing.pad_multiple", None),
    ("loss.pull", "loss.size", None),
    ("loss.push", "loss.size", None),
]
_BACKBONE = Architecture.backbone  # of recipes that name none
_PAIRING_LOSSES = "pull", "push", "size"


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
    raise InputError("no such recipe or YAML file", f"recipe {name}", f"shipped are {', '.join(recipe_names())}")


def load_recipe(name: str, flags: Mapping[str, str] | None = None) -> Recipe:
    """A shipped recipe, or one from a YAML file; ``flags``, dotted names with YAML texts, go over its fields.

    Raises ``InputError`` for unknown fields, values of another type or range, and fields that exclude each other.
    """
    import yaml

    path = find_recipe(name)
    where = f"recipe {path}"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(" ".join(str(error).split()), where) from None
    if not isinstance(values, dict):
        raise InputError("it has no fields", where, "write them as FIELD: VALUE, one a line")
    values = _with_new_names(values, where)
    _refuse_exclusive(values, values, where)
    return _with_flags(values, flags or {}, where)


def override(recipe: Recipe, flags: Mapping[str, str]) -> Recipe:
    """The recipe with ``flags`` over its fields; errors as in ``load_recipe``."""
    return _with_flags(plain_recipe(recipe), flags, "recipe")


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries and lists, without the fields that have no effect."""
    values = plain(recipe)
    for weak, strong, harmless in _WITHOUT_EFFECT:
        if _get(values, strong) not in (None, harmless):
            _pop(values, weak)
    _drop_losses(values, recipe.model.pairing.losses)
    return values


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, such that ``load_recipe`` reads it back."""
    import yaml

    return yaml.safe_dump(plain_recipe(recipe), sort_keys=False, default_flow_style=None)


def _with_flags(values: dict[str, Any], flags: Mapping[str, str], where: str) -> Recipe:
    """The recipe of ``values`` with ``flags`` over them, checked. A flag drops what it takes the effect from."""
    given: dict[str, Any] = {}
    for name, text in flags.items():
        given = _overlay(given, _nested(name, _read(text)))
    given = _with_new_names(given, "flags")
    _refuse_exclusive(given, given, "flags")
    merged = _overlay(values, given)
    for weak, strong, harmless in _WITHOUT_EFFECT:
        if _get(given, strong) not in (None, harmless):
            _pop(merged, weak)
    pairing = _get(given, "model.pairing")
    if pairing is not None:
        losses = convert(PairingConfig, pairing, "flags", "model.pairing").losses
        _drop_losses(merged, {*losses, *(name for name in _PAIRING_LOSSES if _get(given, f"loss.{name}") is not None)})
    if flags:
        where += f" with {', '.join(f'--{name}' for name in flags)}"
    _refuse_exclusive(merged, given, where)
    backbone = convert(BackboneConfig, _get(merged, "model.backbone") or {}, where, "model.backbone", _BACKBONE)
    merged = _overlay({"preprocessing": plain(backbone.normalization)}, merged)
    recipe = build(Recipe, merged, where)
    recipe.check()
    return recipe


def _read(text: str) -> Any:
    """A flag's value: YAML, or the text itself where it is none."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _with_new_names(values: dict[str, Any], where: str) -> dict[str, Any]:
    """The values, keys of earlier versions renamed; each is told of."""
    for old, new in _RENAMED.items():
        value = _pop(values, old)
        if value is None:
            continue
        if _get(values, new) is not None:
            raise InputError(f"{old} and {new} are the same field", where, f"leave {old} out")
        print(f"notice: {where}: {old} is now {new}", file=sys.stderr)
        values = _overlay(values, _nested(new, value))
    return values


def _refuse_exclusive(values: dict[str, Any], given: dict[str, Any], where: str) -> None:
    """``InputError`` for a field of ``given`` that has no effect among ``values``."""
    for weak, strong, harmless in _WITHOUT_EFFECT:
        value = _get(values, strong)
        if value not in (None, harmless) and _get(given, weak) is not None:
            now, then = (json.dumps(side).strip('"') for side in (value, harmless))
            what = f"{weak} has no effect with {strong} {now}"
            raise InputError(what, where, f"leave {weak} out, or choose {strong} {then}")


def _drop_losses(values: dict[str, Any], kept: Collection[str]) -> None:
    """Leave out the weights of other pairing rules' losses."""
    for name in _PAIRING_LOSSES:
        if name not in kept:
            _pop(values, f"loss.{name}")


def _overlay(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dictionaries in one; where ``over`` names another kind, nothing remains of the fields of the one below."""
    result = dict(under)
    for key, value in over.items():
        old = under.get(key)
        if isinstance(old, dict) or isinstance(value, dict):  # a kind may be its name alone
            old, value = ({"name": side} if isinstance(side, str) else side for side in (old, value))
        if isinstance(value, dict):
            old = old if isinstance(old, dict) else {}
            name = old.get("name")
            is_other_kind = name is not None and value.get("name", name) != name
            value = _overlay({} if is_other_kind else old, value)
        result[key] = value
    return result


def _nested(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def _get(values: Any, name: str) -> Any:
    """The value at a dotted name; ``None`` where there is none."""
    for part in name.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _pop(values: dict[str, Any], name: str) -> Any:
    """The same, taken away."""
    group, _, last = name.rpartition(".")
    holder = _get(values, group) if group else values
    return holder.pop(last, None) if isinstance(holder, dict) else None
