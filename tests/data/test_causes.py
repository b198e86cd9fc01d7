"""A cause that explains many boxes is told in one line, and ordinary boxes have none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.cli import main
from cornernet.data.build import build_dataset
from cornernet.data.causes import find_cause, find_class_cause
from cornernet.data.find import find_data, read_split

SIZE = np.array([640.0, 480.0])


def ordinary(count: int = 41, size=SIZE, seed: int = 0) -> np.ndarray:
    """Boxes x y width height anywhere in images of one size."""
    rng = np.random.default_rng(seed)
    sides = rng.uniform(0.05, 0.4, (count, 2)) * size
    return np.concatenate([rng.uniform(0, 1, (count, 2)) * (size - sides), sides], axis=1)


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def centre(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


def cause_of(boxes: np.ndarray, size=SIZE, **kinds):
    return find_cause(boxes, np.tile(np.array(size, float), (len(boxes), 1)), **kinds)


BOTH = np.tile(SIZE, 2)
WRONG = {
    "corners": (corners, "41 of 41 boxes fit their images as corners x1 y1 x2 y2, and"),
    "centre": (centre, "41 of 41 boxes fit their images as centre x, centre y, width, height, and"),
    "shares": (lambda b: b / BOTH, "41 of 41 boxes have no number above 1: they are x y width height as shares"),
    "centre in shares": (
        lambda b: centre(b) / BOTH,
        "no number above 1: they are centre x, centre y, width, height as",
    ),
    "thousandths": (lambda b: b / BOTH * 1000, "as x y width height in thousandths of the image, and"),
    "exchanged": (lambda b: b[:, [1, 0, 3, 2]], "as x y width height with x and y exchanged, and"),
    "larger copies": (lambda b: b * 2, "times the height: they belong to larger copies"),
    "a part in corners": (lambda b: np.where(np.arange(41)[:, None] < 30, corners(b), b), "and fit them as corners"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_cause_is_named(name):
    change, line = WRONG[name]
    cause = cause_of(change(ordinary()))
    assert cause
    assert line in str(cause)
    assert cause.is_known


@pytest.mark.parametrize("name", ["percent", "smaller copies"])
def test_what_boxes_alone_cannot_tell_is_a_guess(name):
    boxes = ordinary(200)
    cause = cause_of(boxes / BOTH * 100 if name == "percent" else boxes / 2, size=SIZE)
    assert cause
    assert (cause.is_sure, cause.is_known) == (False, False)
    assert f"if they {'are' if name == 'percent' else 'were'}" in str(cause)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda b: centre(b) * 1.0, "centre x, centre y, width, height in pixels"),
        (lambda b: centre(b) / BOTH * 100, "centre x, centre y, width, height in percent of the image"),
        (lambda b: corners(b) / BOTH, "as corners x1 y1 x2 y2, and"),
    ],
)
def test_numbers_of_yolo_files(change, line):
    read = change(ordinary()) * BOTH  # as the reader takes them: shares
    read[:, :2] -= read[:, 2:] / 2
    cause = cause_of(read, layout="centre", unit="shares of the image")
    assert cause
    assert cause.is_sure
    assert line in str(cause)


def test_widths_in_voc_files():
    read = ordinary().copy()  # xmax and ymax hold width and height
    read[:, 2:] -= read[:, :2]
    cause = cause_of(read, layout="corners")
    assert cause
    assert cause.is_sure
    assert "as x y width height, and" in str(cause)


NORMAL = {
    "ordinary": (ordinary(500), SIZE),
    "three": (ordinary(3), SIZE),
    "tiny images": (np.tile([0.0, 0, 1, 1], (50, 1)), (8, 8)),
    "whole images": (np.tile([0.0, 0, 640, 480], (50, 1)), SIZE),
    "one pixel too far": (np.tile([0.0, 0, 641, 481], (50, 1)), SIZE),
    "top left": (ordinary(300) * 0.3, SIZE),
    "top left corner": (np.abs(np.random.default_rng(0).normal(0, 20, (300, 4))) + 2, SIZE),
    "right edge": (ordinary(100) * [0.1, 1, 0.1, 1] + [570, 0, 0, 0], SIZE),
    "reaching out a little": (ordinary(100) * [1.02, 1.02, 1, 1], SIZE),
    "a few wrong": (np.concatenate([ordinary(30), np.tile([600.0, 400, 100, 100], (3, 1))]), SIZE),
    "one only": (np.array([[300.0, 200, 400, 300]]), SIZE),
    "small things": (ordinary(300) * [1, 1, 0.01, 0.01], SIZE),
}


@pytest.mark.parametrize("name", NORMAL)
def test_ordinary_boxes_have_no_cause(name):
    boxes, size = NORMAL[name]
    cause = cause_of(boxes, size)
    assert cause is None or not cause.is_known, cause


@pytest.mark.parametrize("folder", ["coco_photos", "coco_tiny", "deeppcb"])
def test_real_data_have_no_cause(folder, shared):
    labels = find_data(shared(f"data/{folder}"))
    for split in labels.splits:
        dataset = build_dataset(read_split(labels, split))
        assert dataset.cause is None
        assert len(dataset.images) > 1


def coco(folder: Path, change=corners) -> Path:
    boxes = change(ordinary())
    (folder / "images").mkdir(parents=True)
    images = [{"id": i, "file_name": f"{i}.png", "width": 640, "height": 480} for i in range(4)]
    for image in images:
        Image.new("RGB", (640, 480), (image["id"] * 9, 0, 0)).save(folder / "images" / image["file_name"])
    items = [{"id": i + 1, "image_id": i % 4, "category_id": 1, "bbox": b} for i, b in enumerate(boxes.tolist())]
    content = {"images": images, "annotations": items, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "train.json").write_text(json.dumps(content))
    return folder


def test_commands_stop_with_one_line(tmp_path, capsys):
    data, out = coco(tmp_path / "data"), tmp_path / "out"
    for command in (["train", "--data", data], ["data", "convert", data, out, "--to", "yolo"]):
        assert main([*map(str, command)]) == 2
        error = capsys.readouterr().err
        assert "boxes fit their images as corners x1 y1 x2 y2" in error
        assert "bbox" not in error
    assert main(["data", "check", str(data), "--fix", str(out), "--out", str(tmp_path / "check")]) == 2
    printed = capsys.readouterr()
    assert printed.out.count("41 of 41 boxes") == 1
    assert "no copy can be clean before that" in printed.err
    assert not out.exists()


def resized(folder: Path, change) -> Path:
    """The data set with other sizes of the images in its file."""
    content = json.loads((coco(folder, np.copy) / "train.json").read_text())
    for image in content["images"]:
        image["width"], image["height"] = change(image["width"], image["height"])
    (folder / "train.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda w, h: (h, w), "4 of 4 images have height and width exchanged in the labels"),
        (lambda w, h: (w * 2, h * 2), "4 of 4 images are 0.5 times as large as the labels say"),
    ],
)
def test_sizes_that_are_wrong_in_one_way(change, line, tmp_path, capsys):
    data = resized(tmp_path / "data", change)
    assert main(["data", "check", str(data), "--fix", str(tmp_path / "out"), "--out", str(tmp_path / "check")]) == 2
    printed = capsys.readouterr()
    assert printed.out.count(line) == 1
    assert "1 problems" in printed.out or "no copy" in printed.err
    assert main(["data", "convert", str(data), str(tmp_path / "out"), "--to", "voc"]) == 2
    assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("used", "unknown", "known", "line"),
    [
        ([1, 2], [3], [0, 1, 2], "count their classes from 1 (some have class 3, none has 0)"),
        ([1, 2], [0], [1, 2, 3], "count their classes from 0 (some have class 0, none has 3)"),
        ([0, 1], [2], [0, 1], None),
        ([1, 2], [4], [0, 1, 2], None),
        ([1, 3], [5], [0, 1, 3, 4], None),
        ([1], [1, 2], [0, 1], None),
    ],
)
def test_classes_counted_from_another_number(used, unknown, known, line):
    cause = find_class_cause(used, unknown, known)
    assert (line in str(cause)) if line else cause is None


def test_yolo_classes_counted_from_one_stop(tmp_path, capsys):
    for i in range(3):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), (i, 0, 0)).save(tmp_path / f"images/{i}.png")
        (tmp_path / f"labels/{i}.txt").write_text(f"{i + 1} 0.5 0.5 0.2 0.2\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [a, b, c]\n")
    for words in (["convert", str(tmp_path), str(tmp_path / "new"), "--to", "voc"], ["check", str(tmp_path)]):
        assert main(["data", *words, *(["--out", str(tmp_path / "out")] if words[0] == "check" else [])]) == 2
        printed = capsys.readouterr()
        assert "boxes count their classes from 1 (some have class 3, none has 0)" in printed.out + printed.err
