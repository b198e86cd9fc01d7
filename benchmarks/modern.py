"""One row of docs/modern.md's tables again, by `cornernet train` with the row's flags.

    python benchmarks/modern.py adam --data DEEPPCB --out build/adam --seed 0
    python benchmarks/modern.py shapes --out build/shapes

Rows of DeepPCB train on 900 of its training images, six times each, and validate on the other hundred; its test images
are not used. Rows whose names begin with shapes draw 4,000 scenes and train on each once. AP is in
OUT/run/metrics.json and at the end of the output.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

HELD_BACK = 100

PCB = ["deeppcb-modern", "--epochs=6", "--validate_every=6", "--optimization.ema=0.995"]
EMBEDDING = [*PCB, "--model.pairing=embedding", "--decoding.max_distance=1.0"]
ADAM = [*EMBEDDING, "--optimization.optimizer=adam"]
MEAN = [*ADAM, "--decoding.pair_score=mean"]
CLASSIC_CROPS = [
    "--model.pool_window=null",
    "--preprocessing.pad_multiple=null",
    "--preprocessing.pad_mask=63",
    "--loss.supervision_radius=0",
    "--augmentation.crop_size=255",
    "--augmentation.at_objects=false",
]
WIDE = ["--augmentation.scales=[0.6,0.7,0.8,0.9,1.0,1.1,1.2,1.3]"]
CLASSIC = [*MEAN, *CLASSIC_CROPS, *WIDE]
NANO = [
    "--model.channels=[32,48,64,96]",
    "--model.blocks=[1,1,1,2]",
    *(f"--model.{part}_channels=32" for part in ("feature", "corner", "branch")),
]
PADDED = ["--augmentation.crop_size=321", "--preprocessing.pad_multiple=null", "--preprocessing.pad_mask=1"]
SHAPES_MODERN = ["shapes", "--epochs=1", "--optimization.ema=0.99", *PADDED]
SHAPES_MUON = [*SHAPES_MODERN, "--model.pairing=embedding", "--decoding.max_distance=1.0"]
SHAPES = [*SHAPES_MUON, "--optimization.optimizer=adam", "--loss.supervision_radius=0"]
PAPER = ["--batch_size=8", "--optimization.lr=0.0005", "--optimization.base_batch_size=8", "--optimization.ema=0"]

ROWS = {
    "classic": CLASSIC,
    "classic-harmonic": [*CLASSIC, "--decoding.pair_score=harmonic"],
    "classic-muon": [*CLASSIC, "--optimization.optimizer=muon"],
    "classic-size": [*CLASSIC, "--model.pairing=size", "--decoding.max_distance=0.6"],
    "classic-around": [*CLASSIC, "--loss.supervision_radius=1"],
    "classic-crops-at-objects": [*CLASSIC, "--augmentation.at_objects=true"],
    "classic-less-scaling": [*CLASSIC, "--augmentation.scales=[0.8,0.9,1.0,1.1,1.2]"],
    "modern": PCB,
    "modern-no-average": [*PCB, "--optimization.ema=0"],
    "modern-adam": [*PCB, "--optimization.optimizer=adam"],
    "modern-no-around": [*PCB, "--loss.supervision_radius=0"],
    "modern-crops-anywhere": [*PCB, "--augmentation.at_objects=false"],
    "modern-more-scaling": [*PCB, *WIDE],
    "modern-no-reach": [*PCB, "--model.pool_window=null"],
    "modern-no-penalty-reduction": [*PCB, "--loss.penalty_reduction=none"],
    "modern-no-pooling": [*PCB, "--model.corner_pooling=false"],
    "muon": EMBEDDING,
    "adam": ADAM,
    "adam-no-penalty-reduction": [*ADAM, "--loss.penalty_reduction=none"],
    "adam-no-mirroring": [*ADAM, "--augmentation.flip=0"],
    "mean": MEAN,
    "mean-no-reach": [*MEAN, "--model.pool_window=null"],
    "mean-no-around": [*MEAN, "--loss.supervision_radius=0"],
    "mean-crops-anywhere": [*MEAN, "--augmentation.at_objects=false"],
    "mean-more-scaling": [*MEAN, *WIDE],
    "mean-nano": [*MEAN, *NANO],
    "mean-bundled": [*MEAN, "--weights=shapes"],
    "shapes-classic": [*SHAPES, *PAPER, "--optimization.warmup_iterations=60", "--decoding.pair_score=mean"],
    "shapes-mean": [*SHAPES, "--decoding.pair_score=mean"],
    "shapes": SHAPES,
    "shapes-around": [*SHAPES, "--loss.supervision_radius=1"],
    "shapes-muon": SHAPES_MUON,
    "shapes-modern": SHAPES_MODERN,
    "shapes-modern-adam": [*SHAPES_MODERN, "--optimization.optimizer=adam"],
    "shapes-modern-no-around": [*SHAPES_MODERN, "--loss.supervision_radius=0"],
    "shapes-modern-no-penalty-reduction": [*SHAPES_MODERN, "--loss.penalty_reduction=none"],
    "shapes-modern-no-pooling": [*SHAPES_MODERN, "--model.corner_pooling=false"],
}


def hold_back(data: Path, folder: Path) -> None:
    """DeepPCB's training images as a data set of its own in ``folder``, a hundred of them as its ``val``."""
    labels = json.loads((data / "annotations" / "instances_train.json").read_text(encoding="utf-8"))
    order = list(range(len(labels["images"])))
    random.Random(0).shuffle(order)
    chosen = {labels["images"][place]["id"] for place in order[:HELD_BACK]}
    for split in ("train", "val"):
        images = [image for image in labels["images"] if (image["id"] in chosen) == (split == "val")]
        write_split(data, folder, split, labels, images)


def write_split(data: Path, folder: Path, split: str, labels: dict[str, Any], images: list[dict[str, Any]]) -> None:
    """Some of the images of ``data``'s train split, with their boxes, as a split of the data set in ``folder``."""
    inside = {image["id"] for image in images}
    boxes = [annotation for annotation in labels["annotations"] if annotation["image_id"] in inside]
    part = labels | {"images": images, "annotations": boxes}
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(part), encoding="utf-8")
    if not (folder / split).exists():
        (folder / split).symlink_to((data / "train").resolve(), target_is_directory=True)


def main() -> int:
    """Make the data and train; returns training's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--data", type=Path, help="DeepPCB's folder in COCO's layout, for rows of it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data and the run")
    parser.add_argument("--seed", type=int, default=0)
    arguments, flags = parser.parse_known_args()
    cornernet, data = [sys.executable, "-m", "cornernet"], arguments.out / "data"
    if arguments.row.startswith("shapes"):
        if not data.exists():
            subprocess.run([*cornernet, "data", "shapes", str(data), "--train", "4000"], check=True)
    elif arguments.data is None:
        parser.error(f"{arguments.row} is a row of DeepPCB: give --data")
    else:
        hold_back(arguments.data, data)
    words = ["--data", str(data), "--out", str(arguments.out / "run"), f"--seed={arguments.seed}", *flags]
    return subprocess.run([*cornernet, "train", *ROWS[arguments.row], *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
