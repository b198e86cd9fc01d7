"""AP of weights on drawn scenes for several limits of the embedding distance: how well corners of one object agree."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from cornernet import load
from cornernet.data.coco import find_split, load_coco
from cornernet.data.shapes import write_shapes
from cornernet.evaluation.predict import evaluate_dataset


def main() -> None:
    """The command line: WEIGHTS [--scenes N] [--seed S] [--distances D ...]."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1, help="not the seed whose scenes are reported on")
    parser.add_argument("--distances", type=float, nargs="+", default=[0.3, 0.5, 0.75, 1.0, 1.5])
    options = parser.parse_args()
    detector = load(options.weights)
    with tempfile.TemporaryDirectory() as scratch:
        write_shapes(Path(scratch) / "scenes", 0, options.scenes, options.seed)
        dataset = load_coco(*find_split(Path(scratch) / "scenes", "val"))
        print("| largest distance | AP | APs | APm | APl | AR100 |\n|--:|--:|--:|--:|--:|--:|")
        for distance in options.distances:
            detector.decoding = replace(detector.decoding, max_distance=distance)
            figures = evaluate_dataset(detector, dataset)[0].figures
            columns = " | ".join(f"{figures[name]:.3f}" for name in ("AP", "APs", "APm", "APl", "AR100"))
            print(f"| {distance:g} | {columns} |", flush=True)


if __name__ == "__main__":
    main()
