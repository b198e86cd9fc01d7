"""The rows of docs/modern.md: their flags are a recipe's, and what they validate on was not trained on."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from cornernet.cli import main
from cornernet.data.find import find_data, load_split
from small import write_data

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "modern.py"))
ROWS = SCRIPT["ROWS"]


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_a_recipe(row, capsys):
    assert main(["train", *ROWS[row], "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert ("optimizer: muon" in printed) == ("muon" in row or ("modern" in row and "adam" not in row))
    assert ("pairing: size" in printed) == ("modern" in row or "size" in row)


def test_a_hundred_training_images_are_held_back(tmp_path):
    data = write_data(tmp_path / "pcb", train=104, val=1, size=32)
    for _ in range(2):  # a second time, into what is there
        SCRIPT["hold_back"](data, tmp_path / "row")
        train, val = (load_split(find_data(tmp_path / "row"), split) for split in ("train", "val"))
        assert (len(train.images), len(val.images)) == (4, 100)
        assert not {image.id for image in train.images} & {image.id for image in val.images}
        assert sum(len(image.boxes) for image in train.images) == 8
