"""A detector that every process of a job opens alike, and how it is used there."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cornernet.errors import InputError
from cornernet.tasks.detectors import Arithmetic, TestTime, open_detector

if TYPE_CHECKING:
    from cornernet.inference.api import BaseDetector
    from cornernet.inference.stream import Result
    from cornernet.media.sources import Frame

_WINDOW = 8  # batches among which images of one padded size are looked for


@dataclass(frozen=True)
class DetectorChoice:
    """A detector that every machine of a cluster opens alike.

    ``files`` are those of the weights, the first is the one to open; ``device`` is cpu, cuda or another name.
    ``threshold`` and ``labels`` (``None`` for all) choose what is written. ``threads`` compute in one actor.
    """

    files: tuple[tuple[str, bytes], ...]
    device: str
    tta: TestTime = "none"
    precision: Arithmetic = "fp32"
    max_size: int | None = None
    tile: str | None = None
    threshold: float = 0.0
    labels: frozenset[int] | None = None
    batch_size: int = 1
    threads: int = 1
    version: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    def with_labels(self, labels: Collection[int] | None) -> DetectorChoice:
        """The same detector, of which only these classes are written."""
        return replace(self, labels=None if labels is None else frozenset(labels))

    def on(self, device: str, threads: int, settings: tuple[tuple[str, str], ...] = ()) -> DetectorChoice:
        """The same detector on a device, with so many threads and environment variables of a store."""
        return replace(self, device=device, threads=threads, settings=settings)

    def open(self) -> BaseDetector:
        """The detector, in this process, which then computes with ``threads``.

        Raises ``InputError`` if this machine has another version of the program.
        """
        if (there := version("cornernet")) != self.version:
            what = f"cornernet {there} is installed there, {self.version} here"
            raise InputError(what, f"machine {os.uname().nodename}", "install one version on every machine")
        for name, value in self.settings:
            os.environ.setdefault(name, value)
        limit_threads(self.threads)
        with tempfile.TemporaryDirectory(prefix="cornernet-") as folder:
            for name, content in self.files:
                Path(folder, name).write_bytes(content)
            weights = os.path.join(folder, self.files[0][0])
            return open_detector(
                weights, self.device, self.tta, self.precision, self.max_size, self.tile, threads=self.threads
            )


def limit_threads(threads: int) -> None:
    """Let everything that computes in this process use so many threads."""
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def detect_by_size(
    detector: BaseDetector,
    frames: Iterable[Frame],
    batch_size: int,
    *,
    threshold: float,
    classes: Collection[int] | None,
) -> Iterator[tuple[Frame, Result | InputError]]:
    """Each frame with its result, in order, as `inference.stream.detect` gives it.

    Frames of one padded size share a pass, also if others lie between them: they are looked for among the next few
    batches. With a ``batch_size`` of 1 each frame has its own pass.
    """
    from cornernet.inference.stream import detect

    source = iter(frames)
    while window := list(islice(source, batch_size * _WINDOW if batch_size > 1 else 1)):
        groups: dict[Any, list[int]] = defaultdict(list)
        for i, frame in enumerate(window):
            groups[None if isinstance(frame.pixels, InputError) else detector.pass_key(frame.pixels)].append(i)
        results: dict[int, Result | InputError] = {}
        for numbers in groups.values():
            chosen = (window[i] for i in numbers)
            found = detect(detector, chosen, batch_size=batch_size, threshold=threshold, classes=classes)
            results |= dict(zip(numbers, found, strict=True))
        yield from ((frame, results[i]) for i, frame in enumerate(window))
