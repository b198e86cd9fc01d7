"""Words of the command line for a command's function, by its signature, its docstring and argparse."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cornernet.errors import InputError
from cornernet.typed import convert

RecipeFlags = dict[str, str]
"""A command with a parameter of this type takes every field of a recipe as an option: dotted names, YAML texts."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(
            message.removeprefix("argument "), self.prog.removeprefix("cornernet "), f"see {self.prog} --help"
        )


def parse_arguments(function: Callable[..., Any], prog: str, words: Sequence[str]) -> dict[str, Any] | None:
    """Values for the function's parameters; ``None`` after printing help.

    Parameters before the star are positional (a list takes one or more), the others are options. What an option's type
    and docstring do not say, its default does. Raises ``InputError`` for words that make no sense.
    """
    hints = get_type_hints(function)
    parameters = {name: p for name, p in inspect.signature(function).parameters.items() if hints[name] != RecipeFlags}
    with_recipe = next((name for name, hint in hints.items() if hint == RecipeFlags), None)
    wants_help = any(word in ("-h", "--help") for word in words)
    flags: RecipeFlags = {}
    if with_recipe and not wants_help:
        words, flags = _without_recipe_fields(words, prog)
    parser = _parser(function, prog, wants_help and with_recipe is not None)
    try:
        found, others = parser.parse_known_args(words)
    except SystemExit:  # after printing help
        return None
    if others:
        known = [f"--{name}" for name in parameters] + [f"--{name}" for name in _recipe_fields()] * bool(with_recipe)
        near = get_close_matches(others[0].partition("=")[0], known, n=1)
        what = "is no option" if others[0].startswith("-") else "is one word too many"
        hint = f"did you mean {near[0]}?" if near else f"see {prog} --help"
        raise InputError(f"{others[0]} {what}", prog.removeprefix("cornernet "), hint)
    values = {name: p.default for name, p in parameters.items()} | vars(found)
    for name, value in vars(found).items():
        if isinstance(value, str):
            shown = name if parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else f"--{name}"
            values[name] = convert(hints[name], value, prog.removeprefix("cornernet "), shown)
    return values | ({with_recipe: flags} if with_recipe else {})


def _parser(function: Callable[..., Any], prog: str, recipe_help: bool) -> _Parser:
    from docstring_parser import parse as parse_docstring

    described = inspect.getdoc(function) or ""
    texts = {text.arg_name: text.description or "" for text in parse_docstring(described).params}
    hints = get_type_hints(function, include_extras=True)
    plain = get_type_hints(function)
    parser = _Parser(prog=prog, description=_text(described.split("Args:")[0]), allow_abbrev=False)
    for name, p in inspect.signature(function).parameters.items():
        help = _text(texts.get(name) or _annotation(hints[name]))
        choices = get_args(_not_none(plain[name])) if get_origin(_not_none(plain[name])) is Literal else ()
        shown = "{" + ",".join(map(str, choices)) + "}" if choices else name.removesuffix("_name").upper()
        if plain[name] == RecipeFlags:
            continue
        if p.kind is p.POSITIONAL_OR_KEYWORD:
            count = "+" if plain[name] == list[str] else "?" if p.default is None else None
            default = None if p.default is p.empty else argparse.SUPPRESS
            parser.add_argument(name, nargs=count, metavar=shown, help=help, default=default)
        elif plain[name] is bool:
            parser.add_argument(f"--{name}", action="store_true", help=help, default=argparse.SUPPRESS)
        else:
            required = p.default is p.empty
            if not required and p.default is not None:
                help += f" Default: {p.default}."
            parser.add_argument(f"--{name}", metavar=shown, help=help, required=required, default=argparse.SUPPRESS)
    if recipe_help:
        _add_recipe_fields(parser)
    return parser


def _add_recipe_fields(parser: _Parser) -> None:
    """For the help alone: the fields are taken out of the words before they are parsed."""
    from cornernet.recipes.fields import field_groups

    parser.usage = f"{parser.prog} [RECIPE] [OPTIONS] [FIELDS OF THE RECIPE]"
    for group in field_groups():
        title = f"recipe: {group.name or 'its own fields'}" + (f", of kind {group.kind}" if group.kind else "")
        shown = parser.add_argument_group(title, _text(group.text) or None)
        for field in group.fields:
            metavar = "{" + ",".join(field.choices) + "}" if field.choices else "VALUE"
            known = f"--{field.name}" in parser._option_string_actions  # of another kind
            if not known:
                shown.add_argument(
                    f"--{field.name}", metavar=metavar, help=_text(f"{field.text} Default: {field.default}.")
                )


def _without_recipe_fields(words: Sequence[str], prog: str) -> tuple[list[str], RecipeFlags]:
    """The words without those that set a recipe's field, and these; a field's name may be dotted."""
    rest: list[str] = []
    flags: RecipeFlags = {}
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.split(".")[0] not in _recipe_fields():
            rest.append(word)
            continue
        given = value if equals else next(remaining, None)
        if given is None:
            raise InputError(f"--{name} wants a value", prog.removeprefix("cornernet "), f"see {prog} --help")
        flags.pop(name, None)  # the last one counts
        flags[name] = given
    return rest, flags


def _recipe_fields() -> list[str]:
    from cornernet.config import Recipe

    return list(Recipe.__dataclass_fields__)


def _annotation(hint: Any) -> str:
    """The text of an ``Annotated`` type, or of one inside it."""
    if hasattr(hint, "__metadata__"):
        return hint.__metadata__[0]
    return next(filter(None, map(_annotation, get_args(hint))), "")


def _not_none(hint: Any) -> Any:
    """The type that is left of ``X | None``."""
    inner = [option for option in get_args(hint) if option is not type(None)]
    return inner[0] if inner and type(None) in get_args(hint) else hint


def _text(text: str) -> str:
    """A docstring's text for the terminal; argparse takes % for a placeholder."""
    return " ".join(text.replace("``", "").replace("%", "%%").split())
