"""The command line: finds the command, parses its arguments, turns errors into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import Any, TextIO, cast

from cornernet.errors import CornerNetError, InputError, command_line_words, nearest

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
    "doctor": ("doctor", "doctor", "what on this machine would stop or slow a training, and how to fix it"),
    "export": ("export", "export", "trained weights as one ONNX or OpenVINO file that runs anywhere"),
    "serve": ("serve", "serve", "boxes over HTTP, and a page to drop images on"),
    "weights list": ("weights", "list_releases", "the released networks and what is here of them"),
    "weights info": ("weights", "info", "what a weights file holds"),
    "weights fetch": ("weights", "fetch", "download released networks"),
    "weights convert": ("weights", "convert", "make a checkpoint of OpenMMLab or of the authors one of ours"),
    "weights push": ("weights", "push", "put a training's weights on the Hugging Face hub, with a model card"),
    "weights verify": ("weights", "verify", "check that a weights file is whole"),
    "data check": ("data", "check", "every problem of a data set, its boxes in figures, and a clean copy"),
    "data convert": ("data", "convert", "a data set in another label format, such as YOLO or CVAT"),
    "data shapes": ("data", "shapes", "write the embedded data set as COCO, to try every command on"),
}

_SYNONYMS = {"--show_config": "--print_config", "--license": "--licence"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, 1 (a bug of ours), 2 (the input), 3 (diverged), 130 or 143."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    with command_line_words(), _orderly_end():
        return _run([_underscored(word) for word in words if word != "--debug"], debug)


def _run(words: list[str], debug: bool) -> int:
    """A command, and its error as a line; ``debug`` shows where it was raised."""
    try:
        with redirect_stdout(cast("TextIO", _Output(sys.stdout))) as output:
            code = _dispatch(words)
            output.flush()
        return code
    except CornerNetError as error:
        if debug:
            traceback.print_exc()
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt as error:
        return _fail("interrupted", 143 if isinstance(error, _Terminated) else 130)
    except Exception as error:  # everything expected is a CornerNetError
        if debug:
            raise
        is_memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
        if is_memory or "out of memory" in str(error):
            return _fail("out of memory; use tiles (--tile), smaller images (--max-size) or batches", 2)
        return _fail(f"internal error: {type(error).__name__}: {error} (--debug shows where; please report it)", 1)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as of ``timeout``, ``docker stop`` and systemd: what is half written is put away, as on Ctrl-C."""


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Raise `_Terminated` on SIGTERM, unless the program around has a handler of its own."""

    def end(*_: object) -> None:
        raise _Terminated

    is_ours = threading.current_thread() is threading.main_thread()
    is_ours = is_ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if is_ours:
        signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Output:
    """Standard output whose reader may end, as in ``... | head``: the command goes on and writes its files."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            return self._drop(len(text))

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._drop(0)

    def _drop(self, count: int) -> int:
        """Let the rest go nowhere, also what Python writes when it ends."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _underscored(word: str) -> str:
    """--max-size=a-b as --max_size=a-b."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    name = f"--{name[2:].replace('-', '_')}"
    return f"{_SYNONYMS.get(name, name)}{equals}{value}"


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
            function = find_command(name)
            from cornernet.commands.arguments import parse_arguments

            values = parse_arguments(function, name, words[length:])
            return 0 if values is None else function(**values) or 0
    group = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if group:
        raise InputError(f"say which: {', '.join(group)}", words[0])
    from cornernet.commands.foreign import command_elsewhere

    if ours := command_elsewhere(words[0]):
        raise InputError("no such command", words[0], f"that is {ours} here")
    raise InputError("no such command", words[0], nearest(words[0], COMMANDS, f"there are {', '.join(COMMANDS)}"))


def find_command(name: str) -> Callable[..., int | None]:
    """The function of a command, by its name in ``COMMANDS``."""
    module, function, _ = COMMANDS[name]
    return getattr(import_module(f"cornernet.commands.{module}"), function)


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {summary}" for name, (_, _, summary) in COMMANDS.items()]
    head = "usage: cornernet COMMAND ...\n\nObjects as pairs of keypoints (Law and Deng, 2018).\n\ncommands:"
    return "\n".join([head, *lines, "", "cornernet COMMAND --help says more; --debug shows a traceback for any error"])
