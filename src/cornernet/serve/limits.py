"""A server's limits, and the error of a request that it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cornernet.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Limits of a server: times in seconds, sizes in bytes and pixels.

    Up to ``batch_size`` images that arrive within ``batch_wait`` share a pass. At most ``queue`` requests are accepted
    at once, each with at most ``max_bytes`` of body and ``max_pixels`` of image. The body must arrive within
    ``timeout``, and the answer must be ready within ``timeout`` after that.
    """

    batch_size: int = 8
    batch_wait: float = 0.005
    queue: int = 64
    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    timeout: float = 30.0


class RequestError(Exception):
    """A request that gets no boxes: its HTTP status, headers of the answer, and the fields of an ``InputError``, which
    are sent as JSON."""

    def __init__(
        self, status: int, what: str, where: str = "", fix: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.error = status, InputError(what, where, fix)
        super().__init__(str(self.error))
        self.headers = headers
