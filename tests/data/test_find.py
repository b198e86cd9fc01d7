"""Formats found by looking, splits by their names, and a val that is a share of train."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import auto_val_share, find_data, in_val, load_split, split_names
from cornernet.data.source import DataSource
from cornernet.errors import InputError


def write_images(folder: Path, names: list[str]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(folder / name)
    return folder


def write_json(path: Path, names: list[str]) -> Path:
    box = {"category_id": 1, "bbox": [1, 2, 3, 4]}
    content = {
        "images": [{"id": i, "file_name": name, "height": 30, "width": 40} for i, name in enumerate(names, 1)],
        "annotations": [box | {"id": i, "image_id": i} for i in range(1, len(names) + 1)],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def write_yaml(folder: Path, names: list[str]) -> Path:
    write_images(folder / "images", names)
    for name in names:
        file = (folder / "labels" / name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("0 0.5 0.5 0.5 0.5")
    (folder / "data.yaml").write_text("names: [cat]\ntrain: images\n")
    return folder


XML = "<annotation><object><name>cat</name><bndbox>"
XML += "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"


def write_xml(folder: Path, names: list[str]) -> Path:
    write_images(folder / "JPEGImages", names)
    for name in names:
        file = (folder / "Annotations" / name).with_suffix(".xml")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(XML)
    return folder


def load(folder: Path, split: str, **options) -> CocoDataset:
    return load_split(find_data(folder), split, **options)


@pytest.mark.parametrize("images", ["labels", "images", "images/labels", "my photos", "."])
def test_one_coco_file_beside_its_images(tmp_path, images):
    write_images(tmp_path / images, ["a.png", "sub/b.png"])
    file = write_json(tmp_path / "labels.json", ["a.png", "sub/b.png"])
    (tmp_path / "notes.json").write_text('{"made by": "hand"}')
    for place in (tmp_path, file):
        data = load(place, "labels")
        assert [image.path for image in data.images] == [tmp_path / images / "a.png", tmp_path / images / "sub/b.png"]
    assert find_data(tmp_path).title == "COCO (labels.json)"


def test_one_coco_file_whose_images_have_other_names(tmp_path):
    write_images(tmp_path / "images", ["photo_jpg.rf.0123.jpg", "x.jpg"])
    write_json(tmp_path / "labels.json", ["photo.jpg"])
    said = r"its images, such as photo\.jpg, are in no folder beside it; 2 images of other names are, such as"
    with pytest.raises(InputError, match=said):
        load(tmp_path, "labels")


def test_a_test_split_that_is_divided_is_said(tmp_path):
    names = [f"{i}.png" for i in range(20)]
    write_json(write_images(tmp_path / "test", names).parent / "annotations/instances_test.json", names)
    notes = load_split(find_data(tmp_path), "train", val_share=0.3).notes
    assert notes == ("the only split, test, is divided into train and val",)


@pytest.mark.parametrize("format", ["coco", "yolo", "voc"])
@pytest.mark.parametrize("count", [2, 3, 5, 40])
def test_a_share_is_held_back_that_gives_both_parts_an_image(tmp_path, format, count):
    names = [f"{i:03d}.png" for i in range(count)]
    if format == "coco":
        write_json(write_images(tmp_path, names) / "labels.json", names)
    else:
        {"yolo": write_yaml, "voc": write_xml}[format](tmp_path, names)
    labels = find_data(tmp_path)
    share = auto_val_share(labels)
    parts = [load_split(labels, split, val_share=share).images for split in ("train", "val")]
    assert min(map(len, parts)) >= 1
    assert sum(map(len, parts)) == count
    smaller = [other for other in (0.1, 0.2, 0.3, 0.5, 0.7) if other < share]
    assert all(len({in_val(name, other) for name in names}) == 1 for other in smaller)  # no larger than it must be
    assert count < 40 or share == 0.1


def test_one_image_cannot_be_divided(tmp_path):
    write_json(write_images(tmp_path, ["a.png"]) / "labels.json", ["a.png"])
    labels = find_data(tmp_path)
    assert auto_val_share(labels) == 0.1
    with pytest.raises(InputError, match=r"no image falls to val with val_share 0\.1; choose another"):
        DataSource(str(tmp_path), val_share=0.1).load()


def test_one_coco_file_whose_images_are_nowhere(tmp_path):
    write_json(tmp_path / "labels.json", ["a.png"])
    with pytest.raises(InputError, match=r"its images, such as a\.png, are in no folder beside it; put them into"):
        load(tmp_path, "labels")


def test_several_coco_files_are_splits(tmp_path):
    write_images(tmp_path / "images", ["a.png", "b.png"])
    write_json(tmp_path / "train.json", ["a.png"])
    write_json(tmp_path / "val.json", ["b.png"])
    assert split_names(find_data(tmp_path)) == ["train", "val"]
    assert load(tmp_path, "val").images[0].file_name == "b.png"


def test_a_roboflow_folder_and_one_split_of_it(tmp_path):
    for split in ("train", "valid"):
        write_images(tmp_path / split, ["a.png"])
        write_json(tmp_path / split / "_annotations.coco.json", ["a.png"])
    data = load(tmp_path, "val")
    assert (data.name, data.format) == ("valid", "COCO as Roboflow exports it")
    assert split_names(find_data(tmp_path)) == ["train", "valid"]
    assert load(tmp_path / "train", "train").images[0].path == tmp_path / "train/a.png"


def test_a_label_file_in_the_official_layout_by_itself(tmp_path):
    write_images(tmp_path / "train2017", ["a.png"])
    file = write_json(tmp_path / "annotations/instances_train2017.json", ["a.png"])
    assert load(file, "train").images[0].path == tmp_path / "train2017/a.png"


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("yolo", "voc", r"looks like YOLO \(data.yaml\) and Pascal VOC \(Annotations/\*.xml\) at once"),
        ("coco", "yolo", r"looks like COCO \(labels.json\) and YOLO .* choose with format coco or format yolo"),
        ("coco", "voc", "choose with format coco or format voc"),
    ],
)
def test_two_formats_at_once(tmp_path, first, second, said):
    writers = {"yolo": write_yaml, "voc": write_xml}
    for name in (first, second):
        if name == "coco":
            write_json(write_images(tmp_path, ["a.png"]) / "labels.json", ["a.png"])
        else:
            writers[name](tmp_path, ["a.png"])
    with pytest.raises(InputError, match=said):
        find_data(tmp_path)
    with pytest.raises(InputError, match=f"choose with data_format {first} or data_format {second}"):
        find_data(tmp_path, option="--data-format")
    for name in (first, second):
        assert find_data(tmp_path, name).format == name


def test_nothing_there_says_what_was_looked_for_and_hints(tmp_path):
    tmp_path = tmp_path / "deep"
    tmp_path.mkdir()
    with pytest.raises(InputError, match="no such folder or file; give the data set's folder, label file or archive"):
        find_data(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no data set there; looked for COCO .*YOLO \(data.yaml, .*\), Pascal VOC"):
        find_data(tmp_path)
    with pytest.raises(InputError, match=r"looked for YOLO \(data.yaml, obj.data, or images with .* of boxes\)$"):
        find_data(tmp_path, "yolo")
    write_xml(tmp_path / "VOC2007", ["a.png"])
    for place in (tmp_path, tmp_path.parent):
        with pytest.raises(InputError, match=r"VOC2007 holds Pascal VOC \(Annotations/\*.xml\): give that folder"):
            find_data(place)
    (tmp_path / "yolo/images").mkdir(parents=True)
    (tmp_path / "yolo/labels").mkdir()
    with pytest.raises(InputError, match=r"no \.txt file in labels begins with a box"):
        find_data(tmp_path / "yolo")


def test_a_missing_split_says_which_there_are(tmp_path):
    write_yaml(tmp_path, ["a.png"])
    with pytest.raises(InputError, match=r"no split 'val' in YOLO .*splits there: train; .* val_share 0\.1"):
        load(tmp_path, "val")
    with pytest.raises(InputError, match=r"no split 'test' in .*; name one of them$"):
        load(tmp_path, "test")


def test_a_name_that_is_too_long():
    with pytest.raises(InputError, match=r"cannot be read \(File name too long\); change its permissions or name"):
        find_data("x" * 300)


NAMES = [f"deep/{i:03}.png" for i in range(40)]


@pytest.fixture(params=["coco", "yolo", "voc"])
def one_split(request, tmp_path) -> Path:
    if request.param == "coco":
        write_json(write_images(tmp_path, NAMES) / "labels.json", NAMES)
    elif request.param == "yolo":
        write_yaml(tmp_path, NAMES)
    else:
        write_xml(tmp_path, NAMES)
    return tmp_path


def test_a_share_for_validation_is_the_same_in_every_format(one_split):
    train, val = (load(one_split, split, val_share=0.25) for split in ("train", "val"))
    assert (train.name, val.name) == ("train", "val")
    names = [{image.path.name for image in data.images} for data in (train, val)]
    assert not names[0] & names[1]
    assert names[0] | names[1] == {Path(name).name for name in NAMES}
    assert names[1] == {Path(name).name for name in NAMES if in_val(name, 0.25)}
    assert 4 <= len(names[1]) <= 16
    assert [len(image.boxes) for data in (train, val) for image in data.images] == [1] * 40
    assert (train.problems, val.problems) == ([], [])


def test_a_share_keeps_images_where_they_are_when_others_come():
    assert sum(in_val(f"{i}.jpg", 0.1) for i in range(10_000)) == pytest.approx(1000, rel=0.1)
    assert all(in_val(f"{i}.jpg", 0.2) for i in range(1000) if in_val(f"x/{i}.jpg", 0.1))
    assert [in_val(name, 0.5) for name in ("a.jpg", "b.jpg", "c.jpg", "ä 🐈.jpg")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("share", "split", "said"),
    [
        (0.0, "val", "give a share between 0 and 1"),
        (1.5, "val", "give a share between 0 and 1"),
        (0.1, "test", "makes the splits train and val, not 'test'"),
        (1e-9, "val", r"no image falls to val with val_share 1e-09"),
    ],
)
def test_a_share_that_cannot_be(tmp_path, share, split, said):
    write_yaml(tmp_path, ["a.png"])
    with pytest.raises(InputError, match=said):
        load(tmp_path, split, val_share=share)


@pytest.mark.parametrize("images", ["photos", "."])
def test_a_share_finds_the_folder_of_coco_images_by_all_of_them(tmp_path, images):
    names = ["a.png", "b.png", "c.png"]
    write_images(tmp_path / images, names)
    write_json(tmp_path / "labels.json", names)
    with pytest.raises(InputError, match=r"no image falls to val with val_share 0\.0001; choose another"):
        load(tmp_path, "val", val_share=0.0001)
    assert [image.path for image in load(tmp_path, "train", val_share=0.0001).images] == [
        tmp_path / images / name for name in names
    ]


def test_the_images_of_a_share_lie_where_most_of_all_images_do(tmp_path):
    assert [in_val(name, 0.5) for name in ("b.jpg", "c.jpg")] == [True, False]
    write_images(tmp_path / "images", ["a.jpg", "b.jpg", "c.jpg"])
    write_images(tmp_path / "labels", ["c.jpg"])  # smaller copies of some, say
    write_json(tmp_path / "labels.json", ["a.jpg", "b.jpg", "c.jpg"])
    for split in ("train", "val"):
        assert {image.path.parent for image in load(tmp_path, split, val_share=0.5).images} == {tmp_path / "images"}


def test_a_share_where_there_is_a_val_already(tmp_path):
    write_yaml(tmp_path, ["a.png"])
    (tmp_path / "data.yaml").write_text("names: [cat]\ntrain: images\nval: images\n")
    with pytest.raises(InputError, match="has a val split already"):
        load(tmp_path, "val", val_share=0.1)
