"""The generated parts of recipes.md: written anew, or checked with --check."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse_from_object

from cornernet.config import Recipe
from cornernet.recipes.load import RECIPE_FOLDER, recipe_names

PAGE = Path(__file__).parent / "recipes.md"
BEGIN, END = "<!-- {}: python docs/recipes_page.py -->\n", "<!-- end -->\n"


def recipe_sections() -> str:
    """A section for each shipped recipe: what its file's first lines say, then the file."""
    sections = []
    for name in recipe_names():
        lines = (RECIPE_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        head = next(number for number, line in enumerate(lines) if not line.startswith("#"))
        said = " ".join(line.removeprefix("#").strip() for line in lines[:head])
        body = "\n".join(line.rstrip() for line in lines[head:])
        sections.append(f"\n### {name}\n\n{said}\n\n```yaml\n{body}\n```\n")
    return "".join(sections) + "\n"


def field_tables() -> str:
    """A table of the recipe's own fields, and one for each group below it."""
    return "".join(_tables(Recipe, "")) + "\n"


def _tables(kind: type, prefix: str) -> Iterator[str]:
    texts = {text.arg_name: text.description or "" for text in parse_from_object(kind).params}
    hints = get_type_hints(kind)
    groups = [field.name for field in fields(kind) if is_dataclass(hints[field.name])]
    yield f"\n### {prefix.rstrip('.') or 'The recipe itself'}\n\n"
    if prefix and not texts:  # the class says it all in one text
        yield f"{_markdown(inspect.getdoc(kind))}\n\n"
    explained = "| what |" if texts else "|"
    yield f"| field | default {explained}\n|---|---{'|---' if texts else ''}|\n"
    for field in fields(kind):
        if field.name not in groups:
            cells = [f"`{prefix}{field.name}`", f"`{_default(field)}`{_choices(hints[field.name])}"]
            cells += [_markdown(texts.get(field.name)).replace("|", "\\|")] if texts else []
            yield f"| {' | '.join(cells)} |\n"
    for name in groups:
        yield from _tables(hints[name], f"{prefix}{name}.")


def _default(field: Field[Any]) -> str:
    """The default as YAML has it."""
    value = field.default_factory() if field.default_factory is not MISSING else field.default
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def _choices(hint: Any) -> str:
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    return f" (of {', '.join(f'`{choice}`' for choice in choices)})" if choices else ""


def _markdown(text: str | None) -> str:
    return " ".join((text or "").split()).replace("``", "`")


def main() -> int:
    """Write the page's generated parts; with ``--check`` only say whether they are up to date."""
    old = fresh = PAGE.read_text(encoding="utf-8")
    for part, text in {"recipes": recipe_sections(), "fields": field_tables()}.items():
        begin = BEGIN.format(part)
        before, _, rest = fresh.partition(begin)
        _, _, after = rest.partition(END)
        fresh = before + begin + text + END + after
    if "--check" in sys.argv:
        return 0 if fresh == old else 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
