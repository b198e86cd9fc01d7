"""YOLO's label files without a YAML file, as other tools leave them, and lines that may mean several things."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split
from cornernet.errors import InputError

BOX = "1 0.5 0.5 0.2 0.4\n"  # of 200x100 pixels: 80 30 120 70
NAMES = "cat\ndog\n"


def fill(folder: Path, files: dict[str, str]) -> Path:
    """Text files, and an image of 200x100 pixels for each name with its ending."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.new("RGB", (200, 100), (70, 80, len(name))).save(path)
        else:
            path.write_text(text)
    return folder


def load(folder: Path, split: str = "train") -> CocoDataset:
    return load_split(find_data(folder), split)


PAIR = {"a.jpg": "", "a.txt": BOX}
LAYOUTS = {
    "flat": ({**PAIR, "classes.txt": NAMES}, {"all": 1}),
    "images and labels": ({"images/a.jpg": "", "labels/a.txt": BOX, "classes.txt": NAMES}, {"all": 1}),
    "labelImg": ({"images/a.jpg": "", "labels/a.txt": BOX, "labels/classes.txt": NAMES}, {"all": 1}),
    "Label Studio": (
        {
            "images/a.jpg": "",
            "labels/a.txt": BOX,
            "notes.json": json.dumps({"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}),
        },
        {"all": 1},
    ),
    "splits in images": (
        {f"images/{s}/a.jpg": "" for s in ("train", "val")}
        | {f"labels/{s}/a.txt": BOX for s in ("train", "val")}
        | {"classes.txt": NAMES},
        {"train": 1, "val": 1},
    ),
    "splits outside": (
        {"train/images/a.jpg": "", "train/labels/a.txt": BOX, "valid/images/b.jpg": "", "valid/labels/b.txt": BOX}
        | {"train/labels/classes.txt": NAMES},
        {"train": 1, "val": 1},
    ),
    "Roboflow's darknet": (
        {f"train/{k}": v for k, v in PAIR.items()} | {"train/_darknet.labels": NAMES},
        {"train": 1},
    ),
    "CVAT": (
        {
            "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
            "obj.names": NAMES,
            "train.txt": "data/obj_train_data/a.jpg\ndata/obj_train_data/day/b.jpg\n",
            "obj_train_data/a.jpg": "",
            "obj_train_data/a.txt": BOX,
            "obj_train_data/day/b.jpg": "",
            "obj_train_data/day/b.txt": BOX,
        },
        {"train": 2},
    ),
    "lists": (
        {"train.txt": "D:\\darknet\\obj\\a.jpg\n", "valid.txt": "D:\\darknet\\obj\\b.jpg\n", "my.names": NAMES}
        | {"obj/a.jpg": "", "obj/a.txt": BOX, "obj/b.jpg": "", "obj/b.txt": BOX},
        {"train": 1, "val": 1},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path, name):
    files, counts = LAYOUTS[name]
    fill(tmp_path, files)
    for split, count in counts.items():
        data = load(tmp_path, split)
        assert [len(image.boxes) for image in data.images] == [1] * count
        assert np.allclose(data.images[0].boxes, [[80, 30, 120, 70]])
        assert data.class_names == ("cat", "dog")
        assert data.images[0].labels.tolist() == [1]
        assert not data.problems
        assert not data.notes
    labels = find_data(tmp_path)
    assert labels.strays([labels.read(split) for split in labels.splits]) == []


def test_classes_without_names_are_numbered(tmp_path):
    fill(tmp_path, {**PAIR, "b.jpg": "", "b.txt": "7 0.5 0.5 0.2 0.4"})
    data = load(tmp_path, "all")
    assert data.class_names == ("1", "7")
    assert data.notes[0].startswith("no class names there")


def test_a_class_above_the_names_is_a_problem_of_its_line(tmp_path):
    fill(tmp_path, {**PAIR, "classes.txt": NAMES, "b.jpg": "", "b.txt": "0 .5 .5 .1 .1\n2 0.5 0.5 0.2 0.4"})
    (problem,) = load(tmp_path, "all").problems
    assert problem.where == f"{tmp_path / 'b.txt'} line 2"
    assert problem.what == "class 2 is not among the names of classes.txt"


REFUSED = {
    "other names": (
        {**{f"train/{k}": v for k, v in PAIR.items()}, "train/classes.txt": NAMES, "val/classes.txt": "dog\ncat\n"}
        | {f"val/{k}": v for k, v in PAIR.items()},
        "val/classes.txt: its class names differ from those of .*train/classes.txt",
    ),
    "no images": ({"labels/a.txt": BOX, "classes.txt": NAMES}, "label files without images"),
    "images elsewhere": (
        {"a.jpg": "", "labels/a.txt": BOX},
        "belongs to an image, such as .*a.jpg",
    ),
    "commas": ({"a.jpg": "", "a.txt": "0,0.5,0.5,0.2,0.4"}, "a.txt line 1: .0,0.5,0.5,0.2,0.4. is no line of YOLO"),
    "names": ({"a.jpg": "", "a.txt": "\ncat 0.5 0.5 0.2 0.4"}, "a.txt line 2: .cat 0.5 .* is no line of YOLO"),
    "a gap": ({**PAIR, "classes.txt": "cat\n\ndog\n"}, "line 2 is empty"),
    "no list": ({**PAIR, "obj.data": "train = data/gone.txt\n"}, "obj.data: its lists of images are not there"),
    "two data sets": (
        {
            "one/data.yaml": "names: [a]\ntrain: images\n",
            "one/images/a.jpg": "",
            "one/labels/a.txt": BOX,
            "two/x.md": "",
        },
        "one holds YOLO",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    files, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        find_data(fill(tmp_path, files))


KEYPOINTS = "0 0.5 0.5 0.2 0.4 0.45 0.4 2 0.55 0.6 1\n"  # two of them: as many numbers as a polygon of five points
LINES = {
    "turned box": ("0 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7", [80, 30, 120, 70], "1 label lines are 4-point outlines"),
    "polygon": ("0 0.4 0.5 0.5 0.3 0.6 0.7", [80, 30, 120, 70], "1 label lines are polygons"),
    "confidence": ("0 0.5 0.5 0.2 0.4 0.9", [80, 30, 120, 70], "the sixth number of 1 label lines is read as a confid"),
    "track": ("0 0.5 0.5 0.2 0.4 0.9 17", [80, 30, 120, 70], "the sixth number of 1"),
    "one keypoint": ("0 0.5 0.5 0.2 0.4 0.5 0.5 2", [80, 30, 120, 70], "1 label lines are boxes with keypoints"),
    "two keypoints": (KEYPOINTS, [80, 30, 120, 70], "1 label lines are boxes with keypoints"),
}


@pytest.mark.parametrize("name", LINES)
def test_what_a_line_is_taken_for_is_said(tmp_path, name):
    line, box, note = LINES[name]
    data = load(fill(tmp_path, {"a.jpg": "", "a.txt": line, "classes.txt": NAMES}), "all")
    assert np.allclose(data.images[0].boxes, [box], atol=1e-4)
    assert len(data.notes) == 1
    assert data.notes[0].startswith(note)


def test_polygons_among_which_one_looks_like_keypoints(tmp_path):
    polygon = "0 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7 0.41 0.51\n"
    data = load(fill(tmp_path, {"a.jpg": "", "a.txt": KEYPOINTS + polygon, "classes.txt": NAMES}), "all")
    assert np.allclose(data.images[0].boxes[1], [80, 30, 120, 70], atol=1e-4)
    assert data.notes[0].startswith("2 label lines are polygons")


@pytest.mark.parametrize(
    "line",
    ["0 0.5 0.5 0.2", "0 0.5 0.5 0.2 0.4 1.57", "0 0.4 0.5 0.5 0.3 0.6 0.5 0.5", "0 .1 .2 .3 .4 .5 .6 .7 .8 .9", "x y"],
)
def test_lines_that_fit_nothing(tmp_path, line):
    data = load(fill(tmp_path, {**PAIR, "b.jpg": "", "b.txt": line, "classes.txt": NAMES}), "all")
    (problem,) = data.problems
    assert problem.kind == "bad label lines"
    assert problem.where == f"{tmp_path / 'b.txt'} line 1"


def test_keypoints_that_the_yaml_file_says(tmp_path):
    lines = KEYPOINTS + "0 0.5 0.5 0.2 0.6\n0 0.4 0.5 0.5 0.3 0.6 0.7\n"
    yaml = "names: [cat]\ntrain: images\nkpt_shape: [2, 3]\n"
    data = load(fill(tmp_path, {"images/a.jpg": "", "labels/a.txt": lines, "data.yaml": yaml}))
    assert np.allclose(data.images[0].boxes, [[80, 30, 120, 70], [80, 20, 120, 80]])
    assert "6 numbers of keypoints that kpt_shape says" in data.problems[0].what
    assert data.notes == ("1 label lines are boxes with keypoints: the box is read",)
