"""The notebook runs from top to bottom, in an empty folder, and its outputs are of no error."""

from __future__ import annotations

import ast
import json
from typing import Any

from blocks import ROOT

NOTEBOOK = json.loads((ROOT / "docs/quickstart.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, as a notebook shows it, or ``None``."""
    parsed = ast.parse(source)
    last = parsed.body.pop() if isinstance(parsed.body[-1], ast.Expr) else None
    exec(compile(parsed, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    shown = [run("".join(cell["source"]), names) for cell in CODE]
    pictures = [value._repr_html_() for value in shown if hasattr(value, "_repr_html_")]
    assert len(pictures) == 1
    assert "<img" in pictures[0]
    assert {"found.jpg", "stars-and-rings.json", "run", "scenes"} <= {path.name for path in tmp_path.iterdir()}
    assert names["metrics"].figures["AP"] > 0.5


def test_what_it_shows_is_from_a_run_without_errors():
    for cell in CODE:
        assert not [output for output in cell["outputs"] if output["output_type"] == "error"]
    assert any("text/html" in output.get("data", {}) for cell in CODE for output in cell["outputs"])
