"""What is printed of a data set before it is used."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cornernet.data.dataset import CocoDataset


def report_dataset(dataset: CocoDataset, shown: int = 10) -> None:
    """Print the data set; on standard error its notes, and what was left out or clipped, the first problems in full."""
    print(dataset)
    report_notes(dataset)
    for problem in dataset.problems[:shown]:
        print(f"warning: {problem}", file=sys.stderr)
    if dataset.problems:
        images, boxes = dataset.skipped_images, dataset.skipped
        counts = f"{images} images and {boxes} boxes left out" if images else f"{boxes} boxes left out"
        outcomes = Counter(problem.outcome for problem in dataset.problems)
        counts += f", {outcomes['clipped']} clipped" + (f", {outcomes['fixed']} put right" * bool(outcomes["fixed"]))
        hint = "cornernet data check lists them all, --strict refuses them"
        print(f"warning: {dataset.name}: {counts}; {hint}", file=sys.stderr)


def report_notes(dataset: CocoDataset) -> None:
    """Print, on standard error, the remarks about a data set."""
    for note in dataset.notes:
        print(f"note: {dataset.name}: {note}", file=sys.stderr)
