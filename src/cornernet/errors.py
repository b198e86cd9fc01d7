"""The errors that users may see, each with its exit code of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CornerNetError(Exception):
    """A failure whose message is one line on the terminal."""

    exit_code = 1


class InputError(CornerNetError):
    """Something the user gave cannot be used: ``what`` is wrong, ``where`` (a file, field or flag), how to ``fix`` it.

    The line is "where: what; fix". Programs that need a part of it read the attribute.
    """

    exit_code = 2

    def __init__(self, what: str, where: object = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, str(where), fix

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        return f"{line}; {self.fix}" if self.fix else line

    def at(self, where: object) -> InputError:
        """The same error with another place, for a caller that knows it better: a file's name instead of "image"."""
        return InputError(self.what, where, self.fix)


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
