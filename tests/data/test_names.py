"""Images are found whose names the label files spell otherwise, and what lies beside the labels is said."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.cli import main
from cornernet.data.check import check_data
from cornernet.data.find import find_data, load_split
from cornernet.data.source import DataSource

SPELLINGS = {
    "photo.png": [
        "images\\photo.png",
        "C:\\Users\\me\\photo.png",
        "/home/me/data/images/photo.png",
        "Photo.PNG",
        "photo.jpg",
        "./photo.png",
        "photo.png ",
        "train/images/photo.png",
    ],
    "a b.png": ["a%20b.png", "A%20B.jpeg"],
    unicodedata.normalize("NFC", "Grüße.png"): [unicodedata.normalize("NFD", "Grüße.png"), "gr%C3%BC%C3%9Fe.png"],
    unicodedata.normalize("NFD", "é.png"): [unicodedata.normalize("NFC", "é.png")],
    "a%20b.png": ["a b.png"],
}
CASES = [(file, name) for file, names in SPELLINGS.items() for name in names]


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)).save(path)


def write_coco(folder: Path, names: list[str], split: str = "train") -> Path:
    images = [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names, 1)]
    items = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 8, 6 + i]} for i in range(1, len(names) + 1)]
    content = {"images": images, "annotations": items, "categories": [{"id": 1, "name": "cat"}]}
    folder.mkdir(exist_ok=True)
    (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(("file", "name"), CASES)
def test_coco_images_that_are_spelled_otherwise(file, name, tmp_path):
    write_image(tmp_path / "images" / file)
    dataset = load_split(find_data(write_coco(tmp_path, [name])), "train")
    assert dataset.images[0].path.resolve() == (tmp_path / "images" / file).resolve()
    assert len(dataset.images[0].boxes) == 1
    if not (tmp_path / "images" / name).is_file():  # ./photo.png is read as it is
        assert dataset.notes[0].startswith("1 images have another name in the labels, such as ")
    found = check_data(find_data(tmp_path))
    assert found.problems == []


@pytest.mark.parametrize("name", ["Photo.PNG", "photo.jpg"])
def test_voc_and_lists_of_yolo(name, tmp_path):
    write_image(tmp_path / "voc/JPEGImages/photo.png")
    (tmp_path / "voc/Annotations").mkdir()
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    text = f"<annotation><filename>{name}</filename><object><name>cat</name>{box}</object></annotation>"
    (tmp_path / "voc/Annotations/PHOTO.xml").write_text(text)
    write_image(tmp_path / "yolo/images/photo.png")
    (tmp_path / "yolo/labels").mkdir()
    (tmp_path / "yolo/labels/photo.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "yolo/train.txt").write_text(f"images\\{name}\n")
    (tmp_path / "yolo/data.yaml").write_text("train: train.txt\nnames: [cat]\n")
    for folder, split in (("voc", "all"), ("yolo", "train")):
        dataset = load_split(find_data(tmp_path / folder), split)
        assert dataset.images[0].path.name == "photo.png"
        assert "1 images have another name in the labels" in "".join(dataset.notes)


def test_copies_of_one_image_are_one(tmp_path):
    for name in ("one/a.png", "two/a.png"):
        write_image(tmp_path / "images" / name)
    dataset = load_split(find_data(write_coco(tmp_path, ["A.png"])), "train")
    assert [image.path.name for image in dataset.images] == ["a.png"]


def test_several_and_near_names_are_told(tmp_path):
    for seed, name in enumerate(("one/a.png", "two/a.png", "photo_17.png", "ok.png")):
        write_image(tmp_path / "images" / name, seed)
    dataset = load_split(
        find_data(write_coco(tmp_path, ["ok.png", "A.png", "photo-17.png", "else.png", "TWO/a.png"])), "train"
    )
    lines = [problem.with_fix() for problem in dataset.problems]
    assert [image.path.relative_to(tmp_path / "images").as_posix() for image in dataset.images] == [
        "ok.png",
        "two/a.png",
    ]
    assert "images/one/a.png or " in lines[0]
    assert "did you mean" in lines[1]
    assert "images/photo_17.png?" in lines[1]
    assert lines[2].endswith("else.png: no such file; check the path")


def notes(folder: Path) -> str:
    training, validation = DataSource(str(folder)).load()
    return "\n".join([*training.notes, *(validation.notes if validation else ())])


def test_commands_say_what_data_check_knows(tmp_path, capsys):
    for split in ("train", "val"):
        for i in range(4):
            write_image(tmp_path / f"images/{split}/{split}{i}.png", i)
        write_coco(tmp_path, [f"{split}{i}.png" for i in range(3)], split)
    assert "2 images without labels, such as" in notes(tmp_path)
    content = json.loads((tmp_path / "train.json").read_text())
    content["images"].append(content["images"][0] | {"id": 100})
    (tmp_path / "train.json").write_text(json.dumps(content))
    assert "1 images are listed twice, such as train0.png with the ids 1 and 100" in notes(tmp_path)
    assert main(["data", "convert", str(tmp_path), str(tmp_path / "out"), "--to", "yolo"]) == 0
    error = capsys.readouterr().err
    assert "listed twice" in error
    assert "2 images without labels" in error


def test_an_image_of_two_splits_and_labels_without_images_are_told(tmp_path):
    for i in range(3):
        write_image(tmp_path / f"images/{i}.png", i)
    write_coco(tmp_path, ["0.png", "1.png"], "train")
    write_coco(tmp_path, ["1.png", "2.png"], "val")
    assert f"1 images are in train and in val, such as {tmp_path / 'images/1.png'}" in notes(tmp_path)
    yolo = tmp_path / "yolo"
    for split in ("train", "val"):
        write_image(yolo / f"images/{split}/{split}.png", 1)
        (yolo / f"labels/{split}").mkdir(parents=True)
        (yolo / f"labels/{split}/{split}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
        (yolo / f"labels/{split}/other.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    shutil.copy(yolo / "images/val/val.png", yolo / "images/val/plain.png")
    (yolo / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat]\n")
    assert "2 labels without images" in notes(yolo)
    assert "1 images without labels" in notes(yolo)
