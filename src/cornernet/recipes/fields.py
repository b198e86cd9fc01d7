"""The fields that a recipe can set, with their defaults and texts: for the command line's help and for the docs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from cornernet.config import Recipe
from cornernet.typed import default_of


class RecipeField(NamedTuple):
    """A field by its dotted name. ``default`` is as YAML has it; ``choices`` are empty where any value is possible."""

    name: str
    default: str
    choices: tuple[str, ...]
    text: str


class FieldGroup(NamedTuple):
    """The fields of one dataclass. ``name`` is dotted, empty for the recipe itself; ``kind`` where there are several.

    ``text`` is the dataclass's docstring where that describes its fields, empty where each field has its own.
    """

    name: str
    kind: str
    text: str
    fields: list[RecipeField]


def field_groups(cls: type[Any] = Recipe, name: str = "") -> Iterator[FieldGroup]:
    """The recipe's own fields, then those of each group below it, and of each kind of it."""
    from docstring_parser import parse_from_object

    try:
        texts = {text.arg_name: " ".join((text.description or "").split()) for text in parse_from_object(cls).params}
    except (OSError, TypeError):  # a class without a file, such as a notebook's
        texts = {}
    hints, own, below = get_type_hints(cls), [], []
    for field in fields(cls):
        hint, dotted = hints[field.name], f"{name}.{field.name}".lstrip(".")
        kinds: dict[str, type[Any]] = getattr(hint, "kinds", {})
        if is_dataclass(hint):
            below += [(inner, dotted) for inner in kinds.values() or [hint]]
        if kinds or not is_dataclass(hint):
            choices = kinds or (get_args(hint) if get_origin(hint) is Literal else ())
            own.append(
                RecipeField(dotted, _as_yaml(default_of(field)), (*map(str, choices),), texts.get(field.name, ""))
            )
    if own:
        yield FieldGroup(name, getattr(cls, "name", ""), "" if texts else inspect.getdoc(cls) or "", own)
    for inner, dotted in below:
        yield from field_groups(inner, dotted)


def _as_yaml(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(getattr(value, "name", value)).strip('"')
