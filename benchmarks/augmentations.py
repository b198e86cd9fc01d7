"""Which augmentations a small data set should have: AP with and without each, on three data sets, with three seeds.

    python benchmarks/augmentations.py --photos PHOTOS --deeppcb DEEPPCB --scenes scenes.safetensors --out build/aug

150 images to learn from, each seen ten times, size `nano`, the fields of recipe `photos`. The data sets: buses, trucks
and trains as one class (begun with --scenes, weights that have seen drawn scenes only; the bundled weights have learnt
from these photographs), DeepPCB (begun with the bundled `photos`), and drawn scenes (begun with an ImageNet trunk). All
of them validate on images that no reported figure uses. OUT/augmentations.json has every AP, of the last weights; runs
that are there already are not trained again. With --part 0/2 and 1/2 two processes share the runs.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import mean

from modern import write_split

from cornernet.files import atomic_write_json

TRAIN, VAL, EPOCHS = 150, 150, 10
ROWS = {
    "as it is": (),
    "turned and mirrored upside down": ("--augmentation.vertical_flip=0.5", "--augmentation.quarter_turns=0.75"),
    "mosaic": ("--augmentation.mosaic=0.5",),
    "copy-paste": ("--augmentation.copy_paste=0.5",),
}


def main() -> None:
    """Make the data, train what is missing, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="COCO photographs: annotations, train and val")
    parser.add_argument("--deeppcb", type=Path, required=True, help="DeepPCB in COCO's layout")
    parser.add_argument("--scenes", required=True, help="weights that learnt from drawn scenes only")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", default="0/1", help="which share of the runs to train, such as 1/2")
    given = parser.parse_args()
    part, parts = (int(word) for word in given.part.split("/"))
    begun_with = {"vehicle": given.scenes, "deeppcb": "photos", "shapes": "lite0"}
    make_data(given)
    jobs = [(data, row, seed) for seed in range(given.seeds) for data in begun_with for row in ROWS]
    for data, row, seed in jobs[part::parts]:
        run = run_folder(given.out, data, row, seed)
        if not (run / "metrics.json").is_file():
            print(f"{data}, {row}, seed {seed}", flush=True)
            train(given.out / data, begun_with[data], run, row, seed)
    write_table(given.out, begun_with, given.seeds)


def make_data(given: argparse.Namespace) -> None:
    """The three data sets in OUT, where they are not there yet."""
    here, cornernet = Path(__file__).parent, [sys.executable, "-m", "cornernet"]
    if not (given.out / "vehicle").exists():
        words = [str(given.photos), str(given.out / "vehicle"), "bus", "truck", "train"]
        subprocess.run([sys.executable, str(here / "one_class.py"), *words, f"--images={TRAIN}"], check=True)
    if not (given.out / "deeppcb").exists():
        hold_back(given.deeppcb, given.out / "deeppcb")
    if not (given.out / "shapes").exists():
        words = ["data", "shapes", str(given.out / "shapes"), f"--train={TRAIN}", f"--val={VAL}", "--seed=9"]
        subprocess.run([*cornernet, *words], check=True)


def hold_back(data: Path, folder: Path) -> None:
    """150 of DeepPCB's training images to learn from and 150 others to validate on; its test images are not used."""
    labels = json.loads((data / "annotations" / "instances_train.json").read_text(encoding="utf-8"))
    order = labels["images"].copy()
    random.Random(0).shuffle(order)
    write_split(data, folder, "train", labels, order[:TRAIN])
    write_split(data, folder, "val", labels, order[TRAIN : TRAIN + VAL])


def run_folder(out: Path, data: str, row: str, seed: int) -> Path:
    return out / "runs" / f"{data}-{row.replace(' ', '-')}-{seed}"


def train(data: Path, weights: str, run: Path, row: str, seed: int) -> None:
    """One training by the recipe `photos`, without worker processes."""
    words = [
        *("photos", "--data", str(data), "--weights", weights, "--out", str(run), "--no-report"),
        *(f"--seed={seed}", f"--epochs={EPOCHS}", f"--validate_every={EPOCHS}", "--workers=0"),
        *("--optimization.warmup_iterations=50", "--optimization.ema=0.99"),
    ]
    subprocess.run([sys.executable, "-m", "cornernet", "train", *words, *ROWS[row]], check=True, stdout=sys.stderr)


def write_table(out: Path, data_sets: dict[str, str], seeds: int) -> None:
    """OUT/augmentations.json and a Markdown table, of the runs that are there."""
    found: dict[str, dict[str, list[float]]] = {data: {row: [] for row in ROWS} for data in data_sets}
    for data, row in ((data, row) for data in data_sets for row in ROWS):
        for seed in range(seeds):
            metrics = run_folder(out, data, row, seed) / "metrics.json"
            if metrics.is_file():
                found[data][row].append(json.loads(metrics.read_text(encoding="utf-8"))["figures"]["AP"])
    atomic_write_json(out / "augmentations.json", found)
    print(f"| | {' | '.join(data_sets)} |\n|---|{'--:|' * len(data_sets)}")
    for row in ROWS:
        cells = [" ".join(f"{ap:.3f}" for ap in found[data][row]) for data in data_sets]
        means = [
            f"**{mean(found[data][row]):.3f}** ({cell})" if cell else ""
            for data, cell in zip(found, cells, strict=True)
        ]
        print(f"| {row} | {' | '.join(means)} |")


if __name__ == "__main__":
    main()
