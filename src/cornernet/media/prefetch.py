"""Work done ahead of time by threads, in order: reading images while the network is busy with the last ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any


def ahead(
    function: Callable[[Any], Any], items: Iterable[Any], *, workers: int = 2, depth: int | None = None
) -> Iterator[Any]:
    """``function(item)`` of every item, in order, begun up to ``depth`` items before it is asked for.

    As many results wait in memory; the default is one more than there are ``workers``. An exception is raised where its
    result is due. Leaving the loop early stops what has not begun.
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
