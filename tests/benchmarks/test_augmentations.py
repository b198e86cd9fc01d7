"""The rows of the augmentation table: each is fields of the recipe, and the table reads what a training writes."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from cornernet.cli import main

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)
SCRIPT = runpy.run_path(f"{BENCHMARKS}/augmentations.py")
sys.path.remove(BENCHMARKS)  # it has names of tests' folders


@pytest.mark.parametrize("row", SCRIPT["ROWS"])
def test_every_row_is_a_recipe(row, capsys):
    assert main(["train", "photos", *SCRIPT["ROWS"][row], "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert ("mosaic: 0.5" in printed) == (row == "mosaic")
    assert ("quarter_turns: 0.75" in printed) == ("turned" in row)


def test_the_table_reads_the_figures_of_the_runs(tmp_path, capsys):
    for seed, ap in enumerate((0.25, 0.35)):
        run = SCRIPT["run_folder"](tmp_path, "shapes", "mosaic", seed)
        run.mkdir(parents=True)
        (run / "metrics.json").write_text(json.dumps({"figures": {"AP": ap}}))
    SCRIPT["write_table"](tmp_path, {"shapes": "lite0"}, 3)
    assert json.loads((tmp_path / "augmentations.json").read_text())["shapes"]["mosaic"] == [0.25, 0.35]
    assert "| mosaic | **0.300** (0.250 0.350) |" in capsys.readouterr().out
