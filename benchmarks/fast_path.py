"""Are the fused network's detections the plain one's? On a data set, one to one: scores 1e-4, boxes 0.05 pixel.

    python benchmarks/fast_path.py --weights WEIGHTS --data DIR --images 500

What one path alone detects is named with its margin: how near, in the plain network's probabilities and distances, its
pair lies to a cut that decides whether it is seen (a neighbour as strong as the peak, the weakest corner kept, the
largest embedding distance, the last pair and the last box kept). Rounding decides what lies within 1e-4 of a cut.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cornernet.data.coco import find_split, load_coco
from cornernet.data.images import read_image
from cornernet.detector import Detector, Explanation, load
from cornernet.network.cornernet import channels_last
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


def margin(detector: Detector, seen: Explanation, detections: Detections, index: int) -> float:
    """How near to a cut the pair of one detection lies, in the maps of ``detector`` (see above)."""
    pairs, settings = seen.candidates, detector.decoding
    of_class = pairs.labels == detections.labels[index]
    away = np.where(of_class, np.abs(pairs.boxes - detections.boxes[index]).max(1), np.inf)
    if not len(away) or away.min() > BOX:
        return float("nan")  # its pair is not among this path's candidates at all
    pair = int(away.argmin())
    margins = [
        abs(float(pairs.distances[pair]) - settings.max_distance),
        abs(float(pairs.scores[pair]) - float(pairs.scores[-1])) if len(pairs.scores) >= settings.num_candidates else 1,
        abs(float(detections.scores[index]) - float(detections.scores[-1])) if len(detections) >= 100 else 1,
        abs(float(detections.scores[index]) - 0.001),
    ]
    return min(margins)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--images", type=int, default=500, help="how many at most")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    stored = open_weights(options.weights)
    plain = Detector(channels_last(stored.build()), stored.class_names, stored.preprocessing, decoding=stored.decoding)
    fast = load(options.weights, device="cpu")
    records = load_coco(*find_split(options.data, options.split)).images[: options.images]
    total, scores, boxes, alone = 0, 0.0, 0.0, []
    for record in tqdm(records, unit="image", leave=False):
        image = read_image(record.path)
        a, b = plain.explain(image), fast.explain(image)
        more, fewer, score, box = unmatched(b.detections, a.detections)
        total, scores, boxes = total + len(a.detections), max(scores, score), max(boxes, box)
        for side, detector, seen, indices in (("fast", fast, b, more), ("plain", plain, a, fewer)):
            for i in indices:
                d = seen.detections
                alone.append(
                    {
                        "image": record.file_name,
                        "only": side,
                        "score": float(d.scores[i]),
                        "margin": margin(detector, seen, d, i),
                    }
                )
    figures = {"images": len(records), "detections": total, "largest score difference": scores}
    figures |= {"largest box difference": boxes, "without a partner": alone}
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
