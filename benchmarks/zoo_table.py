"""The README's model-zoo table from the list of releases and the recipes: written, or checked with --check."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cornernet.evaluation.cost import count_cost
from cornernet.recipes.load import load_recipe
from cornernet.weights.zoo import MIRROR, RELEASES

ROOT = Path(__file__).parents[1]
README, MEASURED = ROOT / "README.md", ROOT / "docs/runs"
BEGIN, END = "<!-- zoo table: python benchmarks/zoo_table.py -->\n", "<!-- end -->\n"
HEAD = """\
| recipe | GPUs x images | parameters (M) | GFLOP | train memory (GB) | inference (fps) | box AP | files |
|---|---|--:|--:|--:|--:|--:|---|
"""


def table() -> str:
    """The table in Markdown; parameters and GFLOP (one image of 511x511) counted here, the rest published."""
    rows = []
    for release in RELEASES:
        cost = count_cost(load_recipe(release.name).model, 80)
        base = f"{MIRROR}/{release.folder}"
        recipe = f"[{release.alias}](src/cornernet/recipes/{release.name}.yaml)"
        files = f"[weights]({base}/{release.file}), [log]({base}/{release.log})"
        cells = [recipe, release.setting, f"{cost.parameters:.1f}", f"{cost.gflops:.0f}"]
        cells += [f"{release.memory:g}", f"{release.fps:g}", f"{release.ap:g}", files]
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEAD + "".join(rows)


def measured() -> str:
    """A line for every ``zoo-*.json`` that ``cornernet benchmark NAME --out docs/runs/zoo-MACHINE.json`` wrote."""
    lines = []
    for path in sorted(MEASURED.glob("zoo-*.json")):
        row = json.loads(path.read_text(encoding="utf-8"))["measured"]
        figures = [f"{key} {row[key]}" for key in row if key not in ("name", "machine", "date")]
        lines.append(f"- measured, {row['machine']}, {row['date']}: {'; '.join(figures)}\n")
    return "\n" + "".join(lines) if lines else ""


def main() -> int:
    """Write the table into the README; with ``--check`` only say whether it is up to date."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = before + BEGIN + table() + measured() + END + after
    if "--check" in sys.argv:
        return 0 if fresh == text else 1
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
