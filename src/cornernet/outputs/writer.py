"""The interface of all writers, a thread that runs them, and text that waits on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from cornernet.files import write_errors
from cornernet.inference.stream import Result

_WAITING = 4  # at most so many results wait to be written, each with its image in memory


class Writer:
    """Writes one result after another; its files are complete after ``finish``.

    Its memory does not grow with the number of results. ``discard`` is called last, also after a failure. All methods
    raise ``InputError`` if a file cannot be written.
    """

    def add(self, result: Result) -> None:
        """Write what is about one frame."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is about all results."""

    def discard(self) -> None:
        """Remove incomplete files."""


class WriteBehind:
    """Runs all writers in one thread: they draw and write while the network works on the next images.

    A context manager: at its end everything is written, or, after a failure, incomplete files are removed.
    """

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers, self.pool = writers, ThreadPoolExecutor(1, thread_name_prefix="write")
        self.waiting: deque[Future[None]] = deque()

    def add(self, result: Result) -> None:
        """Queue a result. Waits while too many are queued; raises the error of an earlier one."""
        self.waiting.append(self.pool.submit(self._write, result))
        while len(self.waiting) > _WAITING or (self.waiting and self.waiting[0].done()):
            self.waiting.popleft().result()

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            while self.waiting and not failed:
                self.waiting.popleft().result()
            for writer in () if failed else self.writers:
                writer.finish()
        finally:
            self.pool.shutdown(cancel_futures=True)
            for writer in self.writers:
                writer.discard()

    def _write(self, result: Result) -> None:
        for writer in self.writers:
            writer.add(result)


class Scratch:
    """Text that later becomes a part of the file ``target``; until then it is in an unnamed file beside it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        with write_errors(target):
            self.file = tempfile.TemporaryFile(dir=target.parent)  # noqa: SIM115 - the object keeps it open

    def add(self, text: str) -> None:
        with write_errors(self.target):
            # A file name may have bytes that are not UTF-8; this writes them as escapes, which JSON can read.
            self.file.write(text.encode(errors="backslashreplace"))

    def pour(self, into: BinaryIO) -> None:
        """Write all of it to another file."""
        with write_errors(self.target):
            self.file.seek(0)
            shutil.copyfileobj(self.file, into)
