"""Detections for those who use supervision."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cornernet.errors import InputError
from cornernet.structures import Detections

FOUND = Detections([[0, 1, 2, 3], [4, 5, 6, 7]], [0.9, 0.5], [1, 0], ["cat", "dog 🐕"], (10, 10))
NONE = Detections(np.zeros((0, 4)), [], [], ["cat"], (10, 10))


def check(found, expected: Detections) -> None:
    np.testing.assert_array_equal(found.xyxy, expected.boxes)
    np.testing.assert_array_equal(found.confidence, expected.scores)
    np.testing.assert_array_equal(found.class_id, expected.labels)
    assert list(found.data["class_name"]) == [expected.class_names[label] for label in expected.labels]


def test_with_a_stand_in(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "supervision", SimpleNamespace(Detections=lambda **values: SimpleNamespace(**values))
    )
    check(FOUND.to_supervision(), FOUND)
    check(NONE.to_supervision(), NONE)


def test_with_supervision_itself():
    pytest.importorskip("supervision", reason="supervision is not installed")
    check(FOUND.to_supervision(), FOUND)
    assert FOUND.to_supervision()[0].data["class_name"][0] == "dog 🐕"
    check(NONE.to_supervision(), NONE)


def test_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        FOUND.to_supervision()
