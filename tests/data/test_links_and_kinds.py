"""Data sets through links, with files of several pictures, and with images of kinds that few tools read."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from cornernet.data.check import check_data
from cornernet.data.convert import write_data
from cornernet.data.find import find_data, load_split

XML = (
    "<annotation><size><width>40</width><height>20</height></size><object><name>c</name>"
    "<bndbox><xmin>4</xmin><ymin>5</ymin><xmax>12</xmax><ymax>15</ymax></bndbox></object></annotation>"
)
LABELS = {"yolo": (".txt", "0 0.2 0.5 0.2 0.5\n"), "voc": (".xml", XML)}
FOLDERS = {"yolo": ("images/train", "labels/train"), "voc": ("JPEGImages", "Annotations")}


def add(root: Path, format: str, folders: tuple[str, str], name: str, shade: int = 0) -> None:
    """An image of 40 x 20 pixels and its label file with the box 4 5 12 15."""
    suffix, text = LABELS[format]
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 20), (shade, shade, shade)).save(root / folders[0] / name)
    (root / folders[1] / name).with_suffix(suffix).write_text(text)


def data_set(root: Path, format: str) -> Path:
    if format == "yolo":
        root.mkdir()
        (root / "data.yaml").write_text("train: images/train\nnames: [c]\n")
    return root


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_linked_folders_are_read(tmp_path: Path, format: str) -> None:
    root, folders = data_set(tmp_path / "data", format), FOLDERS[format]
    add(root, format, folders, "own.png")
    for i in range(3):
        add(tmp_path / "store", format, ("pixels", "texts"), f"{i}.png", 50 + i)
    for folder, target in zip(folders, ("pixels", "texts"), strict=True):
        (root / folder / "day1").symlink_to(tmp_path / "store" / target)
        (root / folder / "loop").symlink_to(root)
    (root / folders[0] / "gone.png").symlink_to("nowhere.png")
    labels = find_data(root)
    dataset = load_split(labels, labels.splits[0])
    assert len(dataset.images) == 4
    assert all(image.boxes.tolist() == [[4, 5, 12, 15]] for image in dataset.images)
    assert [note for note in dataset.notes if "gone.png: a link to nowhere.png" in note]
    findings = check_data(labels)
    assert {problem.kind for problem in findings.problems} == {"links that lead nowhere"}
    assert len(findings.problems) == 3  # gone.png and two circles


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_kinds_that_few_tools_read_are_converted(tmp_path: Path, format: str) -> None:
    root = data_set(tmp_path / "data", format)
    for shade, name in enumerate(("a.gif", "b.jp2", "c.JPE", "d.webp"), start=1):
        add(root, format, FOLDERS[format], name, 20 * shade)
    labels = find_data(root)
    dataset = load_split(labels, labels.splits[0])
    notes = write_data(tmp_path / "out", "yolo", {"train": dataset})
    written = sorted(os.listdir(tmp_path / "out/images/train"))
    assert written == ["a.png", "b.png", "c.jpg", "d.webp"]
    assert [image.boxes.tolist() for image in load_split(find_data(tmp_path / "out"), "train").images] == [
        [[4, 5, 12, 15]]
    ] * 4
    with Image.open(tmp_path / "out/images/train/b.png") as image:
        assert (image.format, image.getpixel((0, 0))) == ("PNG", (40, 40, 40))
    assert notes == ["2 images are written anew as PNG: few tools read their kind (.gif, .jp2)"]


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_the_first_of_several_pictures_is_taken_and_it_is_said(tmp_path: Path, format: str) -> None:
    root = data_set(tmp_path / "data", format)
    add(root, format, FOLDERS[format], "a.png")
    add(root, format, FOLDERS[format], "b.tif")
    path = root / FOLDERS[format][0] / "b.tif"
    pages = [Image.new("RGB", (40, 20), color) for color in ("red", "blue")]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    labels = find_data(root)
    dataset = load_split(labels, labels.splits[0])
    assert dataset.images[1].read()[0, 0].tolist() == [255, 0, 0]
    said = f"1 files hold several pictures, of which the first is taken; the first such file is {path}"
    assert dataset.notes == (said,)
    assert check_data(labels).datasets[labels.splits[0]].notes == (said,)


def test_a_coco_file_may_list_images_by_a_linked_folder(tmp_path: Path) -> None:
    (tmp_path / "images/day1").mkdir(parents=True)
    (tmp_path / "images/alias").symlink_to("day1")
    Image.new("RGB", (40, 20)).save(tmp_path / "images/day1/a.png")
    content = {
        "images": [{"id": 1, "file_name": "alias/a.png", "width": 40, "height": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 5, 8, 10]}],
        "categories": [{"id": 1, "name": "c"}],
    }
    (tmp_path / "train.json").write_text(json.dumps(content))
    findings = check_data(find_data(tmp_path))
    assert findings.problems == []
    assert findings.datasets["train"].images[0].boxes.tolist() == [[4, 5, 12, 15]]
