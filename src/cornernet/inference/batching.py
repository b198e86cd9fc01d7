"""What can share a pass, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def group_neighbours(items: Iterable[Item], size: int, key: Callable[[Item], Any]) -> Iterator[list[Item]]:
    """Neighbours with the same ``key``, in order, in lists of at most ``size``."""
    batch: list[Item] = []
    for item in items:
        if batch and (len(batch) == size or key(item) != key(batch[0])):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
