"""The timing of both sides of ``yolo.py``; it imports neither of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np


def time_in_turns(job: dict[str, Any], detectors: dict[str, Callable[[Any], object]]) -> dict[str, list[float]]:
    """Seconds of each detector, from the pixels of an image to its boxes; detectors take turns, image by image.

    A detector's name ends in the side of the square that it gets. The first pass over the images is a warm-up.
    """
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    photographs = [cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB) for path in job["images"]]
    for number in range(1 + job["iterations"]):
        for photograph in photographs:
            for name, detect in detectors.items():
                side = int(name.split()[-1])
                pixels = np.ascontiguousarray(cv2.resize(photograph, (side, side)))
                start = time.perf_counter()
                detect(pixels)
                if number:
                    seconds[name].append(time.perf_counter() - start)
    return seconds
