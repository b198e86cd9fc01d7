"""The errors that users may see, each with its exit code of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

# A program with its words, which stay as they are, or an option of ours
_PROGRAM_OR_OPTION = re.compile(r"(?:pip|cornernet|hf|docker|podman|nvidia-smi) [a-z-][^;]*|(?<![\w-])--([a-z][\w.-]*)")
_on_command_line = False


class CornerNetError(Exception):
    """A failure whose message is one line on the terminal."""

    exit_code = 1


class InputError(CornerNetError):
    """Something the user gave cannot be used: ``what`` is wrong, ``where`` (a file, field or flag), how to ``fix`` it.

    The line is "where: what; fix". Programs that need a part of it read the attribute. Options are written as on the
    command line, ``--max-size``; in a Python program the line has the argument's name, ``max_size``.
    """

    exit_code = 2

    def __init__(self, what: str, where: object = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, str(where), fix

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        line = f"{line}; {self.fix}" if self.fix else line
        return line if _on_command_line else _PROGRAM_OR_OPTION.sub(_argument, line)

    def at(self, where: object) -> InputError:
        """The same error with another place, for a caller that knows it better: a file's name instead of "image"."""
        return InputError(self.what, where, self.fix)


def first_line(error: BaseException) -> str:
    """The first line of an error of another library, at most 300 characters; its type if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextmanager
def command_line_words() -> Iterator[None]:
    """For the block, errors name options as they are typed in a terminal."""
    global _on_command_line
    before, _on_command_line = _on_command_line, True
    try:
        yield
    finally:
        _on_command_line = before


def _argument(found: re.Match[str]) -> str:
    """An option's name as an argument's; a program's words as they are."""
    return found[1].replace("-", "_") if found[1] else found[0]


def nearest(given: str, known: Iterable[str], otherwise: str, prefix: str = "") -> str:
    """How to mend an unknown name: the nearest of the ``known`` ones, after ``prefix``, or ``otherwise``."""
    near = get_close_matches(given, list(known), n=1)
    return f"did you mean {prefix}{near[0]}?" if near else otherwise


class DivergedError(CornerNetError):
    """A training loss became infinite or not a number."""

    exit_code = 3


class InterruptedRun(CornerNetError):
    """A signal ended the run after its state was saved. The exit code is 128 + the signal's number."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
