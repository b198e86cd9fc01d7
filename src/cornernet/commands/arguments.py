"""Parses the words after a command by its function: signature, types and docstring. argparse writes the help."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from cornernet.commands.foreign import dashed, refuse_foreign
from cornernet.errors import InputError, nearest
from cornernet.typed import convert

RecipeFlags = dict[str, str]
"""Fields of a recipe, by their dotted names, as YAML texts."""
_RECIPE_FLAGS = "recipe_flags"  # the parameter of a command that takes every field of a recipe as an option


_ARGPARSE = {  # what argparse says, and what we say
    r"the following arguments are required: (.+), (.+)": r"\1 and \2 are missing",
    r"the following arguments are required: (.+)": r"\1 is missing",
    r"argument (--\S+): expected one argument": r"\1 wants a value",
    r"argument (--\S+): ignored explicit argument (.+)": r"\1 takes no value, but was given \2",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        command = self.prog.removeprefix("cornernet ")
        for theirs, ours in _ARGPARSE.items():
            message = re.sub(theirs, ours, message)
        raise InputError(message.removeprefix("argument "), command, f"see {self.prog} --help")


def parse_arguments(function: Callable[..., Any], command: str, words: Sequence[str]) -> dict[str, Any] | None:
    """Values for the function's parameters; ``None`` after printing help.

    Parameters before the star are positional (a list takes one or more), the others are options. Their help is in the
    docstring, or in their ``Annotated`` type. Raises ``InputError`` for unknown options and values of another type.
    """
    parser, flags = _parser(function, command), {}
    options = {name: p for name, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
    takes_recipe = options.pop(_RECIPE_FLAGS, None) is not None
    if {"-h", "--help"} & {*words}:
        if takes_recipe:
            _add_recipe_fields(parser)
        parser.print_help()
        return None
    named = {*options, *(_recipe_fields() if takes_recipe else ())}
    refuse_foreign(words, command, named, {name for name, p in options.items() if p.default is False})
    words = [_as_shown(word, options) for word in words]
    if takes_recipe:
        words, flags = _without_recipe_fields(words, parser)
    found, others = parser.parse_known_args(words)
    if others:
        what = "is no option" if others[0].startswith("-") else "is one word too many"
        shown = [f"--{dashed(name)}" for name in named]
        given = dashed(others[0].partition("=")[0]) if others[0].startswith("--") else others[0]
        lists = [name for name, hint in get_type_hints(function).items() if get_origin(hint) is list]
        fix = f"see {parser.prog} --help"
        if lists and not given.startswith("-"):
            fix = f"name all {lists[0]} together, before the options"
        if given.startswith("-"):
            fix = _known(given, shown, fix, takes_recipe)
        raise InputError(f"{given} {what}", command, fix)
    return vars(found) | ({_RECIPE_FLAGS: flags} if takes_recipe else {})


def _known(given: str, shown: Sequence[str], otherwise: str, takes_recipe: bool) -> str:
    """The option or the recipe's field that is meant: its group may have been left out, as in --mosaic."""
    if takes_recipe:
        from cornernet.recipes.fields import field_groups

        name = given.removeprefix("--").replace("-", "_")
        for field in (field for group in field_groups() for field in group.fields):
            if field.name.endswith(f".{name}"):
                return f"write --{field.name}"
    return nearest(given, shown, otherwise)


def _parser(function: Callable[..., Any], command: str) -> _Parser:
    from docstring_parser import parse as parse_docstring

    described = inspect.getdoc(function) or ""
    texts = {text.arg_name: text.description for text in parse_docstring(described).params}
    hints, annotated = get_type_hints(function), get_type_hints(function, include_extras=True)
    summary = _one_line(described.split("Args:")[0])
    parser = _Parser(prog=f"cornernet {command}", description=summary, allow_abbrev=False)
    for name, p in inspect.signature(function).parameters.items():
        hint, text = hints[name], texts.get(name) or getattr(annotated[name], "__metadata__", [""])[0]
        is_positional, is_list = p.kind is p.POSITIONAL_OR_KEYWORD, get_origin(hint) is list
        shown = name if is_positional else f"--{dashed(name)}"
        if hint is bool:
            parser.add_argument(shown, action="store_true", help=_one_line(text))
        elif name != _RECIPE_FLAGS:
            if p.default not in (p.empty, None, False):
                text += f" Default: {p.default}."
            options: dict[str, Any] = {"help": _one_line(text), "default": p.default}
            options["type"] = partial(convert, get_args(hint)[0] if is_list else hint, where=command, name=shown)
            if hint == str | bool:  # its value may be left out
                options |= {"nargs": "?", "const": True, "type": str}
            if is_positional:
                options |= {"nargs": "+" if is_list else "?" if p.default is None else None}
                options |= {"metavar": name.removesuffix("_name").upper()}
            else:
                literals = (get_args(part) for part in (hint, *get_args(hint)) if get_origin(part) is Literal)
                options |= {"required": p.default is p.empty, "metavar": _metavar(next(literals, ()), name.upper())}
            parser.add_argument(shown, **options)
    return parser


def _add_recipe_fields(parser: _Parser) -> None:
    """For the help alone: where words are parsed, the fields have been taken out of them."""
    from cornernet.recipes.fields import field_groups

    parser.usage = f"{parser.prog} [RECIPE] [--OPTION ...] [--FIELD VALUE ...]"
    listed: set[str] = set()  # kinds may share fields
    for group in field_groups():
        title = f"fields of the recipe: {group.name or 'its own'}" + (f", {group.kind}" if group.kind else "")
        shown = parser.add_argument_group(title, _one_line(group.text) or None)
        for field in group.fields:
            if field.name not in listed:
                text = _one_line(f"{field.text} Default: {field.default}.")
                shown.add_argument(f"--{field.name}", metavar=_metavar(field.choices, "VALUE"), help=text)
                listed.add(field.name)


def _as_shown(word: str, options: Collection[str]) -> str:
    """--max_size=4 as --max-size=4, if the command has that option."""
    name, equals, value = word.partition("=")
    return f"--{dashed(name[2:])}{equals}{value}" if name[:2] == "--" and name[2:] in options else word


def _without_recipe_fields(words: Sequence[str], parser: _Parser) -> tuple[list[str], RecipeFlags]:
    """The words that set no field of a recipe, and the fields that are set; the last value of a field counts."""
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
            parser.error(f"--{name} wants a value")
        flags.pop(name, None)
        flags[name] = given
    return rest, flags


def _recipe_fields() -> Iterable[str]:
    from cornernet.config import Recipe

    return Recipe.__dataclass_fields__


def _metavar(choices: Sequence[object], otherwise: str) -> str:
    return "{" + ",".join(map(str, choices)) + "}" if choices else otherwise


def _one_line(text: str) -> str:
    """A docstring's text in one line; argparse takes % for a placeholder."""
    return " ".join(text.replace("``", "").replace("%", "%%").split())
