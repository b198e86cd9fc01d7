"""LabelMe's JSON files: every shape's box, images that moved, folders of splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cornernet.data import labelme
from cornernet.data.convert import write_data
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split, split_names
from cornernet.errors import InputError

BOX = [[10, 20], [30, 40]]


def shape(points: Any, kind: str | None = "rectangle", label: Any = "cat", group: int | None = None) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": {}}


def draw(file: Path, size: tuple[int, int] = (200, 100), colour: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (40 * colour, 0, 0)).save(file)
    return file


def label(file: Path, *shapes: dict[str, Any], **more: Any) -> Path:
    content = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": f"{file.stem}.jpg"}
    content |= {"imageData": None, "imageHeight": 100, "imageWidth": 200} | more
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def load(folder: Path, split: str = "all", **options) -> CocoDataset:
    return load_split(find_data(folder), split, **options)


@pytest.mark.parametrize(
    ("given", "corners"),
    [
        (shape(BOX), [10, 20, 30, 40]),
        (shape([[30, 20], [10, 40]]), [10, 20, 30, 40]),
        (shape([[30.5, 40.25], [10, 20]]), [10, 20, 30.5, 40.25]),
        (shape([[10, 20], [30, 20], [30, 40], [10, 40]]), [10, 20, 30, 40]),
        (shape([[1, 1], [9, 5], [3, 8]], "polygon"), [1, 1, 9, 8]),
        (shape([[1, 1], [9, 5], [3, 8]], None), [1, 1, 9, 8]),
        (shape([[50, 50], [53, 54]], "circle"), [45, 45, 55, 55]),
        (shape([[10, 20], [19, 29]], "mask"), [10, 20, 20, 30]),
        (shape([[10, 0], [20, 10], [10, 20], [0, 10]], "oriented_rectangle"), [0, 0, 20, 20]),
    ],
)
def test_the_box_of_every_shape(tmp_path, given, corners):
    draw(tmp_path / "a.jpg")
    label(tmp_path / "a.json", given)
    data = load(tmp_path)
    assert data.format == "LabelMe"
    assert data.images[0].boxes.tolist() == [corners]


@pytest.mark.parametrize("kind", [7, ["line"], {"a": 1}, True])
@pytest.mark.parametrize("flags", [None, [], "x", {"a": [1]}])
def test_fields_of_other_types_stop_nothing(tmp_path, kind, flags):
    draw(tmp_path / "a.jpg")
    good = shape([[20, 20], [80, 60]])
    label(tmp_path / "a.json", good, good | {"shape_type": kind, "flags": flags}, flags=flags)
    (image,) = load(tmp_path).images
    assert [20, 20, 80, 60] in image.boxes.tolist()


def test_lines_points_flags_and_parts_of_one_object_are_said(tmp_path):
    draw(tmp_path / "a.jpg")
    parts = [shape([[x, 1], [x + 9, 5], [x, 8]], "polygon", group=7) for x in (10, 50)]
    others = [shape(BOX, "line"), shape([[1, 2]], "point"), shape(BOX, group=7), shape([[1, 1], [2, 2]], group=7)]
    label(tmp_path / "a.json", *parts, *others, flags={"blurred": True})
    data = load(tmp_path)
    assert data.images[0].boxes.tolist() == [[10, 1, 59, 8], [10, 20, 30, 40], [1, 1, 2, 2]]
    assert data.notes == (
        "1 objects of several shapes, with one group_id and class, are read as one box each, such as "
        f"{tmp_path}/a.json shape 1",
        "left out, because they are no boxes and no areas: 1 flags, 1 line, 1 point",
    )


@pytest.mark.parametrize(
    ("path", "image", "is_said"),
    [
        ("a.jpg", "a.jpg", False),
        ("..\\images\\a.jpg", "images/a.jpg", False),
        ("../images/a.jpg", "images/a.jpg", False),
        ("C:\\photos\\old name.jpg", "labels/a.png", True),
        ("/home/me/photos/a.jpg", "images/deep/a.jpg", False),
        ("a.jpg", "images/A.JPG", True),
        (None, "labels/a.jpg", False),
        ("gone.jpg", "images/a.jpg", True),
    ],
)
def test_where_the_image_is(tmp_path, path, image, is_said):
    draw(tmp_path / image)
    label(tmp_path / "labels/a.json", shape(BOX), imagePath=path)
    data = load(tmp_path)
    assert data.images[0].path == tmp_path / image
    assert len(data.notes) == is_said


def test_problems_with_their_places(tmp_path):
    for i, name in enumerate("abdf"):
        draw(tmp_path / f"{name}.jpg", colour=i)
    label(tmp_path / "a.json", shape(BOX), shape([["x", 1], [2, 3]]), shape(BOX, label=None), shape(BOX, label=3))
    label(tmp_path / "b.json", shape(BOX), imagePath="a.jpg")  # copied, or renamed
    label(tmp_path / "c.json", shape(BOX), imageData="aGk=")
    (tmp_path / "d.json").write_text('{"shapes": [')
    label(tmp_path / "e.json", shape(BOX))
    (tmp_path / "notes.json").write_text('{"made by": "hand"}')
    labels = find_data(tmp_path)
    data = load_split(labels, "all")
    lines = [problem.with_fix().removeprefix(f"{tmp_path}/") for problem in data.problems]
    assert lines == [
        "a.json shape 3: has no class; give it one, or remove it",
        "b.json: imagePath names a.jpg, but b.jpg has the file's name; correct imagePath, or remove the file",
        "c.json: its image 'c.jpg' is not there; only the copy in imageData is there: save that "
        "(labelme_export_json writes img.png)",
        "d.json: not JSON: Expecting value at line 1, column 13; correct it or export it again",
        f"e.json: its image 'e.jpg' is not there; put it into {tmp_path}",
        'a.json shape 2: bbox [[["x", 1], [2, 3]]] is not four finite numbers; correct or remove it',
    ]
    assert data.class_names == ("3", "cat")
    assert [Path(problem.where).name for problem in labels.strays([labels.read("all")])] == ["f.jpg"]


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (("train/a", "val/b"), ["train", "val"]),
        (("images/train/a", "images/valid/b"), ["train", "valid"]),
        (("data/Train/day/a", "data/test/b"), ["Train", "test"]),
        (("day/a", "night/b"), ["all"]),
        (("a", "b"), ["all"]),
        (("train/a",), ["train"]),
    ],
)
def test_folders_with_names_of_splits(tmp_path, files, splits):
    for i, file in enumerate(files):
        draw(tmp_path / f"{file}.jpg", colour=i)
        label(tmp_path / f"{file}.json", shape(BOX))
    labels = find_data(tmp_path)
    assert split_names(labels) == splits
    assert sum(len(load_split(labels, split).images) for split in splits) == len(files)


def test_a_list_of_classes_and_one_file_by_itself(tmp_path):
    draw(tmp_path / "a.jpg")
    file = label(tmp_path / "a.json", shape(BOX), shape(BOX, label="new"))
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\nzebra\ncat\n")
    assert load(tmp_path).class_names == ("zebra", "cat", "new")
    assert load(file).images[0].boxes.tolist() == [[10, 20, 30, 40]] * 2


def test_names_and_splits_that_it_cannot_hold(tmp_path):
    draw(tmp_path / "in/a.jpg")
    label(tmp_path / "in/a.json", shape(BOX, label="line\nbreak"))
    with pytest.raises(InputError, match=r"class 'line\\nbreak': labels\.txt has one class on each line; rename it"):
        write_data(tmp_path / "out", "labelme", {"train": load(tmp_path / "in")})
    label(tmp_path / "in/a.json", shape(BOX))
    data = load(tmp_path / "in")
    said = write_data(tmp_path / "out", "labelme", {"day": data, "night": data})
    assert said == ["the folders day, night are read as one split: rename one of them to train"]
    content = json.loads((tmp_path / "out/day/a.json").read_text())
    assert content["imagePath"] == "a.jpg"
    assert content["shapes"][0]["points"] == [[10, 20], [30, 40]]


def test_linked_folders_are_read(tmp_path):
    for i, place in enumerate(("data/own", "store/a", "store/b")):
        draw(tmp_path / f"{place}.jpg", colour=i)
        label(tmp_path / f"{place}.json", shape(BOX))
    (tmp_path / "data/day1").symlink_to(tmp_path / "store")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    assert [image.path.name for image in load(tmp_path / "data").images] == ["own.jpg", "a.jpg", "b.jpg"]


def test_many_small_files_of_another_tool_are_not_all_opened(tmp_path, monkeypatch):
    for i in range(1200):
        (tmp_path / f"{i:04d}.json").write_text('{"score": 1}')
    opened = []
    monkeypatch.setattr(labelme, "is_labelme", lambda file: opened.append(file))
    assert labelme.find_labelme(tmp_path) is None
    assert len(opened) == 1000


def test_lines_and_points_alone_are_nothing_to_learn_from(tmp_path):
    draw(tmp_path / "a.jpg")
    label(tmp_path / "a.json", shape(BOX, "line"), shape([[1, 2]], "point"))
    with pytest.raises(InputError, match=r"no box in any of its 1 images \(only line, point\); draw boxes or areas"):
        load(tmp_path)
