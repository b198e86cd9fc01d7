"""One measurement of an exported file, in a process of its own and without torch; started by ``peer.py``.

Prints one JSON line: seconds of every timed image from its pixels to its boxes, peak memory.
"""

from __future__ import annotations

import json
import sys

import cv2
from images import answer, time_image

from cornernet.inference.exported import load_exported


def main() -> None:
    """Run the job in the first argument; its variant is the file."""
    job = json.loads(sys.argv[1])
    cv2.setNumThreads(job["threads"])
    detector = load_exported(job["variant"], device="cpu", threads=job["threads"])
    print(json.dumps(answer(job, time_image(job, detector), job["threads"])))


if __name__ == "__main__":
    main()
