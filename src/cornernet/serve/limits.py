"""What a server allows, and how it says no."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a server: times in seconds, sizes in bytes and pixels.

    Up to ``batch_size`` images that came within ``batch_wait`` share a pass. ``queue`` requests are inside at once,
    each with at most ``max_bytes`` of body and ``max_pixels`` of image. ``timeout`` is for the body to come, and again
    for the answer.
    """

    batch_size: int = 8
    batch_wait: float = 0.005
    queue: int = 64
    max_bytes: int = 20_000_000
    max_pixels: int = 50_000_000
    timeout: float = 30.0


class RequestError(Exception):
    """A request that gets no boxes: HTTP status, and one line that says why and what to do."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
