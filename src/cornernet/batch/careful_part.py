"""A part whose images end the process that reads them: each is read in a process of its own that may die.

The process gets the part on standard input, and says on standard output which image it begins, and what it found.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, NamedTuple

from cornernet.batch.detector_choice import DetectorChoice, detect_by_size
from cornernet.batch.listing import PlannedItem
from cornernet.batch.samples import encoded_images, frames_of
from cornernet.errors import InputError, command_line_words
from cornernet.structures import Detections

_COMMAND = (sys.executable, "-c", "from cornernet.batch.careful_part import run_child; run_child()")


class FoundImage(NamedTuple):
    """An image's name, its number in a file of several, and its detections or its error."""

    name: str
    picture: int | None
    found: Detections | InputError


def detect_carefully(
    choice: DetectorChoice,
    items: Sequence[PlannedItem],
    base: str,
    column: str | None,
    from_command: bool,
    command: Sequence[str] = _COMMAND,
) -> Iterator[FoundImage]:
    """Every image of a part, as usual; one at which the process ends has an error that says so.

    Raises ``InputError`` if the process ends before its first image, and what it raises itself.
    """
    done = 0  # images that are behind us, each with all its pictures
    while True:
        begun: str | None = None
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                pickle.dump((choice, items, base, column, from_command, done), child.stdin)
                child.stdin.close()
            except BrokenPipeError:
                pass
            try:
                while True:
                    kind, value = pickle.load(child.stdout)
                    if kind == "begin":
                        begun = value
                    elif kind == "found":
                        yield value
                    elif kind == "end":
                        begun, done = None, done + 1
                    elif kind == "error":
                        raise value
                    else:
                        return
            except (EOFError, pickle.UnpicklingError):
                pass
            finally:
                child.kill()
        if begun is None:
            raise InputError("a process ended before its first image", f"exit code {child.returncode}")
        what = f"the process that read it ended (exit code {child.returncode})"
        yield FoundImage(begun, None, InputError(what, begun, "convert it, or leave it out"))
        done += 1


def run_child() -> None:
    """The process of `detect_carefully`."""
    choice: DetectorChoice
    choice, items, base, column, from_command, done = pickle.load(sys.stdin.buffer)
    output = sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries print is no answer

    def say(kind: str, value: Any = None) -> None:
        pickle.dump((kind, value), output)
        output.flush()

    try:
        detector = choice.open()
        with command_line_words() if from_command else nullcontext():
            for image in islice(encoded_images(items, base, column), done, None):
                say("begin", image.name)
                found = detect_by_size(detector, frames_of(image), 1, threshold=choice.threshold, classes=choice.labels)
                for frame, result in found:
                    detections = result if isinstance(result, InputError) else result.detections
                    say("found", FoundImage(frame.source, frame.index, detections))
                say("end")
        say("all")
    except Exception as error:
        say("error", error)
