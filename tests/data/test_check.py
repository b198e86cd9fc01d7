"""Every problem of a data set is found, and a clean copy has none of them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.data.check import Findings, check_data
from cornernet.data.convert import write_data
from cornernet.data.find import find_data

XML = """<annotation><size><width>40</width><height>30</height></size>
<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object>
</annotation>"""


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)).save(path)


@pytest.fixture
def yolo(tmp_path) -> Path:
    """A clean data set: five images, two of them for validation, two boxes each."""
    folder = tmp_path / "yolo"
    for i, name in enumerate(("train/a", "train/b", "train/c", "val/d", "val/e")):
        write_image(folder / f"images/{name}.png", i)
        label = folder / f"labels/{name}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text("0 0.5 0.5 0.2 0.2\n1 0.25 0.25 0.5 0.5\n")
    (folder / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    return folder


@pytest.fixture
def coco(yolo, tmp_path) -> Path:
    """The same as COCO."""
    write_data(tmp_path / "coco", "coco", check_data(find_data(yolo)).datasets)
    return tmp_path / "coco"


@pytest.fixture
def voc(yolo, tmp_path) -> Path:
    """The same as Pascal VOC."""
    write_data(tmp_path / "voc", "voc", check_data(find_data(yolo)).datasets)
    return tmp_path / "voc"


def check(folder: Path) -> Findings:
    return check_data(find_data(folder))


def lines(folder: Path) -> list[str]:
    return [problem.with_fix() for problem in check(folder).problems]


def kinds(folder: Path) -> list[str]:
    return [problem.kind for problem in check(folder).problems]


def boxes(findings: Findings) -> int:
    return sum(len(image.boxes) for data in findings.datasets.values() for image in data.images)


def edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_clean_data(yolo, coco, voc):
    for folder in (yolo, coco, voc):
        before = sorted(folder.rglob("*"))
        found = check(folder)
        assert found.problems == []
        assert boxes(found) == 10
        assert sorted(folder.rglob("*")) == before


def test_progress_counts_images(yolo):
    seen = []
    check_data(find_data(yolo), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)]


def test_images_that_are_cut_off_and_those_that_are_none(yolo):
    path = yolo / "images/train/a.png"
    path.write_bytes(path.read_bytes()[:-500])  # its header is whole: only decoding tells
    (yolo / "images/train/b.png").write_text("hello")
    said = lines(yolo)
    assert any("train/a.png: truncated or damaged" in line and "copy or download it again" in line for line in said)
    assert any("train/b.png: not an image that can be read" in line for line in said)
    assert kinds(yolo) == ["unusable images"] * 2
    assert boxes(check(yolo)) == 6


def test_another_size_than_the_labels_say(coco, voc):
    edit(coco / "annotations/instances_train.json", lambda content: content["images"][0].update(width=50))
    xml = voc / "Annotations/a.xml"
    xml.write_text(xml.read_text().replace("<width>40", "<width>50"))
    for folder in (coco, voc):
        (line,) = lines(folder)
        assert "the image is 30x40 (height x width), its label file says 30x50; correct the label file" in line


def test_boxes_of_every_bad_kind(coco):
    def change(content):
        box = content["annotations"][0]
        bad = [[1, 2, 0, 5], [100, 2, 5, 5], [30, 2, 20, 5], [1, 2, None, 4], box["bbox"]]
        content["annotations"] += [box | {"id": 100 + i, "bbox": bbox} for i, bbox in enumerate(bad)]
        content["annotations"] += [box | {"id": 200, "category_id": 9}, box | {"id": 201, "image_id": 9}]

    edit(coco / "annotations/instances_train.json", change)
    assert [line.removeprefix(f"{coco}/annotations/instances_train.json ") for line in sorted(lines(coco))] == [
        "annotation 100 of a.png: bbox [1.0, 2.0, 0.0, 5.0] has no width or no height; correct or remove it",
        "annotation 101 of a.png: bbox [100.0, 2.0, 5.0, 5.0] lies outside its 30x40 image; correct or remove it",
        "annotation 102 of a.png: bbox [30.0, 2.0, 20.0, 5.0] reaches out of its 30x40 image; cut it at the edge",
        "annotation 103 of a.png: bbox [1, 2, null, 4] is not four finite numbers; correct or remove it",
        "annotation 104 of a.png: a box that its image has already; remove it",
        "annotation 200 of a.png: category_id 9, which is not in 'categories'; correct or remove it",
        "annotation 201: image_id 9, which is not in 'images'; correct or remove it",
    ]
    assert boxes(check(coco)) == 11  # the one that reaches out is valid, cut off


def test_bad_label_lines_have_file_and_line(yolo):
    label = yolo / "labels/train/a.txt"
    label.write_text(label.read_text() + "7 0.5 0.5 0.1 0.1\n0 0.5\n0 0.5 0.5 0.2 0.2\n")
    assert lines(yolo) == [
        f"{label} line 3: class 7 is not among the names of data.yaml; add it there, or correct the line",
        f'{label} line 4: "0 0.5" is not a class and a box (5 numbers) or a polygon (7, 9, ...); correct or remove it',
        f"{label} line 5: a box that its image has already; remove it",
    ]


def test_images_without_labels_and_labels_without_images(yolo, coco, voc):
    for folder, label in ((yolo, "labels/train/a.txt"), (voc, "Annotations/a.xml")):
        (folder / label).unlink()
    write_image(coco / "train/more.png", 9)
    (yolo / "images/train/b.png").unlink()
    (coco / "train/b.png").unlink()
    (voc / "JPEGImages/b.png").unlink()
    (yolo / "labels/train/notes.txt").write_text("labelled by hand")
    (voc / "Annotations/more.xml").write_text(XML)
    said = {folder.name: "\n".join(lines(folder)) for folder in (yolo, coco, voc)}
    assert f"images/train/a.png: has no label file {yolo}/labels/train/a.txt; label it, or add an empty" in said["yolo"]
    assert "labels/train/b.txt: labels of an image that is not there; add the image" in said["yolo"]
    assert "train/more.png: an image that no label file lists; label it, or remove it" in said["coco"]
    assert "train/b.png: no such file" in said["coco"]
    assert "Annotations/a.xml: cannot be read (No such file or directory); export it again" in said["voc"]
    assert "JPEGImages/b.jpg: no such file" in said["voc"] or "JPEGImages/b.png: no such file" in said["voc"]
    assert "Annotations/more.xml: in no list of" in said["voc"]
    assert [len(text.splitlines()) for text in said.values()] == [2, 2, 3]


def test_one_picture_in_two_splits_stays_in_validation(yolo):
    shutil.copy(yolo / "images/val/d.png", yolo / "images/train/again.png")
    shutil.copy(yolo / "labels/val/d.txt", yolo / "labels/train/again.txt")
    found = check(yolo)
    (problem,) = found.problems
    assert problem.with_fix() == (
        f"{yolo}/images/train/again.png: the same picture as {yolo}/images/val/d.png of val; remove one"
    )
    assert [len(data.images) for data in found.datasets.values()] == [3, 2]
    (yolo / "labels/train/again.txt").write_text("0 0.1 0.1 0.1 0.1")
    found = check(yolo)
    assert [problem.outcome for problem in found.problems] == ["kept"]
    assert "their boxes differ" in found.problems[0].fix
    assert boxes(found) == 11  # no valid box is lost


def test_one_picture_twice_in_a_split(yolo):
    for ending, folder in (("png", "images"), ("txt", "labels")):
        shutil.copy(yolo / f"{folder}/val/d.{ending}", yolo / f"{folder}/val/again.{ending}")
    assert kinds(yolo) == ["images that are there twice"]


def test_class_names_that_look_alike_or_stand_twice(yolo):
    (yolo / "data.yaml").write_text(
        "train: images/train\nval: images/val\nnames: [cat, dog, 'Cat ', dog, 'traffic light', trafficlight, 🐈]\n"
    )
    label = yolo / "labels/train/a.txt"
    label.write_text(label.read_text() + "3 0.1 0.1 0.1 0.1\n")
    found = check(yolo)
    alike = "differ only in case or spaces; give them one name if they are one"
    assert sorted(problem.with_fix() for problem in found.problems) == [
        f"{yolo}/data.yaml: names[3] 'dog' stands twice; rename or remove one",
        f"{yolo}/data.yaml: the classes 'cat' and 'Cat ' {alike}",
        f"{yolo}/data.yaml: the classes 'traffic light' and 'trafficlight' {alike}",
    ]
    train = found.datasets["train"]
    assert train.class_names == ("cat", "dog", "Cat ", "traffic light", "trafficlight", "🐈")
    assert [train.class_names[label] for label in train.images[0].labels] == ["cat", "dog", "dog"]


def test_splits_with_other_classes(coco):
    edit(
        coco / "annotations/instances_val.json", lambda content: content["categories"].append({"id": 7, "name": "cow"})
    )
    (line,) = lines(coco)
    assert line.endswith("compared with train, its classes: has ['cow'] besides; list the same classes in every split")


def test_names_that_differ_only_in_case(yolo):
    write_image(yolo / "images/train/A.png", 9)
    (yolo / "labels/train/A.txt").write_text("")
    said = lines(yolo)
    assert (
        f"{yolo}/images/train/a.png: differs from A.png only in case; rename one: on many disks they are one file"
        in said
    )
    assert len(said) == 2


def test_links_in_circles_and_to_nowhere(yolo, tmp_path):
    images = yolo / "images/train"
    (images / "up").symlink_to(yolo / "images")
    (images / "x.png").symlink_to("y.png")
    (images / "y.png").symlink_to("x.png")
    (images / "z.png").symlink_to("gone.png")
    (images / "fine").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    said = lines(yolo)
    assert f"{images}/up: a link to a folder that contains it; remove it" in said
    assert f"{images}/x.png: a link that cannot be followed (Too many levels of symbolic links); remove it" in said
    assert f"{images}/z.png: a link to gone.png, which is not there; remove it" in said
    assert len(said) == 4


def test_names_that_are_no_text_or_more_than_a_line(yolo, tmp_path):
    images = os.fsencode(yolo / "images/train")
    shutil.copy(yolo / "images/train/a.png", images + b"/caf\xe9.png")
    shutil.copy(yolo / "images/train/b.png", images + b"/two\nlines.png")
    said = lines(yolo)
    assert f"{yolo}/images/train/caf\\udce9.png: its name is not UTF-8; rename it" in said
    assert any("two\\nlines.png: the same picture as" in line for line in said)
    assert not any("\n" in line for line in said)
    write_data(tmp_path / "clean", "coco", check(yolo).datasets)
    assert check(tmp_path / "clean").problems == []


def test_a_data_set_of_links_is_no_problem(yolo, tmp_path):
    (tmp_path / "linked").mkdir()
    for name in ("images", "labels", "data.yaml"):
        os.symlink(yolo / name, tmp_path / "linked" / name)
    assert kinds(tmp_path / "linked") == []


def test_a_split_that_cannot_be_read_does_not_hide_the_other(coco, yolo):
    (coco / "annotations/instances_train.json").write_text('{"images": [')
    found = check(coco)
    assert found.problems[0].with_fix().startswith(f"train: {coco}/annotations/instances_train.json: not JSON")
    assert list(found.datasets) == ["val"]
    shutil.rmtree(yolo / "images/train")
    assert kinds(yolo) == ["splits that cannot be read"]


def test_a_split_without_a_usable_image_lists_every_problem(yolo):
    for i in range(6):
        (yolo / f"images/train/{'abcdef'[i]}.png").write_text("no image")
    found = check(yolo)
    said = [problem.where for problem in found.problems if problem.kind == "unusable images"]
    assert said == [f"{yolo}/images/train/{name}.png" for name in "abcdef"]
    assert list(found.datasets) == ["val"]


def test_one_named_coco_file_is_checked_without_what_lies_beside_it(coco):
    (coco / "images").mkdir()
    for split in ("train", "val"):
        for image in (coco / split).iterdir():
            image.rename(coco / "images" / image.name)
        (coco / split).rmdir()
    file = coco / "annotations/instances_val.json"
    assert kinds(coco) == kinds(file) == []
    (coco / "annotations/link").symlink_to("gone")
    (coco / "images/link.png").symlink_to("gone.png")
    (coco / "images/d.png").unlink()
    assert sorted(line.split(": ")[0] for line in lines(file)) == [
        f"{coco}/images/{name}.png" for name in ("d", "link")
    ]
    assert find_data(file).title == "COCO (instances_val.json)"


def test_a_union_of_splits_is_not_a_third_one(voc):
    lists = voc / "ImageSets/Main"
    (lists / "trainval.txt").write_text((lists / "train.txt").read_text() + (lists / "val.txt").read_text())
    assert kinds(voc) == []


@pytest.mark.parametrize("kind", ["yolo", "coco", "voc"])
def test_a_clean_copy_is_clean_and_keeps_every_valid_box(kind, request, tmp_path):
    folder = request.getfixturevalue(kind)
    spoil = {"yolo": spoil_yolo, "coco": spoil_coco, "voc": spoil_voc}[kind]
    valid = spoil(folder)
    labels = find_data(folder)
    found = check_data(labels)
    assert len({problem.kind for problem in found.problems}) >= 5
    assert write_data(tmp_path / "clean", labels.format, found.datasets) == []
    again = check(tmp_path / "clean")
    assert again.problems == []
    assert boxes(found) == boxes(again) == valid
    originals = {path.read_bytes() for path in folder.rglob("*.png") if path.is_file()}
    copies = [image.path.read_bytes() for data in again.datasets.values() for image in data.images]
    assert originals.issuperset(copies)


def spoil_yolo(folder: Path) -> int:
    images, labels = folder / "images/train", folder / "labels/train"
    (images / "a.png").write_text("no image")
    (labels / "b.txt").write_text(
        "9 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n0 0.9 0.5 0.4 0.2\n0 2 2 0 1\n"
    )
    write_image(images / "B.png", 8)
    (labels / "B.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    write_image(images / "unlabelled.png", 9)
    shutil.copy(folder / "images/val/d.png", images / "twin.png")
    shutil.copy(folder / "labels/val/d.txt", labels / "twin.txt")
    (images / "loop").symlink_to(images)
    return 2 + 1 + 2 + 4  # of b, B, c, and the two for validation


def spoil_coco(folder: Path) -> int:
    def change(content):
        box = content["annotations"][2]
        bad = [{"bbox": [0, 0, 0, 0]}, {"bbox": [99, 99, 1, 1]}, {"bbox": [-9, 2, 20, 5]}, {}, {"category_id": 99}]
        content["annotations"] += [box | {"id": 100 + i} | changes for i, changes in enumerate(bad)]
        content["categories"].append({"id": 3, "name": "dog"})
        content["annotations"][3]["category_id"] = 3

    edit(folder / "annotations/instances_train.json", change)
    (folder / "train/a.png").write_text("no image")
    write_image(folder / "train/unlisted.png", 9)
    return 3 + 2 + 4


def spoil_voc(folder: Path) -> int:
    (folder / "JPEGImages/a.png").write_text("no image")
    xml = folder / "Annotations/b.xml"
    bad = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>1</ymin><xmax>{x2}</xmax><ymax>9</ymax></bndbox></object>"
        for name, x, x2 in (("cat", 5, 5), ("cat", 80, 90), ("cow", 1, 9), ("cat", 30, 60), ("cat", 30, 60))
    )
    xml.write_text(xml.read_text().replace("</annotation>", f"{bad}</annotation>"))
    (folder / "Annotations/c.xml").write_text("<annotation")
    write_image(folder / "JPEGImages/unlisted.png", 9)
    return 3 + 4
