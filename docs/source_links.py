"""Pages link to the source as ``../src/cornernet/FILE.py``: the site holds a copy of each file for these links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

SOURCE = Path(__file__).parents[1] / "src/cornernet"


def on_files(files: Any, config: Any) -> Any:
    """Add every file of the package to the site, as text, so that a browser shows it."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = f"source/{path.relative_to(SOURCE).as_posix()}.txt"
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to the source to these copies."""
    pieces = markdown.split("](../src/cornernet/")
    return pieces[0] + "".join("](source/" + piece.replace(".py)", ".py.txt)", 1) for piece in pieces[1:])
