"""Where two places fit, the one beside the label file is taken, or both are named; a missing split stops no other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from cornernet.cli import main
from cornernet.data.coco import find_split
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split
from cornernet.errors import InputError

HERE, THERE = 10, 200  # grey values: of the pictures that are meant, and of others with the same names
BOX = "0 0.5 0.5 0.5 0.5\n"


def picture(path: Path, value: int = HERE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 10), value).save(path)
    return path


def yolo(images: Path, value: int = HERE, name: str = "a.png") -> None:
    """An image with a label."""
    label = Path(str(picture(images / name, value)).replace("images", "labels")).with_suffix(".txt")
    label.parent.mkdir(parents=True, exist_ok=True)
    label.write_text(BOX)


def write_yaml(file: Path, **content: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({"names": ["hat"], **content}))
    return file


def coco(file: Path, name: str = "a.png", count: int = 1) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": i, "file_name": name.replace("a", "abc"[i - 1])} for i in range(1, count + 1)]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [5, 2.5, 10, 5]} for i in range(1, count + 1)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "hat"}]}
    file.write_text(json.dumps(content))
    return file


def voc(file: Path, file_name: str = "a.png") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    sides = "<xmin>5</xmin><ymin>2.5</ymin><xmax>15</xmax><ymax>7.5</ymax>"
    item = f"<object><name>hat</name><bndbox>{sides}</bndbox></object>"
    file.write_text(f"<annotation><filename>{file_name}</filename>{item}</annotation>")
    return file


def values(data: CocoDataset) -> list[int]:
    """The grey values of a split's images, each with its one box."""
    assert [image.boxes.tolist() for image in data.images] == [[[5, 2.5, 15, 7.5]]] * len(data.images)
    return [int(image.read()[0, 0, 0]) for image in data.images]


def load(place: Path, split: str = "train") -> CocoDataset:
    return load_split(find_data(place), split)


def test_a_data_set_beside_another_one(tmp_path):
    """Roboflow's ``../train/images`` is beside the file, also where another data set is above it."""
    for split in ("train", "valid"):
        yolo(tmp_path / split / "images", THERE)
        yolo(tmp_path / "hats-v1" / split / "images", HERE)
    folder = tmp_path / "hats-v1"
    write_yaml(folder / "data.yaml", train="../train/images", val="../valid/images", test="../test/images")
    data = load(folder)
    assert values(data) == values(load(folder, "val")) == [HERE]
    assert any(f"../train/images is read as {folder}/train/images, beside the file, not as" in n for n in data.notes)
    shutil.rmtree(folder / "valid")  # that of the other data set is no replacement
    with pytest.raises(
        InputError, match=r"val: there is no .*hats-v1/valid/images; if .*/valid/images is meant, write"
    ):
        load(folder, "val")
    shutil.rmtree(folder / "train")
    assert values(load(folder)) == [THERE]  # now what the file says


@pytest.mark.parametrize(
    ("path", "entry", "there", "here"),
    [
        ("../other", "images/train", "other/images/train", "mine/images/train"),
        ("{}/other", "train/images", "other/train/images", "mine/train/images"),
        ("sub", "train/images", "mine/sub/train/images", "mine/train/images"),
        ("sub", "train.txt", "mine/sub/images", "mine/images"),
    ],
)
def test_a_path_that_fits_and_images_beside_the_file(tmp_path, path, entry, there, here):
    yolo(tmp_path / there, THERE)
    yolo(tmp_path / here, HERE)
    if entry.endswith("txt"):
        (tmp_path / "mine/sub/train.txt").write_text("images/a.png\n")
    write_yaml(tmp_path / "mine/data.yaml", path=path.format(tmp_path), train=entry)
    with pytest.raises(InputError, match=r"other|sub") as caught:
        load(tmp_path / "mine")
    assert all(str(tmp_path / place).removesuffix("/images") in str(caught.value) for place in (there, here))
    shutil.copy(tmp_path / here / "a.png", tmp_path / there / "a.png")
    assert values(load(tmp_path / "mine")) == [HERE]  # the same files are no conflict


@pytest.mark.parametrize("entry", ["/content/hats/train/images", "datasets/hats/train/images", "/data/hats/train"])
def test_a_path_of_another_machine(tmp_path, entry):
    yolo(tmp_path / "train/images")
    data = load(write_yaml(tmp_path / "data.yaml", train=entry))
    assert values(data) == [HERE]
    assert any(f"{entry} is not there, {tmp_path}/train" in note for note in data.notes)


def test_a_folder_of_the_working_directory_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yolo(tmp_path / "datasets/coco8/images/train")
    file = write_yaml(tmp_path / "cfg/coco8.yaml", path="coco8", train="images/train")
    with pytest.raises(InputError, match=rf"if {tmp_path}/datasets/coco8/images/train is meant, write that"):
        load(file)


@pytest.mark.parametrize("other", ["train: images/other", "train: images/train\nval: images/other"])
def test_several_yaml_files(tmp_path, other):
    for name in ("train", "other"):
        yolo(tmp_path / "images" / name)
    file = write_yaml(tmp_path / "data.yaml", train="images/train")
    second = tmp_path / "hats.yaml"
    shutil.copy(file, second)
    assert len(load(tmp_path).images) == 1
    second.write_text(f"names: [hat]\n{other}\n")
    with pytest.raises(InputError, match=r"several YOLO data sets \(data.yaml, hats.yaml\); name one"):
        load(tmp_path)
    second.write_text("epochs: 3\n")
    assert len(load(tmp_path).images) == 1


def test_labels_in_two_places_and_labels_of_two_images(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        yolo(tmp_path / "images/train", name=name)
    write_yaml(tmp_path / "data.yaml", train="images/train")
    (tmp_path / "images/train/a.txt").write_text(BOX)
    assert load(tmp_path).notes == ()
    (tmp_path / "images/train/b.txt").write_text("")
    (note,) = load(tmp_path).notes
    assert "b.png has two label files" in note
    assert f"{tmp_path}/images/train/b.txt, which differ: the first is read" in note
    (tmp_path / "images/train/b.txt").unlink()
    picture(tmp_path / "images/train/c.jpg", THERE)
    (note,) = load(tmp_path).notes
    assert note.endswith(f"c.png share the label file {tmp_path}/labels/train/c.txt: its boxes are given to both")


COCO_CASES: dict[str, tuple[str, tuple[str, ...], str | None]] = {
    "two folders of the split's name": ("annotations/instances_train.json", ("train", "images/train"), None),
    "two folders of other names": ("hats.json", ("one", "two"), None),
    "the split's name first": ("annotations/instances_train.json", ("train", "val"), "train"),
    "images before another": ("hats.json", ("images", "old"), "images"),
}


@pytest.mark.parametrize("case", COCO_CASES)
def test_coco_images_in_two_folders(tmp_path, case):
    name, folders, meant = COCO_CASES[case]
    coco(tmp_path / name)
    for folder in folders:
        picture(tmp_path / folder / "a.png", HERE if folder == meant else THERE + folders.index(folder))
    split = find_data(tmp_path).splits[0]
    if meant:
        assert values(load(tmp_path, split)) == [HERE]
        return
    with pytest.raises(InputError, match=rf"such as a.png, are in {tmp_path}/{folders[0]} and, .* in .*{folders[1]}"):
        load(tmp_path, split)
    if split == "train":
        with pytest.raises(InputError, match=r"other ones, in"):
            find_split(tmp_path, split)
    shutil.copy(tmp_path / folders[0] / "a.png", tmp_path / folders[1] / "a.png")
    assert len(load(tmp_path, split).images) == 1
    (tmp_path / folders[0] / "a.png").unlink()  # an empty folder of the right name is none
    assert values(load(tmp_path, split)) == [THERE]


def test_two_coco_files_of_one_split(tmp_path):
    for folder in ("train", "val", "valid"):
        picture(tmp_path / folder / "a.png")
    coco(tmp_path / "annotations/instances_train.json")
    coco(tmp_path / "train/_annotations.coco.json")
    assert values(load(tmp_path)) == [HERE]  # twice the same
    coco(tmp_path / "train/_annotations.coco.json", count=2)
    with pytest.raises(
        InputError, match=r"train/_annotations.coco.json and annotations/instances_train.json, which diff"
    ):
        load(tmp_path)
    (tmp_path / "annotations/instances_train.json").unlink()
    coco(tmp_path / "valid/_annotations.coco.json")
    coco(tmp_path / "annotations/instances_validation.json")
    (tmp_path / "validation").mkdir()
    with pytest.raises(InputError, match=r"val may be valid or validation of COCO .*name one of them"):
        load(tmp_path, "val")
    coco(tmp_path / "val/_annotations.coco.json")
    data = load(tmp_path, "val")
    assert data.name == "val"
    assert data.notes == ("valid and validation is there too, and is not a part of it",)


@pytest.mark.parametrize("name", ["Train", "train2014", "training", "train2017"])
def test_split_names_that_mean_the_usual_ones(tmp_path, name):
    picture(tmp_path / name / "a.png")
    coco(tmp_path / name / "_annotations.coco.json")
    assert values(load(tmp_path)) == [HERE]


def test_voc_images_in_two_folders(tmp_path):
    voc(tmp_path / "Annotations/a.xml")
    picture(tmp_path / "images/a.png")
    (tmp_path / "JPEGImages").mkdir()  # an empty folder of the right name is none
    assert values(load(tmp_path, "all")) == [HERE]
    for folder in ("JPEGImages", "Annotations"):
        picture(tmp_path / folder / "a.png", THERE)
        with pytest.raises(InputError, match=rf"{tmp_path}/\w+ and, other ones, in {tmp_path}/\w+; remove or rename"):
            load(tmp_path, "all")
        (tmp_path / folder / "a.png").unlink()


def test_voc_images_of_one_stem(tmp_path):
    voc(tmp_path / "a.xml", "a.bmp")
    voc(tmp_path / "b.xml", "b.png")
    for name in ("a.png", "a.jpg", "b.png"):
        picture(tmp_path / name)
    data = load(tmp_path, "all")
    assert [image.file_name for image in data.images] == ["b.png"]
    assert "a.xml: its image may be a.jpg or a.png; image left out" in str(data.problems[0])
    voc(tmp_path / "a.xml", "a.png")
    assert [image.file_name for image in load(tmp_path, "all").images] == ["a.png", "b.png"]


def test_a_voc_file_that_names_another_image_than_its_own_name(tmp_path):
    voc(tmp_path / "a.xml", "b.png")
    for name, value in (("a.png", HERE), ("b.png", THERE)):
        picture(tmp_path / name, value)
    data = load(tmp_path, "all")
    assert values(data) == [HERE]
    assert data.notes == (
        "1 label files name another image than the one with their own name, which is read: "
        f"{tmp_path}/a.xml names {tmp_path}/b.png",
    )


@pytest.mark.parametrize(
    ("xml", "image", "folder"),
    [("labels/a.xml", "images/a.png", ""), ("xmls/a.xml", "photos/b.png", "photos"), ("a.xml", "far/b.png", "{}/far")],
)
def test_voc_images_in_a_folder_beside_the_labels_or_where_these_say(tmp_path, xml, image, folder):
    file, path = voc(tmp_path / "data" / xml, Path(image).name), folder.format(tmp_path)
    told = f"<folder>{folder}</folder>" if "{}" not in folder else f"<path>{path}/b.png</path>"
    file.write_text(file.read_text().replace("<filename>", f"{told}<filename>"))
    picture(tmp_path / ("data" if "{}" not in folder else "") / image)
    picture(tmp_path / "data/photos/c.png", THERE)
    labels = find_data(tmp_path / "data")
    (split,) = labels.splits
    assert values(load_split(labels, split)) == [HERE]


def broken_yolo(folder: Path) -> None:
    yolo(folder / "images/train")
    write_yaml(folder / "data.yaml", train="images/train", test="images/test")


def empty_yolo(folder: Path) -> None:
    broken_yolo(folder)
    (folder / "images/test").mkdir()


def broken_coco(folder: Path) -> None:
    picture(folder / "train/a.png")
    coco(folder / "annotations/instances_train.json")
    coco(folder / "annotations/instances_test.json", "t.png")


@pytest.mark.parametrize("write", [broken_yolo, empty_yolo, broken_coco])
def test_a_missing_test_split_does_not_stop_the_others(tmp_path, capsys, write: Callable[[Path], None]):
    write(tmp_path / "data")
    assert main(["data", "convert", str(tmp_path / "data"), str(tmp_path / "out"), "--to", "voc"]) == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith("; the other splits are converted\n")
    assert "test" in said
    assert values(load(tmp_path / "out")) == [HERE]
    assert main(["data", "convert", str(tmp_path / "data"), str(tmp_path / "two"), "--to", "voc", "--strict"]) == 2
