"""The campaign of faults: it would notice each kind of fault, and its hostile files would do what they say."""

from __future__ import annotations

import pickle
import random
import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "faults"


@pytest.fixture(scope="module")
def scripts():
    """The names of ``inputs.py``, ``good_inputs.py`` and ``kills.py``, which import each other."""
    sys.path.insert(0, str(FOLDER))
    try:
        return {
            name: runpy.run_path(str(FOLDER / f"{name}.py")) for name in ("inputs", "good_inputs", "kills", "mutations")
        }
    finally:
        sys.path.remove(str(FOLDER))
        for name in ("mutations", "good_inputs"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG" + bytes(200), b'{"a": [1, {"b": null}], "c": "x"}', b"0 0.5 0.5 1 1\n"]
)
def test_the_same_seed_damages_alike(scripts, content):
    mutate = scripts["mutations"]["mutate"]
    damaged = [mutate(content, random.Random(seed)) for seed in range(200)]
    assert damaged == [mutate(content, random.Random(seed)) for seed in range(200)]
    assert sum(each != content for each in damaged) > 150
    assert len(set(damaged)) > 100


GOOD = {"code": 0, "errors": "", "said": "", "seconds": 0.1}


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (GOOD, None),
        (GOOD | {"code": 2, "errors": "cornernet: a.png: damaged\n"}, None),
        (GOOD | {"code": 2, "said": "3 problems"}, None),
        (GOOD | {"code": 2}, "refused without a reason"),
        (GOOD | {"code": 1, "errors": "cornernet: internal error"}, "exit code 1"),
        (GOOD | {"code": "Traceback (most recent call last):\nKeyError: 'a'"}, "traceback: KeyError: 'a'"),
        (GOOD | {"errors": "Traceback (most recent call last):\nKeyError: 'a'"}, "traceback: KeyError: 'a'"),
        (GOOD | {"seconds": 61.0}, "took 61.0 s"),
        ({"died": "signal 11"}, "signal 11"),
    ],
)
def test_faults_are_noticed(scripts, tmp_path, answer, fault):
    assert scripts["inputs"]["fault_of"](answer, 60, tmp_path / "out", tmp_path / "canary") == fault


def test_files_that_are_left_and_code_that_ran_are_noticed(scripts, tmp_path):
    fault_of, canary = scripts["inputs"]["fault_of"], tmp_path / "other" / "canary"
    (tmp_path / "scratch" / "out").mkdir(parents=True)
    (tmp_path / "scratch" / "out" / ".a.json.tmp").touch()
    assert fault_of(GOOD, 60, tmp_path / "scratch" / "out", canary) == "left .a.json.tmp"
    canary.parent.mkdir()
    first, *_ = scripts["good_inputs"]["payloads"](canary)
    pickle.loads(first)  # what a reader without limits does
    assert canary.exists()
    assert fault_of(GOOD, 60, tmp_path / "scratch" / "out", canary) == "code of the file ran"


def test_half_written_files_are_noticed(scripts, tmp_path):
    is_same, files_of = scripts["kills"]["is_same"], scripts["kills"]["files_of"]
    good = bytes(range(256)) * 40
    assert is_same(good, good)
    assert is_same(good[:100] + b"2026-11-29" + good[110:], good)  # a time in it
    assert not is_same(good[:-1000], good)
    assert not is_same(good[:-1000] + bytes(1000), good)
    assert not is_same(good, None)
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "b.txt").write_bytes(b"x")
    (tmp_path / "out" / ".part").write_bytes(b"x")
    assert files_of(tmp_path / "out") == {"out/a/b.txt": b"x"}
    assert files_of(tmp_path / "absent") == {}
