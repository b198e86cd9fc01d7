"""Code blocks of the pages, and the statements in them."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

from cornernet import cli
from cornernet.commands.arguments import parse_arguments
from cornernet.config import Recipe
from cornernet.errors import InputError
from cornernet.recipes.fields import field_groups
from cornernet.recipes.load import load_recipe, override
from cornernet.weights.zoo import find_release

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_MARK = r"(?:^<!-- parsed only: (?P<reason>[^\n]+) -->\n)?"
FENCED = re.compile(_MARK + r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
_INDENTED = re.compile(r"(?<=\n\n)(?:    .+\n)+")
_SPAN = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A block of code; ``reason`` says why it is not run."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def is_shell(self) -> bool:
        return self.language in ("", "sh", "bash")

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Statement:
    """One program with its words; ``out`` is the file that its output goes to, ``piped`` what comes before the pipe."""

    words: tuple[str, ...]
    out: str | None = None
    piped: Statement | None = None

    @property
    def command(self) -> list[str] | None:
        """The words after ``cornernet``, however it is started; ``None`` for another program."""
        if Path(self.words[0]).name == "cornernet":
            return list(self.words[1:])
        module = self.words.index("-m") if self.words[0] == "torchrun" and "-m" in self.words else None
        return None if module is None else list(self.words[module + 2 :])


def find_blocks(page: Path) -> list[Block]:
    """Every fenced block of a page, and the indented ones, which are shell."""
    text = page.read_text(encoding="utf-8")
    blocks = [_block(page, text, found, **found.groupdict()) for found in FENCED.finditer(text)]
    without = FENCED.sub(lambda found: re.sub(r".+", "", found[0]), text)
    indented = [_block(page, without, found, "", found[0], None) for found in _INDENTED.finditer(without)]
    return sorted(blocks + indented, key=lambda block: block.line)


def _block(page: Path, text: str, found: re.Match[str], language: str, code: str, reason: str | None) -> Block:
    return Block(page, text.count("\n", 0, found.start()) + 1, language, code, reason)


def find_spans(page: Path) -> list[str]:
    """Code within the page's sentences and tables."""
    return [found[1] for found in _SPAN.finditer(FENCED.sub("", page.read_text(encoding="utf-8")))]


def statements(code: str) -> list[Statement]:
    """The statements of a shell block, without comments."""
    found: list[Statement] = []
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        before = None
        for joint, tokens in groupby(lexer, lambda token: token in ("|", "&&", ";")):
            words = list(tokens)
            if joint:
                before = found.pop() if words == ["|"] else None
            else:
                found.append(_statement(words, before))
    return found


def _statement(words: list[str], piped: Statement | None) -> Statement:
    while re.match(r"[A-Z_]+=", words[0]):  # a variable for this one program
        words = words[1:]
    if ">" in words:
        return Statement(tuple(words[: words.index(">")]), words[words.index(">") + 1], piped)
    return Statement(tuple(words), None, piped)


def parse(words: list[str]) -> None:
    """The real parser on a command's words, which reads no data; names of recipes and releases must be known."""
    words = [cli._underscored(word) for word in words if word != "--debug"]
    name = next((name for name in (" ".join(words[:2]), words[0]) if name in cli.COMMANDS), None)
    assert name, f"cornernet {' '.join(words[:2])}: no such command"
    values = parse_arguments(cli.find_command(name), name, words[len(name.split()) :]) or {}
    recipe = values.get({"train": "recipe_name", "benchmark": "name"}.get(name, ""))
    flags = values.get("recipe_flags", {})
    is_shipped = recipe and not recipe.isupper() and not recipe.endswith(".yaml")
    try:
        load_recipe(recipe, flags) if is_shipped else override(Recipe(), flags)
    except InputError as error:
        if "has no effect" not in str(error):  # the log tells of recipes that have changed since
            raise
    begun_with = flags.get("weights")
    for release in [values.get("weights"), begun_with, *values.get("names", ())]:
        assert not str(release).startswith("cornernet_") or find_release(str(release)), f"{release}: no such release"


@cache
def options(name: str) -> set[str]:
    """The options of a command, with underscores: parameters, and a recipe's fields."""
    found = {"help", "debug", *inspect.signature(cli.find_command(name)).parameters}
    return found | recipe_fields() if "recipe_flags" in found else found


def recipe_fields() -> set[str]:
    """The dotted names of a recipe's fields."""
    return {field.name for group in field_groups() for field in group.fields}
