"""The curve of one or more runs from their log.jsonl: loss and validation AP against steps. Needs matplotlib."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def main() -> None:
    """The command line: LOG... --out PICTURE."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, left = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    right = left.twinx()
    for number, path in enumerate(options.logs):
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        training = [e for e in entries if e["kind"] == "train"]
        smooth, value = [], training[0]["loss"]
        for entry in training:
            value += 0.1 * (entry["loss"] - value)
            smooth.append(value)
        color = f"C{number}"
        left.plot([e["step"] for e in training], smooth, color=color, lw=1.2, alpha=0.7, label=f"{path.stem}: loss")
        points = [(e["step"], e["AP"]) for e in entries if e["kind"] == "validation"]
        right.plot(*zip(*points, strict=True), "o--", color=color, ms=5, lw=1, label=f"{path.stem}: AP")
    left.set(xlabel="step", ylabel="loss (smoothed)", ylim=(0, None))
    right.set(ylabel="validation AP", ylim=(0, 1))
    left.legend(loc="upper left", frameon=False)
    right.legend(loc="upper right", frameon=False)
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
