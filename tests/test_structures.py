"""Detections: chosen, drawn, saved, shown in a notebook, and in the types of supervision and pandas."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import cornernet
from cornernet.data.shapes import draw_scene
from cornernet.errors import InputError
from cornernet.structures import Detection, Detections

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


def test_with_a_package_that_does_not_load(monkeypatch, tmp_path):
    (tmp_path / "supervision.py").write_text("import not_there_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "supervision", raising=False)
    with pytest.raises(InputError, match=r"supervision cannot be loaded \(No module named 'not_there_at_all'\)"):
        FOUND.to_supervision()


def test_without_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        FOUND.to_supervision()


def test_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"^pandas is not installed; pip install pandas$"):
        FOUND.to_pandas()


def test_with_pandas_itself():
    pytest.importorskip("pandas", reason="pandas is not installed")
    table = FOUND.to_pandas()
    assert list(table.columns) == ["x1", "y1", "x2", "y2", "score", "label", "class"]
    assert table["class"].tolist() == ["dog 🐕", "cat"]
    assert table.loc[0, ["x1", "y1", "x2", "y2"]].tolist() == [0, 1, 2, 3]
    assert len(NONE.to_pandas()) == 0


THREE = Detections(
    [[0, 0, 4, 4], [1, 1, 6, 6], [2, 2, 8, 8]], [0.9, 0.6, 0.3], [1, 0, 1], ["cat", "<dog>", "cow"], (10, 20)
)


def scores(found: Detections) -> list[float]:
    return [round(float(score), 3) for score in found.scores]


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (slice(1), [0.9]),
        (slice(None, None, 2), [0.9, 0.3]),
        (np.array([True, False, True]), [0.9, 0.3]),
        ([False, False, True], [0.3]),
        ([2, 0], [0.9, 0.3]),
        (np.array([-1]), [0.3]),
        ([], []),
    ],
)
def test_they_are_indexed_like_an_array(index, kept):
    chosen = THREE[index]
    assert scores(chosen) == kept
    assert chosen.class_names == THREE.class_names


def test_one_of_them_and_all_of_them():
    first = THREE[0]
    assert isinstance(first, Detection)
    assert (first.score, first.label, first.class_name) == (pytest.approx(0.9), 1, "<dog>")
    assert [found.class_name for found in THREE] == ["<dog>", "cat", "<dog>"]
    assert list(THREE)[2].box.tolist() == THREE[-1].box.tolist() == [2, 2, 8, 8]
    for index in (3, [3], np.array([True, False])):
        with pytest.raises(IndexError):
            THREE[index]


def test_those_of_a_class_and_above_a_score():
    assert scores(THREE.of("<dog>")) == [0.9, 0.3]
    assert scores(THREE.of("cat", "<dog>")) == [0.9, 0.6, 0.3]
    assert scores(THREE.of("cow")) == scores(THREE.of()) == []
    assert scores(THREE.of("<dog>").above(0.5)) == [0.9]
    assert scores(THREE.of(1)) == scores(THREE.of(np.int64(1))) == [0.9, 0.3]
    with pytest.raises(InputError, match=r"^cot: no such class; did you mean c(at|ow)\?$"):
        THREE.of("cot")
    with pytest.raises(InputError, match=r"give them one by one: of\(\*names\)"):
        THREE.of(["cat", "cow"])
    for given in (3, -1, None, True, 0.5):
        with pytest.raises(InputError, match="no such class"):
            THREE.of(given)


@pytest.mark.parametrize("index", ["<dog>", 0.5, None, ..., True, [0.5], (0, slice(None)), np.array([[0, 1]])])
def test_what_is_no_index_is_told(index):
    with pytest.raises(TypeError, match="indexed by a number, a slice, a mask or a list of numbers"):
        THREE[index]


def test_they_are_told_in_a_line():
    assert repr(THREE) == "Detections(2 <dog>, 1 cat; image of 20x10 pixels)"
    assert repr(NONE) == "Detections(nothing; image of 10x10 pixels)"


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return draw_scene(3).image


@pytest.fixture(scope="module")
def detector():
    return cornernet.load("shapes")


def test_a_detector_gives_them_their_image(detector, scene, tmp_path):
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), scene[..., ::-1])
    found = detector(scene).above(0.3)
    drawn = found.draw()
    assert drawn.shape == scene.shape
    assert not np.array_equal(drawn, scene)
    assert found.image is scene
    assert [each.image for each in detector([path, str(path)])] == [path, str(path)]
    assert np.array_equal(detector(path).above(0.3).draw(), drawn)
    assert all(each.image is None for each in detector.stream([path]))


def test_an_image_is_asked_for_where_it_is_unknown():
    with pytest.raises(InputError, match="image: these detections do not know their image; give it"):
        THREE.draw()
    with pytest.raises(InputError, match="image: has 10x20 pixels, and the boxes are of one of 20x10"):
        THREE.draw(np.zeros((20, 10, 3), np.uint8))
    assert THREE.draw(np.zeros((10, 20, 3), np.uint8)).any()
    blank = np.zeros((80, 80, 3), np.uint8)
    one = Detections([[10, 10, 70, 70]], [0.9], [0], ["cat"], (80, 80))
    plain = one.draw(blank, labels=False)
    assert not np.array_equal(plain, one.draw(blank))
    assert (one.draw(blank, labels=False, line_width=9) > 0).sum() > (plain > 0).sum()


def test_they_are_saved_by_the_ending(detector, scene, tmp_path):
    found = detector(scene).above(0.3)
    assert len(found)
    assert found.save(tmp_path / "a.jpg") == tmp_path / "a.jpg"
    assert cv2.imread(str(tmp_path / "a.jpg")).shape == scene.shape
    content = json.loads(found.save(tmp_path / "a.json").read_text())
    assert content["images"][0]["detections"] == found.as_dicts()
    assert content["classes"] == list(found.class_names)
    lines = found.save(tmp_path / "a.txt").read_text().splitlines()
    x1, y1, x2, y2 = found.boxes[0] / 320
    assert [float(v) for v in lines[0].split()] == pytest.approx(
        [found.labels[0], (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], abs=1e-5
    )
    coco = json.loads(found.save(tmp_path / "c.json", format="coco").read_text())
    assert [a["score"] for a in coco["annotations"]] == pytest.approx(found.scores.tolist(), abs=1e-5)
    assert coco["images"][0]["width"] == 320
    for name, format in (("a.webp", None), ("a.jpg", "coco"), ("a.json", "voc"), ("a", None)):
        with pytest.raises(InputError):
            found.save(tmp_path / name, format=format)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_notebook_shows_picture_and_table(detector, scene):
    found = detector(scene).above(0.3)
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + len(found)
    assert "data:image/jpeg;base64," in html
    plain = THREE._repr_html_()
    assert "<img" not in plain
    assert "&lt;dog&gt;" in plain
    assert not re.search("<dog>", plain)
    assert "<table" not in NONE._repr_html_()
