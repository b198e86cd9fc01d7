"""What README and pages tell a reader to type: parsed by the real parser, and run wherever that is cheap."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from blocks import (
    FENCED,
    PAGES,
    ROOT,
    Block,
    Statement,
    find_blocks,
    find_spans,
    options,
    parse,
    recipe_fields,
    statements,
)

from cornernet.cli import COMMANDS, _underscored, main
from cornernet.data.shapes import draw_scene, write_shapes
from cornernet.weights import BUNDLED
from small import write_recipe

# Shell blocks of these are parsed only: they train, fetch and measure; the other pages run the same commands.
PARSED_ONLY = ("README.md", "benchmarks.md", "log.md")
OTHERS_OPTIONS = ("from-mmdetection.md", "from-princeton.md")  # tables with the options of other programs
NOT_OURS = {"--logdir", "--node_rank"}  # of TensorBoard and torchrun, with underscores

BLOCKS = [block for page in PAGES for block in find_blocks(page)]
SHELL = [pytest.param(block, id=str(block)) for block in BLOCKS if block.is_shell]
RUN = [
    pytest.param(block, id=str(block))
    for block in BLOCKS
    if not block.reason and (block.language == "python" or (block.is_shell and block.page.name not in PARSED_ONLY))
]


def image(seed: int, width: int, height: int) -> np.ndarray:
    return np.tile(draw_scene(seed).image, (2, 2, 1))[:height, :width, ::-1]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Everything that the pages name, small."""
    folder = tmp_path_factory.mktemp("files")
    write_shapes(folder / "DIR", 4, 2)
    write_shapes(folder / "scenes", 0, 2)
    run = folder / "runs" / "mine"
    for place in (folder / "photos", run):
        place.mkdir(parents=True)
    for name in ("photo.jpg", "street.jpg", "photos/a.jpg", "photos/b.jpg"):
        cv2.imwrite(str(folder / name), image(len(name), 160, 120))
    cv2.imwrite(str(folder / "large.png"), image(1, 400, 280))
    film = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 64))
    for seed in range(2):
        film.write(image(seed, 64, 64))
    film.release()
    shutil.copyfile(BUNDLED["shapes"], run / "best.safetensors")
    entry = {"kind": "train", "epoch": 0, "step": 2, "lr": 1e-3, "loss": 3, "heatmap": 2, "offset": 1, "pull": 0.1}
    (run / "log.jsonl").write_text(json.dumps(entry | {"push": 0.2}) + "\n")
    write_recipe(folder).rename(folder / "mine.yaml")
    return folder


@pytest.fixture(scope="module")
def places(files, tmp_path_factory) -> dict[Path, Path]:
    """A copy of the files for each page, whose blocks build on each other."""
    return {page: shutil.copytree(files, tmp_path_factory.mktemp(page.stem) / "work") for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_no_block_is_overlooked(page):
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^\s*```", text, re.M)) == 2 * len(FENCED.findall(text))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_python_can_be_read(block: Block):
    compile(block.code, str(block), "exec")


@pytest.mark.parametrize("block", SHELL)
def test_every_line_is_understood(block: Block, capsys):
    found = statements(block.code)
    assert found
    for statement in found:
        if statement.command is None:
            check_program(statement)
        else:
            parse(statement.command)


def check_program(statement: Statement) -> None:
    """What another program is asked for is there: a target, a script, an extra."""
    program, *words = statement.words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{word}:", makefile, re.M) for word in words)
    elif program in ("python", ".venv/bin/python"):
        assert (ROOT / words[0]).is_file()
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\[(\w+)\]", " ".join(words))) <= extras.keys()
    else:
        assert program in ("git", "cd", "cat", "curl"), f"{program}: is it meant?"


@pytest.mark.parametrize("block", RUN)
def test_it_runs(block: Block, places, monkeypatch, capsys):
    monkeypatch.chdir(places[block.page])
    monkeypatch.setenv("CORNERNET_CACHE", str(places[block.page] / "cache"))
    if block.language == "python":
        exec(compile(block.code, str(block), "exec", dont_inherit=True), {"__name__": "page"})
        return
    for statement in statements(block.code):
        if statement.command is not None:
            run(statement, monkeypatch)


def run(statement: Statement, monkeypatch: pytest.MonkeyPatch) -> None:
    words = statement.command or []
    if words[:2] == ["data", "shapes"]:
        shutil.rmtree(words[2], ignore_errors=True)  # it wants to make it
    if statement.piped:
        assert statement.piped.words[0] == "cat"
        content = Path(statement.piped.words[1]).read_bytes()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    if statement.out:
        with Path(statement.out).open("w") as file, contextlib.redirect_stdout(file):
            code = main(words)
    else:
        code = main(words)
    assert code == 0, " ".join(statement.words)


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_fields_in_sentences_exist(page):
    fields = recipe_fields()
    for span in find_spans(page):
        if re.fullmatch(r"(model|preprocessing|decoding|augmentation|loss|optimization)\.\w+", span):
            assert span in fields, f"{page.name}: {span}"


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_options_in_sentences_exist(page):
    for span in find_spans(page):
        words = [_underscored(word) for word in span.split()]
        if words[0] == "cornernet" and words[1] not in ("COMMAND", "--help"):
            commands = [name for name in COMMANDS if words[1:][: len(name.split())] == name.split()]
            assert commands, f"{span}: no such command"
        elif words[0].startswith("--") and page.name not in OTHERS_OPTIONS:
            commands = list(COMMANDS)
        else:
            continue
        known = set().union(*(options(name) for name in commands))
        for word in words:
            option = word.partition("=")[0]
            assert not option.startswith("--") or option[2:] in known or option in NOT_OURS, f"{option} in {span}"
