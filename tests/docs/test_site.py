"""The site that ``make docs`` builds: whole, linked, from this host alone, and up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import cornernet

pytest.importorskip("mkdocs", reason="the site needs mkdocs: pip install 'cornernet[docs]'")
pytest.importorskip("mkdocstrings", reason="the site needs mkdocstrings: pip install 'cornernet[docs]'")

ROOT = Path(__file__).parents[2]
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|<link\b[^>]*\bhref=[\"']?(?:https?:)?//", re.I
)
STYLE_LOADS = re.compile(r"url\(\s*[\"']?(?:https?:)?//|@import", re.I)
SCRIPT_LOADS = re.compile(r"\b(?:import|fetch|importScripts)\s*\(\s*[\"'](?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "docs"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_in_the_menu(site):
    start = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in start or page.stem == "index", page.name


def test_nothing_is_loaded_from_another_host(site):
    for kind, pattern in (("html", LOADED), ("css", STYLE_LOADS), ("js", SCRIPT_LOADS)):
        for path in site.rglob(f"*.{kind}"):
            found = pattern.search(path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(site)}: {found and found[0]}"


def test_what_the_package_offers_is_described(site):
    described = re.findall(r'id="([\w.]+)"', (site / "api.html").read_text())
    last = {name.rsplit(".", 1)[-1] for name in described}
    assert set(cornernet.__all__) <= last


def test_recipes_are_described_as_they_are():
    done = subprocess.run([sys.executable, ROOT / "docs/recipes_page.py", "--check"], check=False)
    assert done.returncode == 0, "docs/recipes.md is not up to date: python docs/recipes_page.py"
