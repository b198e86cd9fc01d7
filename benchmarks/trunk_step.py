"""Images a second of training steps on noise, for every named size and what of its trunk is frozen.

    python benchmarks/trunk_step.py --threads 1 --sizes nano small hourglass-small

Batch 2, images of 320x320, the median of ``--steps`` steps.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from typing import get_args

import torch

from cornernet.config import SIZES, Augmentation, Freeze, Optimization, Recipe, SizeConfig
from cornernet.training.timing import step_on_noise


def images_per_second(recipe: Recipe, classes: int, steps: int) -> float:
    step = step_on_noise(recipe, classes, recipe.batch_size, torch.device("cpu"))
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        step().item()
        times.append(time.perf_counter() - start)
    return recipe.batch_size / statistics.median(times[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--classes", type=int, default=1)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["nano", "small", "base", "hourglass-small"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    levels = get_args(Freeze)
    print(f"| size | precision | {' | '.join(levels)} |\n|---|---|{'--:|' * len(levels)}")
    for size in given.sizes:
        for precision in ("32-true", "bf16-mixed"):
            cells = []
            for level in levels:
                recipe = Recipe(
                    model=replace(SIZES[size], pairing=SizeConfig()),
                    augmentation=Augmentation(crop_size=320),
                    optimization=Optimization("muon", lr=1e-4, base_batch_size=2, backbone_lr=0.1),
                    batch_size=2,
                    precision=precision,
                    weights="any",  # nothing is read here: steps on noise take as long
                    freeze=level,
                )
                cells.append(f"{images_per_second(recipe, given.classes, given.steps):.1f}")
            print(f"| `{size}` | {precision} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
