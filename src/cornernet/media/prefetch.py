"""Threads that work ahead, in order: they read images while the network is busy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any


def ahead(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    workers: int = 2,
    depth: int | None = None,
    stop: Callable[[], object] | None = None,
) -> Iterator[Any]:
    """``function(item)`` of every item, in order; calls begin up to ``depth`` items before their result is needed.

    At most ``depth`` results wait in memory; the default is ``workers`` + 1. An exception is raised in place of its
    result. If the caller leaves the loop early, calls that have not begun are cancelled, and ``stop`` is called, which
    ends those that wait.
    """
    source = iter(items)
    first = islice(source, depth or workers + 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead") as pool:
        waiting: deque[Future[Any]] = deque(pool.submit(function, item) for item in first)
        try:
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, item) for item in islice(source, 1))
                yield result
        finally:
            for future in waiting:
                future.cancel()
            if stop:
                stop()
