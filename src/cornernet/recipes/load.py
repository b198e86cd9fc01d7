"""Recipes: read from YAML and the command line, checked once, and written as YAML.

Fields are merged as flat dictionaries, from dotted names to values. The name of a kind stands under the field itself:
``{"model.backbone": "hourglass", "model.backbone.num_stacks": 2}``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cornernet.config import Architecture, PairingConfig, Recipe
from cornernet.errors import InputError
from cornernet.typed import build, plain

RECIPE_FOLDER = Path(__file__).parent

_KINDS = {"model.backbone": Architecture.backbone.name, "model.pairing": Architecture.pairing.name}  # the defaults
_RENAMED = {  # keys of earlier versions, read with a notice
    "loss.around": "loss.supervision_radius",
    "model.pooling_reach": "model.pool_window",
    "model.num_stacks": "model.backbone.num_stacks",
    "model.channels": "model.backbone.channels",
    "model.blocks": "model.backbone.blocks",
    "model.feature_channels": "model.backbone.feature_channels",
}
_WITHOUT_EFFECT = [  # a field, the field that takes its effect away, and the value with which that does not
    ("optimization.milestones", "optimization.schedule", "step"),
    ("augmentation.border", "augmentation.at_objects", False),
    ("preprocessing.pad_mask", "preprocessing.pad_multiple", None),
    ("loss.pull", "loss.size", None),
    ("loss.push", "loss.size", None),
]
_PAIRING_LOSSES = "pull", "push", "size"
_OF_KIND = {  # beginnings of the names of fields that another kind does not keep
    "model.backbone": [f"preprocessing.{name}" for name in ("color_order", "mean", "std")],
    "model.pairing": [f"loss.{name}" for name in (*_PAIRING_LOSSES, "others")],
}


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


def load_recipe(name: str, flags: Mapping[str, Any] | None = None) -> Recipe:
    """A shipped recipe, or one from a YAML file; ``flags``, dotted names with YAML texts or values, replace its fields.

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
    fields = _flat(values)
    is_earlier = not fields.keys().isdisjoint(_RENAMED)
    fields = _with_new_names(fields, where)
    if is_earlier:  # earlier versions printed every field, also those without effect
        pairing = PairingConfig.kind(fields.get("model.pairing", _KINDS["model.pairing"]))
        fields = _with_effect(fields, pairing.losses)
    _refuse_exclusive(fields, fields, where)
    return _with_flags(fields, flags or {}, where)


def override(recipe: Recipe, flags: Mapping[str, Any]) -> Recipe:
    """The recipe with ``flags`` in place of its fields; errors as in ``load_recipe``."""
    return _with_flags(flat_recipe(recipe), flags, "recipe")


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as nested dictionaries and lists, without the fields that have no effect."""
    return _nested(flat_recipe(recipe))


def recipe_yaml(recipe: Recipe) -> str:
    """The recipe as YAML, such that ``load_recipe`` reads it back."""
    import yaml

    return yaml.safe_dump(plain_recipe(recipe), sort_keys=False, default_flow_style=None)


def _with_flags(fields: dict[str, Any], flags: Mapping[str, Any], where: str) -> Recipe:
    """The recipe of ``fields`` and ``flags``. A flag removes the fields that have no effect with it."""
    given = _with_new_names(_flat({name: _parsed(text) for name, text in flags.items()}), "flags")
    _refuse_exclusive(given, given, "flags")
    removed = [weak for weak, *_ in _rules_in_force(given)]
    for kind, default in _KINDS.items():
        old = fields.get(kind, default)
        if given.get(kind, old) != old:
            depending = (f"{kind}.", *_OF_KIND[kind])
            removed += [name for name in fields if name.startswith(depending)]
    merged = {name: value for name, value in fields.items() if name not in removed} | given
    if flags:
        where += f" with {', '.join(f'--{name}' for name in flags)}"
    _refuse_exclusive(merged, given, where)
    recipe = build(Recipe, _nested(merged), where)
    normalization = recipe.model.backbone.normalization
    own = {name: value for name, value in normalization.items() if f"preprocessing.{name}" not in merged}
    return replace(recipe, preprocessing=replace(recipe.preprocessing, **own))


def _parsed(text: Any) -> Any:
    """A flag's value: YAML, or the text itself where it is none; a value that is no text as it is."""
    import yaml

    if not isinstance(text, str):
        return text

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _with_new_names(fields: dict[str, Any], where: str) -> dict[str, Any]:
    """The fields with keys of earlier versions renamed, each with a notice."""
    for old, new in _RENAMED.items():
        if old not in fields:
            continue
        if new in fields:
            raise InputError(f"{old} and {new} are the same field", where, f"leave {old} out")
        print(f"notice: {where}: {old} is now {new}", file=sys.stderr)
        fields[new] = fields.pop(old)
    return fields


def _refuse_exclusive(fields: dict[str, Any], given: dict[str, Any], where: str) -> None:
    """``InputError`` for a field of ``given`` that has no effect among ``fields``."""
    for weak, strong, harmless in _rules_in_force(fields):
        if given.get(weak) is not None:
            now, then = (json.dumps(side).strip('"') for side in (fields[strong], harmless))
            what = f"{weak} has no effect with {strong} {now}"
            raise InputError(what, where, f"leave {weak} out, or choose {strong} {then}")


def flat_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields that have an effect, by their dotted names."""
    return _with_effect(_flat(plain(recipe)), recipe.model.pairing.losses)


def _with_effect(fields: dict[str, Any], losses: Collection[str]) -> dict[str, Any]:
    """Without weights of losses that are none of the pairing rule's, and fields that others take the effect from."""
    other = {f"loss.{name}" for name in _PAIRING_LOSSES if name not in losses}
    fields = {name: value for name, value in fields.items() if name not in other}
    weak = {weak for weak, *_ in _rules_in_force(fields)}
    return {name: value for name, value in fields.items() if name not in weak}


def _rules_in_force(fields: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """The rules of ``_WITHOUT_EFFECT`` whose second field has another value than the harmless one."""
    return [rule for rule in _WITHOUT_EFFECT if fields.get(rule[1]) not in (None, rule[2])]


def _flat(values: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if name.removesuffix(".name") in _KINDS:
            name = name.removesuffix(".name")
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return flat


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name in sorted(fields, key=lambda name: name in _KINDS, reverse=True):
        *groups, last = name.split(".")
        holder = nested
        for group in groups:
            inner = holder.get(group, {})
            holder[group] = inner if isinstance(inner, dict) else {"name": inner}
            holder = holder[group]
        holder[last] = fields[name]
    return nested
