"""Of the benchmark beside busy programs: which rounds count."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="pip install 'cornernet[export]' brings it")
pytest.importorskip("onnxscript", reason="pip install 'cornernet[export]' brings it")
SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "busy.py"))
median_cells, table = SCRIPT["median_cells"], SCRIPT["table"]


def rounds(*cells: tuple[float, float]) -> list[list[dict[str, float]]]:
    return [[{"ms": ms, "foreign": foreign}] * 3 for ms, foreign in cells]


def test_rounds_in_which_something_else_ran_do_not_count():
    assert median_cells(rounds((10, 0.0), (900, 0.5), (30, 0.05))) == [20.0] * 3
    assert median_cells(rounds((900, 0.9), (300, 0.5))) == [300.0] * 3  # there is no other
    assert "| ours | 20 | 20 | 20 |" in table({"training": {"ours": rounds((20, 0.0))}})
