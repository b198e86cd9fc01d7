"""What Ray costs for each image, at several sizes of parts: the time in which a detector waits for its next part.

``python benchmarks/ray_overhead.py`` detects in copies of one drawn scene, made so small that the network is quick,
with one detector on a cluster of this machine. Between the end of a part and the beginning of the next one there are
Ray and the writing of a file: the median of these gaps is shared by the images of a part. Sizes take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2

from cornernet.batch.choosing import choose_detector
from cornernet.batch.job import Job, run_job
from cornernet.batch.listing import plan_items
from cornernet.batch.manifest import find_done
from cornernet.data.shapes import draw_scene


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--part-sizes", default="1,10,100")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    choice, detector = choose_detector("shapes", max_size=64)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "images")
        folder.mkdir()
        scene = cv2.imencode(".jpg", draw_scene(0).image)[1].tobytes()
        for i in range(args.images):
            (folder / f"{i:05d}.jpg").write_bytes(scene)
        for number in range(args.rounds):
            for size in map(int, args.part_sizes.split(",")):
                job = Job(f"{name}/{number}-{size}", {}, choice, detector.class_names, size, workers=1)
                print(json.dumps({"part_size": size} | measure(job, folder)), flush=True)


def measure(job: Job, folder: Path) -> dict[str, Any]:
    """Milliseconds between parts, also for each image, beside those of detection; seconds until the first part."""
    times: list[float] = []
    start = time.monotonic()
    _, manifest = run_job(
        job,
        None,
        lambda: plan_items([str(folder)], job.part_size),
        tell=print,
        progress=lambda done, total: times.append(time.monotonic()),
    )
    parts = sorted(find_done(job.out, manifest.parts).values(), key=lambda part: part["began"])
    gaps = [then["began"] - now["began"] - now["seconds"] for now, then in pairwise(parts)]
    gap = statistics.median(gaps)
    busy = statistics.median(part["seconds"] for part in parts)
    return {
        "ms_between_parts": round(1000 * gap, 1),
        "ms_between_parts_per_image": round(1000 * gap / job.part_size, 2),
        "ms_of_detection_per_image": round(1000 * busy / job.part_size, 1),
        "seconds_to_first_part": round(times[1] - start, 1),
    }


if __name__ == "__main__":
    main()
