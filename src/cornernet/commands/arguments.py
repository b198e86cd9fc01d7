"""Words of the command line for a command's function, by its signature, its docstring and argparse."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cornernet.errors import InputError
from cornernet.typed import convert

RecipeFlags = dict[str, str]
"""A command with a parameter of this type takes every field of a recipe as an option: dotted names, YAML texts."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise InputError(message.removeprefix("argument "), _command(self.prog), f"see {self.prog} --help")


def parse_arguments(function: Callable[..., Any], prog: str, words: Sequence[str]) -> dict[str, Any] | None:
    """Values for the function's parameters; ``None`` after printing help.

    Parameters before the star are positional (a list takes one or more), the others are options. Their help is in the
    docstring, or in their ``Annotated`` type. Raises ``InputError`` for words that make no sense.
    """
    hints = {name: _not_none(hint) for name, hint in get_type_hints(function).items()}
    parameters = inspect.signature(function).parameters
    takes_recipe = next((name for name in parameters if hints[name] == RecipeFlags), None)
    wants_help = any(word in ("-h", "--help") for word in words)
    flags: RecipeFlags = {}
    if takes_recipe and not wants_help:
        words, flags = _without_recipe_fields(words, prog)
    parser = _parser(function, prog, hints)
    if takes_recipe and wants_help:
        _add_recipe_fields(parser)
    try:
        found, others = parser.parse_known_args(words)
    except SystemExit:  # after printing help
        return None
    if others:
        known = [f"--{name}" for name in (*parameters, *(_recipe_fields() if takes_recipe else ()))]
        near = get_close_matches(others[0].partition("=")[0], known, n=1)
        what = "is no option" if others[0].startswith("-") else "is one word too many"
        fix = f"did you mean {near[0]}?" if near else f"see {prog} --help"
        raise InputError(f"{others[0]} {what}", _command(prog), fix)
    values = {name: p.default for name, p in parameters.items()}
    for name, value in vars(found).items():
        shown = name if parameters[name].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD else f"--{name}"
        is_text = isinstance(value, str)  # and no list, switch or default
        values[name] = convert(hints[name], value, _command(prog), shown) if is_text else value
    return values | ({takes_recipe: flags} if takes_recipe else {})


def _parser(function: Callable[..., Any], prog: str, hints: dict[str, Any]) -> _Parser:
    from docstring_parser import parse as parse_docstring

    described = inspect.getdoc(function) or ""
    texts = {text.arg_name: text.description or "" for text in parse_docstring(described).params}
    annotated = get_type_hints(function, include_extras=True)
    parser = _Parser(prog=prog, description=_for_terminal(described.split("Args:")[0]), allow_abbrev=False)
    for name, p in inspect.signature(function).parameters.items():
        if hints[name] == RecipeFlags:
            continue
        text = texts.get(name) or _annotation(annotated[name])
        if p.kind is p.POSITIONAL_OR_KEYWORD:
            count = "+" if hints[name] == list[str] else "?" if p.default is None else None
            shown = name.removesuffix("_name").upper()
            parser.add_argument(name, nargs=count, metavar=shown, help=_for_terminal(text), default=p.default)
        elif hints[name] is bool:
            parser.add_argument(f"--{name}", action="store_true", help=_for_terminal(text))
        else:
            choices = get_args(hints[name]) if get_origin(hints[name]) is Literal else ()
            required = p.default is p.empty
            if not required and p.default is not None:
                text = f"{text} Default: {p.default}."
            parser.add_argument(
                f"--{name}",
                metavar=_shown(choices, name.upper()),
                help=_for_terminal(text),
                required=required,
                default=p.default,
            )
    return parser


def _add_recipe_fields(parser: _Parser) -> None:
    """For the help alone: where words are parsed, the fields have been taken out of them."""
    from cornernet.recipes.fields import field_groups

    parser.usage = f"{parser.prog} [RECIPE] [--OPTION ...] [--FIELD VALUE ...]"
    seen: set[str] = set()
    for group in field_groups():
        fresh = [field for field in group.fields if field.name not in seen]  # kinds may share fields
        title = f"fields of the recipe: {group.name or 'its own'}" + (f", {group.kind}" if group.kind else "")
        shown = parser.add_argument_group(title, _for_terminal(group.text) or None)
        for field in fresh:
            text = _for_terminal(f"{field.text} Default: {field.default}.")
            shown.add_argument(f"--{field.name}", metavar=_shown(field.choices, "VALUE"), help=text)
        seen.update(field.name for field in fresh)


def _without_recipe_fields(words: Sequence[str], prog: str) -> tuple[list[str], RecipeFlags]:
    """The words but those that set a recipe's field, and these; of a field that is set twice the last one counts."""
    rest: list[str] = []
    flags: RecipeFlags = {}
    known, remaining = _recipe_fields(), iter(words)
    for word in remaining:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name.split(".")[0] not in known:
            rest.append(word)
            continue
        given = value if equals else next(remaining, "--")
        if given.startswith("--"):
            raise InputError(f"--{name} wants a value", _command(prog), f"see {prog} --help")
        flags.pop(name, None)
        flags[name] = given
    return rest, flags


def _recipe_fields() -> Iterable[str]:
    from cornernet.config import Recipe

    return Recipe.__dataclass_fields__


def _command(prog: str) -> str:
    return prog.removeprefix("cornernet ")


def _annotation(hint: Any) -> str:
    """The text of an ``Annotated`` type, or of one inside it."""
    if hasattr(hint, "__metadata__"):
        return hint.__metadata__[0]
    return next(filter(None, map(_annotation, get_args(hint))), "")


def _not_none(hint: Any) -> Any:
    """What is left of ``X | None``."""
    inner = [option for option in get_args(hint) if option is not type(None)]
    return inner[0] if inner and type(None) in get_args(hint) else hint


def _shown(choices: Sequence[object], otherwise: str) -> str:
    return "{" + ",".join(map(str, choices)) + "}" if choices else otherwise


def _for_terminal(text: str) -> str:
    """A docstring's text in one line; argparse takes % for a placeholder."""
    return " ".join(text.replace("``", "").replace("%", "%%").split())
