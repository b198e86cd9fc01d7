"""The command line: finds the command, hands its arguments to the parser, turns errors into one line and a code."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, get_type_hints

from cornernet.errors import CornerNetError, InputError

# name: module, function, one line for the overview
COMMANDS = {
    "demo": ("demo", "demo", "draw scenes, find the objects with the bundled weights, write pictures"),
    "train": ("train", "train", "train a network by a recipe on your data"),
    "evaluate": ("evaluate", "evaluate", "COCO AP of trained weights on a data set"),
    "predict": ("predict", "predict", "boxes for images, videos, addresses or cameras, as pictures, JSON and more"),
    "explain": ("explain", "explain", "why these boxes: corners, embeddings, and the pairs that were rejected"),
    "benchmark": ("benchmark", "benchmark", "a recipe's memory, speed and size here, beside the published row"),
    "plot": ("plot", "plot", "losses, rate and AP of training logs, ours or OpenMMLab's, as a picture"),
    "report": ("report", "report", "a page on a training: AP, threshold, confusions, what each kind of error costs"),
    "doctor": ("doctor", "doctor", "what on this machine would stop or slow a training, and how to mend it"),
    "export": ("export", "export", "trained weights as one ONNX or OpenVINO file that runs anywhere"),
    "serve": ("serve", "serve", "boxes over HTTP, and a page to drop images on"),
    "weights list": ("weights", "list_releases", "the released networks and what is here of them"),
    "weights info": ("weights", "info", "what a weights file holds"),
    "weights fetch": ("weights", "fetch", "download released networks"),
    "weights convert": ("weights", "convert", "make a checkpoint of OpenMMLab or of the authors one of ours"),
    "weights verify": ("weights", "verify", "check that a weights file is whole"),
    "data check": ("data", "check", "every problem of a data set, its boxes in figures, and a clean copy"),
    "data convert": ("data", "convert", "a data set in another label format: COCO, YOLO or Pascal VOC"),
    "data shapes": ("data", "shapes", "write the embedded data set as COCO, to try every command on"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (a bug of ours), 2 (the input), 3 (diverged), 130 or 143."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [_underscored(word) for word in words if word != "--debug"]
    try:
        return _dispatch(words)
    except CornerNetError as error:
        if debug:
            traceback.print_exc()
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; nobody is left to tell
        return 141
    except MemoryError as error:
        return _fail(f"out of memory ({error}); use tiles (--tile), smaller images (--max-size) or batches", 2)
    except Exception as error:  # the last line of defence: everything expected is a CornerNetError
        if debug:
            raise
        if "out of memory" in str(error) or "can't allocate memory" in str(error):
            return _fail("out of memory; use tiles (--tile), smaller images (--max-size) or batches", 2)
        return _fail(f"internal error: {type(error).__name__}: {error} (--debug shows where; please report it)", 1)


def _underscored(word: str) -> str:
    """--max-size is --max_size, whatever follows the equals sign."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    if name in ("--print_config", "--print-config"):  # jsonargparse keeps that name for another meaning
        name = "--show_config"
    return f"--{name[2:].replace('-', '_')}{equals}{value}"


def _fail(message: str, code: int) -> int:
    rank = os.environ.get("RANK", "0") if "TORCHELASTIC_RUN_ID" in os.environ else "0"
    speaker = "cornernet" if rank == "0" else f"cornernet, rank {rank}"
    print(f"{speaker}: {' '.join(message.split())}", file=sys.stderr)
    return code


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        from importlib.metadata import version  # takes longer to import than the overview to answer

        print(f"cornernet {version('cornernet')}")
        return 0
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in COMMANDS:
            module, function, _ = COMMANDS[name]
            command = import_module(f"cornernet.commands.{module}")
            given = getattr(command, "given_recipe", None)
            values = _parse(getattr(command, function), f"cornernet {name}", words[length:], given)
            return 0 if values is None else getattr(command, function)(**values) or 0
    group = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if group:
        raise InputError(f"{words[0]}: say which: {', '.join(group)}")
    raise InputError(f"{words[0]}: no such command; there are {', '.join(COMMANDS)}")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, _, summary) in COMMANDS.items()]
    head = "usage: cornernet COMMAND ...\n\nObjects as pairs of keypoints (Law and Deng, 2018).\n\ncommands:"
    return "\n".join([head, *lines, "", "cornernet COMMAND --help says more; --debug shows a traceback for any error"])


def _parse(
    function: Callable[..., Any], prog: str, words: list[str], given_recipe: Callable[..., Any] | None = None
) -> dict[str, Any] | None:
    """Values for a command's parameters; ``None`` after printing help.

    Parameters before the star are positional (a list takes one or more), the others are options. A parameter whose
    type is the ``Recipe`` is filled from what ``given_recipe`` makes of the others, single fields by options.
    """
    from docstring_parser import parse as parse_docstring
    from jsonargparse import ArgumentError, ArgumentParser, Namespace

    from cornernet.config import Recipe
    from cornernet.recipes.load import plain_recipe

    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    switches = [p.name for p in parameters if hints[p.name] is bool]
    texts = {text.arg_name: text.description for text in parse_docstring(inspect.getdoc(function) or "").params}
    recipe_name = next((p.name for p in parameters if hints[p.name] is Recipe), None)

    summary = " ".join((inspect.getdoc(function) or "").split("Args:")[0].split())

    def build(defaults: dict[str, Any] | None) -> ArgumentParser:
        parser = ArgumentParser(prog=prog, description=summary, exit_on_error=False, allow_abbrev=False)
        skip: set[str | int] = {p.name for p in parameters if p in positional or p.name in (*switches, recipe_name)}
        parser.add_function_arguments(function, as_group=False, skip=skip)
        for p in positional:
            count = "+" if hints[p.name] == list[str] else "?" if p.default is None else None
            parser.add_argument(p.name, nargs=count)
        for name in switches:
            parser.add_argument(f"--{name}", action="store_true", help=texts.get(name))
        if recipe_name:
            parser.add_class_arguments(Recipe, as_group=False)
            if defaults:
                parser.set_defaults(defaults)
        return parser

    try:
        values = build(None).parse_args(words)
        chosen = given_recipe(values) if given_recipe else None
        if chosen:
            values = build(_flat(plain_recipe(chosen))).parse_args(words)
    except SystemExit as stop:  # --help
        if stop.code:
            raise
        return None
    except ArgumentError as error:
        raise InputError(
            f"{prog.removeprefix('cornernet ')}: {' '.join(str(error).split())}; see {prog} --help"
        ) from None
    values = build(None).instantiate(values)
    result = {p.name: values[p.name] for p in parameters if p.name != recipe_name}
    if recipe_name:
        fields = Recipe.__dataclass_fields__
        result[recipe_name] = Recipe(**{name: values[name] for name in fields})
    return {name: value.as_dict() if isinstance(value, Namespace) else value for name, value in result.items()}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
