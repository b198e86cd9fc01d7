"""The picture of architecture.md: which part of the package imports which, drawn from the source.

``python docs/draw_architecture.py`` draws it anew; with ``--check`` it only says whether the picture is up to date.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/cornernet"
PICTURE = ROOT / "docs/images/architecture.svg"
WHAT = {
    "cli": "finds the command and parses its arguments",
    "commands": "one file for each command: parse, call, report",
    "__init__": "what a user imports: load, train, evaluate, check",
    "batch": "prediction in parts on a Ray cluster",
    "tasks": "what one call of a user does: train, evaluate, check",
    "export": "ONNX, OpenVINO and PyTorch programs",
    "report": "the page about a training",
    "serve": "boxes over HTTP, and a page for images",
    "training": "trainer, recipes made for a data set, many GPUs",
    "outputs": "results as JSON, COCO, YOLO, CSV, pictures, videos",
    "doctor": "checks the machine and the inputs",
    "evaluation": "AP, kinds of error, oracles, cost",
    "explain": "why a box is there, or not",
    "inference": "the detector: image in, boxes out",
    "weights": "weights files: ours, OpenMMLab's, the authors'",
    "data": "label files in, training samples out",
    "drawing": "boxes, heatmaps and pairs on images",
    "tracking": "objects that stay the same over a video",
    "media": "pixels from files, videos, cameras, addresses",
    "model": "the method: network, pairing, targets, losses, decoding",
    "recipes": "the shipped recipes, and their reader",
    "typed": "plain values into typed settings",
    "config": "every field of recipes and weights files",
    "devices": "cpu, cuda, mps: the one in use",
    "files": "writes a file whole or not at all",
    "telemetry": "switched off before packages load",
    "waiting": "OpenMP's threads beside other programs",
    "hardware": "usable cores and memory",
    "structures": "result types: Detections, Candidates",
    "later": "what results offer from upper floors",
    "errors": "the errors, and their exit codes",
}
HEAVY = {"torch": "torch", "lightning": "lightning", "cv2": "OpenCV"}
ROW, CELL, TOP, MATRIX = 24, 17, 92, 452  # pixels; MATRIX is the left edge of the first column
INK, PALE, BLUE, GREY = "#1f2933", "#eef3f8", "#0b63c5", "#7b8794"


def read_floors() -> list[list[str]]:
    """The floors of tests/test_floors.py, highest first; without ``__main__``, which only calls ``cli``."""
    tree = ast.parse((ROOT / "tests/test_floors.py").read_text(encoding="utf-8"))
    assigned = {ast.unparse(node.targets[0]): node.value for node in tree.body if isinstance(node, ast.Assign)}
    return [sorted(names) for names in reversed(ast.literal_eval(assigned["FLOORS"])) if names != {"__main__"}]


def find_imports(floors: list[list[str]]) -> dict[tuple[str, str], bool]:
    """(importer, imported) for parts and heavy packages, and whether some file imports it as soon as it is loaded."""
    parts = {part for floor in floors for part in floor}
    found: dict[tuple[str, str], bool] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        for name, at_once in _imports(ast.parse(path.read_text(encoding="utf-8")), True):
            first, _, rest = name.partition(".")
            target = rest.split(".")[0] if first == "cornernet" else first
            if own in parts and target != own and (target in HEAVY if first != "cornernet" else target in parts):
                found[own, target] = found.get((own, target), False) or at_once
    return found


def _imports(node: ast.AST, at_once: bool) -> Iterator[tuple[str, bool]]:
    """Whole names of imported modules; also those that ``import_module(f"cornernet.PART...")`` asks for."""
    for child in ast.iter_child_nodes(node):
        now = at_once and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            now = False
        if isinstance(child, ast.Import):
            yield from ((alias.name, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from ((f"{child.module}.{alias.name}", at_once) for alias in child.names)
        elif isinstance(child, ast.JoinedStr) and ast.unparse(child).startswith("f'cornernet."):
            yield ast.unparse(child)[2:-1], False
        yield from _imports(child, now)


def draw() -> str:
    """The picture as SVG: a row for each part, floors as bands, a dot where a part imports another."""
    floors = read_floors()
    parts = [part for floor in floors for part in floor]
    columns = [*parts, *HEAVY]
    left = {name: MATRIX + CELL * i + (14 if name in HEAVY else 0) for i, name in enumerate(columns)}
    width, bottom = left[columns[-1]] + CELL + 30, TOP + ROW * len(parts)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 34}" width="{width}"'
        f' font-family="Helvetica, Arial, DejaVu Sans, sans-serif" font-size="12.5" fill="{INK}">',
        f'<rect width="{width}" height="{bottom + 34}" fill="#ffffff"/>',
    ]
    y = TOP
    for number, floor in enumerate(floors):
        height = ROW * len(floor)
        if number % 2 == 0:
            lines.append(f'<rect x="0" y="{y}" width="{width}" height="{height}" fill="{PALE}"/>')
            column = f'x="{left[floor[0]]}" y="{TOP}" width="{CELL * len(floor)}" height="{bottom - TOP}"'
            lines.append(f'<rect {column} fill="{BLUE}" fill-opacity="0.05"/>')
        lines.append(_text(10, y + height / 2 + 4, len(floors) - number, f'font-size="11" fill="{GREY}"'))
        y += height
    lines.append(_text(10, TOP - 8, "floor", f'font-size="11" fill="{GREY}"'))
    for name in columns:
        style = f'font-size="11.5" fill="{GREY if name in HEAVY else INK}"'
        turned = f'transform="translate({left[name] + CELL / 2 + 3:g},{TOP - 8}) rotate(-60)"'
        lines.append(f"<text {turned} {style}>{HEAVY.get(name, name)}</text>")
    found = find_imports(floors)
    for i, own in enumerate(parts):
        y = TOP + ROW * i + ROW / 2
        lines += [_text(34, y + 4, own, 'font-weight="bold"'), _text(118, y + 4, WHAT[own], 'font-size="12"')]
        lines.append(_itself(left[own] + CELL / 2, y))
        for other in columns:
            if (own, other) in found:
                color = GREY if other in HEAVY else BLUE
                lines.append(_dot(left[other] + CELL / 2, y, color, found[own, other]))
    y = bottom + 18
    lines += [_dot(40, y, BLUE, True), _text(50, y + 4, "the row imports the column")]
    lines += [_dot(252, y, BLUE, False), _text(262, y + 4, "only inside a function, or for types")]
    lines += [_itself(514, y), _text(526, y + 4, "the part itself: every dot is right of it, on a lower floor")]
    return "\n".join([*lines, "</svg>", ""])


def _text(x: float, y: float, text: object, style: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(str(text))}</text>'


def _dot(x: float, y: float, color: str, filled: bool) -> str:
    fill = color if filled else "#ffffff"
    return f'<circle cx="{x:g}" cy="{y:g}" r="4.5" fill="{fill}" stroke="{color}" stroke-width="1.4"/>'


def _itself(x: float, y: float) -> str:
    return f'<rect x="{x - 5:g}" y="{y - 5:g}" width="10" height="10" rx="2" fill="#b8c4d0"/>'


def main() -> int:
    """Write the picture; with ``--check`` only say whether it is up to date."""
    fresh = draw()
    if "--check" in sys.argv:
        return 0 if PICTURE.is_file() and PICTURE.read_text(encoding="utf-8") == fresh else 1
    PICTURE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
