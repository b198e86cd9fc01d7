"""The timing of an image, the same for all detectors; it needs no torch."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2

from cornernet.media.images import read_image


def time_image(job: dict[str, Any], detect: Callable[[Any], object]) -> list[float]:
    """Seconds from the pixels of ``job``'s image to its boxes, several times; those of the warm-up come first."""
    pixels, seconds = read_image(Path(job["image"])), []
    if job["side"]:
        pixels = cv2.resize(pixels, (job["side"], job["side"]))
    for _ in range(job["warmup"] + job["iterations"]):
        start = time.perf_counter()
        detect(pixels)
        seconds.append(time.perf_counter() - start)
    return seconds


def answer(job: dict[str, Any], seconds: list[float], threads: int) -> dict[str, Any]:
    """The output of a worker: seconds without those of the warm-up, this process's peak memory, its threads."""
    return {
        "seconds": seconds[job["warmup"] :],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # Linux counts in KiB
        "threads": threads,
    }
