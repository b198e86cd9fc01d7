"""The generated parts of recipes.md: written anew, or checked with --check."""

from __future__ import annotations

import sys
from pathlib import Path

from cornernet.recipes.fields import FieldGroup, field_groups
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
    return "".join(map(_table, field_groups())) + "\n"


def _table(group: FieldGroup) -> str:
    title = (group.name or "The recipe itself") + (f", {group.kind}" if group.kind else "")
    text = f"{_markdown(group.text)}\n\n" if group.text else ""
    explained = "|" if group.text else "| what |"
    rows = []
    for field in group.fields:
        choices = f" (of {', '.join(f'`{choice}`' for choice in field.choices)})" if field.choices else ""
        cells = [f"`{field.name}`", f"`{field.default}`{choices}"]
        cells += [] if group.text else [_markdown(field.text).replace("|", "\\|")]
        rows.append(f"| {' | '.join(cells)} |\n")
    rule = "|---|---|" if group.text else "|---|---|---|"
    return f"\n### {title}\n\n{text}| field | default {explained}\n{rule}\n{''.join(rows)}"


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")


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
