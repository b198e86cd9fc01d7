"""Training samples for each second and core, cornernet and mmdetection's CornerNet pipeline side by side.

From JPEG files to crops of 511x511 with their boxes, by the published recipe on both sides: read, colour jitter, crop,
scale, flip. Same annotation file, same images, one thread; each measurement is a process of its own, the sides take
turns, round after round. Seconds are processor time, so other programs disturb little; still, close them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from peer import cpu_model, find_python, one_line_errors, positive, run, versions

from cornernet.data.coco import find_split, load_coco
from cornernet.errors import InputError
from cornernet.files import atomic_write_json

RECIPE = "cornernet_hourglass104_8xb6-210e-mstest_coco"
HERE = Path(__file__).parent
TITLES = {"own": "cornernet", "peer": "mmdetection"}
OWN_VERSIONS, PEER_VERSIONS = ("cv2", "PIL", "torch", "numpy"), ("cv2", "mmdet", "mmcv", "mmengine", "torch", "numpy")


def make_job(options: argparse.Namespace) -> dict[str, Any]:
    """The job of both workers; images without a box are left out, as in the peer."""
    annotations, images = find_split(options.data, options.split)
    dataset = load_coco(annotations, images, check_files=True)
    size = sorted(map(int, options.size.split("x")))
    chosen = [i.file_name for i in dataset.images if sorted((i.height, i.width)) == size and not i.crowd.all()]
    if not chosen:
        raise InputError(f"{annotations}: no image of {options.size} has a box; choose another --size or --split")
    return {
        "recipe": RECIPE,
        "annotations": str(annotations.resolve()),
        "folder": str(images.resolve()),
        "class_names": dataset.class_names,
        "file_names": chosen[: options.images],
        "passes": options.passes,
    }


def measure(job: dict[str, Any], peer_python: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Seconds for each sample and for its decoding, for every side and every pass over the images."""
    workers = {"own": (sys.executable, "feeding_worker.py"), "peer": (peer_python, "feeding_peer_worker.py")}
    found: dict[str, dict[str, list[float]]] = {side: {"sample": [], "decoding": []} for side in workers}
    for number in range(rounds):
        for side, (python, worker) in workers.items():
            print(f"round {number + 1} of {rounds}: {TITLES[side]}", file=sys.stderr, flush=True)
            answer = run([python, str(HERE / worker), json.dumps(job | {"round": number})], 1)
            for what, seconds in found[side].items():
                seconds += answer[what]
    return found


def conclude(found: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Medians and quartiles in ms, samples a second, the share of decoding, speed relative to the peer."""
    results = {}
    for side, seconds in found.items():
        low, middle, high = quantiles(seconds["sample"], n=4)
        results[side] = {
            "ms": 1000 * middle,
            "quarter_below_ms": 1000 * low,
            "quarter_above_ms": 1000 * high,
            "per_second": 1 / middle,
            "decoding_ms": 1000 * median(seconds["decoding"]),
            "decoding_share": median(seconds["decoding"]) / middle,
            "speed_relative_to_peer": median(found["peer"]["sample"]) / middle,
        }
    return results


def table(results: dict[str, dict[str, float]]) -> str:
    """The figures as Markdown."""
    lines = [
        "| training samples | samples/s and core | median, ms | half of them within | of it decoding | to the peer |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for side, r in results.items():
        middle_half = f"{r['quarter_below_ms']:.2f} - {r['quarter_above_ms']:.2f}"
        decoding = f"{r['decoding_ms']:.2f} ({r['decoding_share']:.0%})"
        relative = f"{r['speed_relative_to_peer']:.2f}x"
        lines.append(
            f"| {TITLES[side]} | {r['per_second']:.0f} | {r['ms']:.2f} | {middle_half} | {decoding} | {relative} |"
        )
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> None:
    """Measure, print, and write the JSON file if asked."""
    peer_python = find_python(options.peer_python, "mmdet 3.3.0")
    job = make_job(options)
    machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "system": platform.platform(), "threads": 1}
    machine["load_before"] = round(os.getloadavg()[0], 2)
    packages = {"cornernet": versions(sys.executable, OWN_VERSIONS), "peer": versions(peer_python, PEER_VERSIONS)}
    found = measure(job, peer_python, options.rounds)
    results = conclude(found)
    print(table(results))
    print(f"\n{machine['cpu']}, one thread on each side; load before: {machine['load_before']}")
    for name, chosen in packages.items():
        print(f"{name}: {', '.join(f'{package} {version}' for package, version in chosen.items())}")
    count = len(job["file_names"])
    print(f"{options.rounds} rounds of {options.passes} passes over {count} images of {options.size}")
    if options.out:
        report = {"machine": machine, "packages": packages, "rounds": options.rounds, "job": job}
        atomic_write_json(options.out, report | {"seconds": found, "results": results})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="python of an environment with mmdet 3.3.0")
    parser.add_argument("--data", required=True, help="a COCO folder: annotations/instances_{SPLIT}.json, {SPLIT}/")
    parser.add_argument("--split", default="val", help="train or val: whose images are read")
    parser.add_argument("--size", default="640x480", help="only images of this size in pixels, upright or across")
    parser.add_argument("--images", type=positive, default=100, help="at most so many of them")
    parser.add_argument("--passes", type=positive, default=20, help="timed passes over the images in each process")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    one_line_errors(compare, parser.parse_args())


if __name__ == "__main__":
    main()
