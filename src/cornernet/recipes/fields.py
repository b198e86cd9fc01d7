"""The fields that a recipe can set, with their defaults and texts: for the command line's help and for the docs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cornernet.config import Recipe
from cornernet.typed import default_of


@dataclass(frozen=True)
class RecipeField:
    """A field by its dotted name. ``default`` is as YAML has it; ``choices`` are empty where any value may stand."""

    name: str
    default: str
    choices: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class FieldGroup:
    """The fields of one dataclass. ``name`` is dotted, empty for the recipe itself; ``kind`` where there are several.

    ``text`` is the dataclass's docstring where that describes its fields, empty where each field has its own.
    """

    name: str
    kind: str
    text: str
    fields: tuple[RecipeField, ...]


def field_groups(cls: type[Any] = Recipe, name: str = "") -> Iterator[FieldGroup]:
    """The recipe's own fields, then those of each group below it, and of each kind of it."""
    from docstring_parser import parse_from_object

    texts = {text.arg_name: text.description or "" for text in parse_from_object(cls).params}
    hints, own, below = get_type_hints(cls), [], []
    for field in fields(cls):
        hint, default, dotted = hints[field.name], default_of(field), f"{name}.{field.name}" if name else field.name
        kinds: dict[str, type[Any]] | None = getattr(hint, "kinds", None)
        if kinds is None and is_dataclass(hint):
            below.append((hint, dotted))
            continue
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        below += [(kind, dotted) for kind in (kinds or {}).values()]
        text = " ".join(texts.get(field.name, "").split())
        own.append(RecipeField(dotted, _as_yaml(default), tuple(map(str, kinds or choices)), text))
    if own:
        yield FieldGroup(
            name,
            getattr(cls, "name", "") if hasattr(cls, "kinds") else "",
            "" if texts else inspect.getdoc(cls) or "",
            tuple(own),
        )
    for inner, dotted in below:
        yield from field_groups(inner, dotted)


def _as_yaml(value: Any) -> str:
    if hasattr(value, "kinds"):
        return value.name
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)
