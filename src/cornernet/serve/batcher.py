"""One thread runs the detector; images that wait for it share a pass through the network."""

from __future__ import annotations

import asyncio
import queue
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from cornernet.inference.api import BaseDetector
from cornernet.media.images import Pixels
from cornernet.serve.metrics import ServerMetrics
from cornernet.structures import Detections, Explanation

_MEMORY = 0.8  # share of the old value in the running mean of seconds for each image


@dataclass
class _Job:
    image: Pixels
    explain: bool
    future: Future[Any] = field(default_factory=Future)


class Batcher:
    """Takes images from any number of coroutines, detects in batches, and returns each image's detections.

    A batch has up to ``size`` images that arrive within ``wait`` seconds after the first; images of one padded size
    share a pass. An explanation has a pass of its own.
    """

    def __init__(self, detector: BaseDetector, *, size: int, wait: float, metrics: ServerMetrics) -> None:
        self.detector, self.size, self.wait, self.metrics = detector, size, wait, metrics
        self.seconds_per_image = 0.0  # a running mean over batches
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._work, name="detector", daemon=True)
        self._thread.start()

    async def detect(self, image: Pixels) -> Detections:
        """Detections in an image (H, W, 3). Raises whatever the detector raises."""
        return await self._ask(image, explain=False)

    async def explain(self, image: Pixels) -> Explanation:
        """The explanation of an image (H, W, 3). Raises whatever the detector raises."""
        return await self._ask(image, explain=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Finish the waiting jobs and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    async def _ask(self, image: Pixels, explain: bool) -> Any:
        job = _Job(image, explain)
        self._jobs.put(job)
        return await asyncio.wrap_future(job.future)  # a cancelled coroutine cancels the job, if it has not begun

    def _work(self) -> None:
        while batch := self._gather():
            wanted = [job for job in batch if job.future.set_running_or_notify_cancel()]
            for job in wanted:
                if job.explain:
                    self._answer([job])
            groups: defaultdict[Hashable, list[_Job]] = defaultdict(list)
            for job in wanted:
                if not job.explain:
                    groups[self.detector.pass_key(job.image)].append(job)
            for group in groups.values():
                self._answer(group)

    def _gather(self) -> list[_Job]:
        """The next batch of jobs: all that arrive in time, at most ``size``; empty after ``close``."""
        batch: list[_Job] = []
        job, end = self._jobs.get(), time.monotonic() + self.wait
        while job is not None:
            batch.append(job)
            if len(batch) == self.size:
                return batch
            try:
                job = self._jobs.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return batch
        self._jobs.put(None)  # the end came in the middle of a batch: it must come again after it
        return batch

    def _answer(self, jobs: Sequence[_Job]) -> None:
        """Run one pass and give each job its result or the error."""
        start = time.perf_counter()
        try:
            if jobs[0].explain:
                results = [self.detector.explain(jobs[0].image)]
            else:
                results = list(self.detector.stream([job.image for job in jobs], len(jobs)))
        except Exception as error:  # no error ends the thread
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:  # memory may be enough for each alone
                self._answer([job])
            return
        seconds = time.perf_counter() - start
        self.metrics.images.inc(len(jobs))
        self.metrics.batch.observe(len(jobs))
        self.metrics.passes.observe(seconds)
        each = seconds / len(jobs)
        self.seconds_per_image = _MEMORY * (self.seconds_per_image or each) + (1 - _MEMORY) * each
        for job, result in zip(jobs, results, strict=True):
            job.future.set_result(result)
