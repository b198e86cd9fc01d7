"""One measurement of an exported file, in a process of its own and without torch; started by ``peer.py``.

Prints one JSON line: seconds of every timed image from its pixels to its boxes, peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import cv2

from cornernet.data.images import read_image
from cornernet.runtime.detector import load_exported


def main() -> None:
    """Do the job given as the first argument, whose variant is the file."""
    job = json.loads(sys.argv[1])
    cv2.setNumThreads(job["threads"])
    detector = load_exported(job["variant"], device="cpu", threads=job["threads"])
    pixels, seconds = read_image(Path(job["image"])), []
    if job["side"]:
        pixels = cv2.resize(pixels, (job["side"], job["side"]))
    for _ in range(job["warmup"] + job["iterations"]):
        start = time.perf_counter()
        detector(pixels)
        seconds.append(time.perf_counter() - start)
    answer = {
        "seconds": seconds[job["warmup"] :],
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,  # Linux counts in KiB
        "threads": job["threads"],
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
