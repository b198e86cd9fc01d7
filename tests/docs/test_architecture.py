"""What pages say of the source: files and functions that they name exist, and the picture shows today's imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest
from blocks import PAGES, ROOT

LINK = re.compile(r"\]\((?:\.\./)?src/cornernet/([\w./-]+)\)(?:\s+`([\w.]+)`)?")


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_source_that_is_linked_exists(page):
    for file, name in LINK.findall(page.read_text(encoding="utf-8")):
        path = ROOT / "src/cornernet" / file
        assert path.is_file(), f"{page.name}: {file}"
        if name:
            assert name in names_in(path.read_text(encoding="utf-8")), f"{page.name}: {file} has no {name}"


def names_in(source: str) -> set[str]:
    """Functions and classes, and methods as ``Class.method``."""
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name: node for node in ast.parse(source).body if isinstance(node, defined)}
    methods = {f"{name}.{part.name}" for name, node in found.items() for part in node.body if isinstance(part, defined)}
    return found.keys() | methods


@pytest.mark.parametrize("page", ["architecture.md", "how.md"])
def test_files_that_are_named_exist(page):
    text = re.sub(r"^```.*?^```$", "", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.M | re.S)
    for file in re.findall(r"`((?:\w+/)*\w+\.py)`", text):
        assert "NAME" in file or (ROOT / file).is_file() or (ROOT / "src/cornernet" / file).is_file(), file


def test_the_picture_is_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "docs/draw_architecture.py", "--check"], check=False)
    assert done.returncode == 0, "docs/images/architecture.svg is not up to date: python docs/draw_architecture.py"
