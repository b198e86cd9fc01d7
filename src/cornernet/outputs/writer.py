"""What all ways of writing results have in common, and text that waits on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cornernet.errors import InputError
from cornernet.inference.stream import Result

_WAITING = 4  # results at most that wait to be written, each with its image in memory


class Writer:
    """Takes one result after another; its files are there, whole, at the latest after ``finish``.

    Nothing of it grows in memory with the number of results. ``discard`` comes last, also where something failed. All
    raise ``InputError`` where a file cannot be written.
    """

    def add(self, result: Result) -> None:
        """Write one frame's part."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what stands in one file about all."""

    def discard(self) -> None:
        """Leave no half file behind."""


class WriteBehind:
    """All writers, in a thread of their own: they draw and write while the network is at the next images.

    A context: at its end everything is written, or, where something failed, no half file stays.
    """

    def __init__(self, writers: Sequence[Writer]) -> None:
        self.writers, self.pool = writers, ThreadPoolExecutor(1, thread_name_prefix="write")
        self.waiting: deque[Future[None]] = deque()

    def add(self, result: Result) -> None:
        """Have a result written; waits where too many do, and raises what went wrong with earlier ones."""
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
    """Text that becomes a part of the file ``target``: until then in a nameless file beside it, gone with us."""

    def __init__(self, target: Path) -> None:
        self.target = target
        with self._told():
            self.file = tempfile.TemporaryFile(dir=target.parent)  # noqa: SIM115 - lives as long as we do

    def add(self, text: str) -> None:
        """Append the text."""
        with self._told():
            # A file name may hold bytes that are no text; of them this makes what JSON takes for an escape.
            self.file.write(text.encode(errors="backslashreplace"))

    def pour(self, into: BinaryIO) -> None:
        """Write all of it to another file."""
        with self._told():
            self.file.seek(0)
            shutil.copyfileobj(self.file, into)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"cannot write {self.target}: {reason}; make room there, or write elsewhere") from error
