"""Compares the fused network's detections with the plain one's on a data set: scores 1e-4, boxes 0.05 pixel.

    python benchmarks/fast_path.py --weights WEIGHTS --data DIR --images 500
    python benchmarks/fast_path.py --weights WEIGHTS --data DIR --exported FILE.onnx

With ``--exported`` a file replaces the fused network. Prints what only one of them detects, with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

import cornernet
from cornernet.data.coco import find_split, load_coco
from cornernet.files import atomic_write_json
from cornernet.inference.detector import Detector
from cornernet.media.images import read_image
from cornernet.model.cornernet import channels_last
from cornernet.structures import Detections
from cornernet.weights.zoo import open_weights

SCORE, BOX = 1e-4, 0.05


def unmatched(found: Detections, expected: Detections) -> tuple[list[int], list[int], float, float]:
    """Indices of each side that have no partner on the other, and the partners' largest score and box difference."""
    same = found.labels[:, None] == expected.labels
    scores = np.abs(found.scores[:, None] - expected.scores)
    boxes = np.abs(found.boxes[:, None] - expected.boxes).max(2, initial=0)
    free, alone, worst = set(range(len(expected))), [], (0.0, 0.0)
    for i in range(len(found)):
        fits = [j for j in free if same[i, j] and scores[i, j] < SCORE and boxes[i, j] < BOX]
        if fits:
            j = min(fits, key=lambda j: boxes[i, j])
            free.remove(j)
            worst = max(worst[0], float(scores[i, j])), max(worst[1], float(boxes[i, j]))
        else:
            alone.append(i)
    return alone, sorted(free), *worst


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=500, help="how many at most")
    parser.add_argument("--exported", help="file made of these weights, .onnx or .xml")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    stored = open_weights(options.weights)
    plain = Detector(channels_last(stored.build()), stored.class_names, stored.preprocessing, decoding=stored.decoding)
    fast = cornernet.load(options.exported or options.weights, device="cpu")
    records = load_coco(*find_split(options.data, options.split)).images[: options.images]
    total, scores, boxes, alone = 0, 0.0, 0.0, []
    for record in tqdm(records, unit="image", leave=False):
        image = read_image(record.path)
        expected, found = plain(image), fast(image)
        more, fewer, score, box = unmatched(found, expected)
        total, scores, boxes = total + len(expected), max(scores, score), max(boxes, box)
        for side, detections, indices in (("fast", found, more), ("plain", expected, fewer)):
            for i in indices:
                alone.append({"image": record.file_name, "only": side, "score": float(detections.scores[i])})
    figures = {"images": len(records), "detections": total, "largest score difference": scores}
    figures |= {"largest box difference": boxes, "without a partner": alone}
    print(json.dumps(figures, indent=1))
    if options.out:
        atomic_write_json(options.out, figures)
    sys.exit(1 if alone else 0)


if __name__ == "__main__":
    main()
