"""YOLO's label files as people have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split, read_split
from cornernet.data.yolo import label_file
from cornernet.errors import InputError


def write_image(path: Path, size: tuple[int, int] = (200, 100)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (70, 80, 90)).save(path)
    return path


def write_yolo(folder: Path, content: object, labels: dict[str, str | None]) -> Path:
    """A data set of 200x100 images; ``labels`` by image path, ``None`` for no label file."""
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    for name, lines in labels.items():
        image = write_image(folder / name)
        if lines is not None:
            label_file(image).parent.mkdir(parents=True, exist_ok=True)
            label_file(image).write_text(lines, encoding="utf-8")
    return folder


USUAL = {"train": "images/train", "val": "images/val", "names": ["cat", "dog"]}
BOX = "0 0.5 0.5 0.2 0.4\n"  # of 200x100 pixels: 80 30 120 70


def load(folder: Path, split: str = "train", **options) -> CocoDataset:
    return load_split(find_data(folder), split, **options)


def test_boxes_come_out_in_pixels(tmp_path):
    lines = "1 0.5 0.5 0.2 0.4\n\n0 0.05 0.1 0.1 0.2\n"
    data = load(write_yolo(tmp_path, USUAL, {"images/train/a.png": lines, "images/val/b.png": BOX}))
    assert data.class_names == ("cat", "dog")
    assert (data.name, data.format, data.json_path) == ("train", "YOLO", tmp_path / "data.yaml")
    (image,) = data.images
    assert (image.file_name, image.height, image.width) == ("a.png", 100, 200)
    assert np.allclose(image.boxes, [[80, 30, 120, 70], [0, 0, 20, 20]])
    assert image.labels.tolist() == [1, 0]
    assert data.problems == []
    assert str(data) == f"train: 1 images, 2 boxes, 2 classes (YOLO, {tmp_path}/data.yaml)"


def test_a_polygon_counts_as_its_bounding_box(tmp_path):
    polygon = "0 0.1 0.2 0.3 0.8 0.2 0.1\n"
    image = load(write_yolo(tmp_path, USUAL, {"images/train/a.png": polygon})).images[0]
    assert np.allclose(image.boxes, [[20, 10, 60, 80]])


def test_keypoints_after_the_box_are_no_polygon(tmp_path):
    content = USUAL | {"kpt_shape": [2, 2]}
    pose = BOX.strip() + " 0.1 0.1 0.9 0.9\n"
    data = load(write_yolo(tmp_path, content, {"images/train/a.png": pose}))
    assert np.allclose(data.images[0].boxes, [[80, 30, 120, 70]])


@pytest.mark.parametrize(
    "names", [["a, b", "🐈 cat", "no"], {0: "a, b", 1: "🐈 cat", 2: "no"}, {0: "x", 5: "y"}, [7, 8]]
)
def test_class_names_as_a_list_or_a_dictionary(tmp_path, names):
    pairs = dict(enumerate(names)) if isinstance(names, list) else names
    last = max(pairs)
    data = load(write_yolo(tmp_path, USUAL | {"names": names}, {"images/train/a.png": f"{last} 0.5 0.5 0.1 0.1"}))
    assert data.class_names == tuple(map(str, pairs.values()))
    assert data.category_ids == tuple(pairs)
    assert data.class_names[data.images[0].labels[0]] == str(pairs[last])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("names: [cat\n", "not YAML"),
        ("- cat\n", "not a YOLO data set"),
        ("train: images/train\n", r"'names' is missing; list the classes there: names: \[first, second\]"),
        (
            "names: cat, dog\ntrain: images/train\n",
            r"'names' must be a list .*; write them as names: \[first, second\]",
        ),
        ("names: [cat, [yes]]\ntrain: images/train\n", r"names\[1\] is \['yes'\].* put it in quotes"),
        ("names: {a: cat}\ntrain: images/train\n", "names has the key 'a'; number the classes"),
        ("names: [cat, dog, cat]\ntrain: images/train\n", r"names\[2\] 'cat' stands twice; rename or remove one"),
        ("names: [cat]\n", "names no images; add 'train:'"),
        ("names: [cat]\ntrain: nowhere\n", "train: there is no .*nowhere; correct the path"),
        ("names: [cat]\ntrain: data.yaml\n", "neither a folder nor a .txt file"),
        ("names: [cat]\ntrain: empty\n", "no image there"),
    ],
)
def test_a_yaml_file_that_will_not_do(tmp_path, content, said):
    write_yolo(tmp_path, content, {"images/train/a.png": BOX})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=said) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert "data.yaml" in str(caught.value) or "empty" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        ("0 0.5 0.5 0.2", "is not a class and a box", "correct or remove it"),
        ("0 0.5 0.5 0.2 0.1 45", "is not a class and a box", "if the sixth number is an angle"),
        ("gsd:0.146", "is not a class and a box", "correct or remove it"),
        ("20 30 80 30 80 90 20 90 small-car 0", "is not a class and a box", "it is DOTA's"),
        ("cat 0.5 0.5 0.2 0.1", "is not a class and a box", "write the number of its class, not the name"),
        ("traffic light 0.5 0.5 0.2 0.1", "is not a class and a box", "write the number of its class, not the name"),
        ("0,0.5,0.5,0.2,0.1", "is not a class and a box", "put spaces between its numbers, not commas"),
        ("0, 0.5, 0.5, 0.2, 0.1", "is not a class and a box", "put spaces between its numbers, not commas"),
        ("2 0.5 0.5 0.2 0.1", r"class 2 is not among the names of data\.yaml", "add it there"),
        ("-1 0.5 0.5 0.2 0.1", "-1 is no number of a class", "begin the line with a whole number"),
        ("0.5 0.5 0.5 0.2 0.1", "0.5 is no number of a class", "begin the line with a whole number"),
        ("0 nan 0.5 0.2 0.1", "is not four finite numbers", "correct or remove it"),
        ("0 0.5 0.5 0 0.1", "has no width or no height", "correct or remove it"),
        ("0 100 60 20 10", "lies outside its 100x200 image", "correct or remove it"),
    ],
)
def test_a_bad_line_is_left_out_with_its_file_and_number(tmp_path, line, what, fix):
    folder = write_yolo(tmp_path, USUAL, {"images/train/a.png": f"{BOX}\n{line}\n{BOX}"})
    data = load(folder)
    assert len(data.images[0].boxes) == 2
    assert (data.skipped, data.skipped_images) == (1, 0)
    (problem,) = data.problems
    assert problem.where == f"{folder}/labels/train/a.txt line 3"
    assert fix in problem.fix
    with pytest.raises(InputError, match=f"1 bad boxes: .*a.txt line 3: .*{what}"):
        load(folder, strict=True)


def test_the_number_of_classes_and_repeated_lines_are_said(tmp_path):
    content = {"train": "train.txt", "nc": 3, "names": ["cat", "dog"]}
    folder = write_yolo(tmp_path, content, {"images/a.png": BOX, "images/b.png": BOX})
    (folder / "train.txt").write_text("images/a.png\n./images/a.png\nimages/b.png\nimages/b.png\n")
    data = load(folder)
    assert len(data.images) == 2
    assert data.notes == (
        "nc says 3 classes, and names has 2, which are read",
        f"2 lines of {folder / 'train.txt'} repeat an image: each image is read once",
    )
    assert load(folder).notes == data.notes


@pytest.mark.parametrize("place", ["labels/train/a.TXT", "Labels/train/A.txt", "LABELS/Train/a.txt"])
def test_label_files_that_are_spelled_otherwise_are_read_and_said(tmp_path, place):
    folder = write_yolo(tmp_path, USUAL, {"images/train/a.png": None, "images/train/b.png": None})
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_text(BOX)
    labels = find_data(folder)
    data = load_split(labels, "train")
    assert [len(image.boxes) for image in data.images] == [1, 0]
    assert data.notes == (f"1 label files are spelled otherwise than their images, such as {folder / place}",)
    strays = [problem.where for problem in labels.strays([read_split(labels, "train")])]
    assert strays == [str(folder / "images/train/b.png")]


def test_outlines_that_may_be_keypoints_are_said(tmp_path):
    doubt = "all outlines may also be boxes with keypoints in them: if so, write kpt_shape into the YAML file"
    points = "0 .5 .5 .2 .2 .45 .45 .55 .55\n1 .4 .4 .2 .2 .35 .35 .45 .45\n"
    turned = "0 .1 .2 .2 .1 .3 .2 .2 .3\n"
    assert doubt in load(write_yolo(tmp_path / "points", USUAL, {"images/train/a.png": points})).notes
    for name, lines in (("turned", turned), ("both", points + turned), ("boxes", BOX)):
        assert doubt not in load(write_yolo(tmp_path / name, USUAL, {"images/train/a.png": lines})).notes
    content = USUAL | {"kpt_shape": [2, 2]}
    (image,) = load(write_yolo(tmp_path / "told", content, {"images/train/a.png": points})).images
    assert np.allclose(image.boxes, [[80, 40, 120, 60], [60, 30, 100, 50]])


def test_a_confidence_after_the_box_is_said_and_not_used(tmp_path):
    lines = {"images/train/a.png": "0 0.5 0.5 0.2 0.4 0.93\n0 0.5 0.5 0.2 0.4 1\n", "images/train/b.png": BOX}
    data = load(write_yolo(tmp_path, USUAL, lines))
    assert [image.boxes.tolist() for image in data.images] == [[[80, 30, 120, 70]] * 2, [[80, 30, 120, 70]]]
    assert data.notes[:1] == ("the sixth number of 2 label lines is read as a confidence, which is not used",)


def test_class_names_are_read_as_they_are_written(tmp_path):
    names = ["no", "on", "0123", "1e3", "12:30", "1_000", "~", "2026-01-01", "cat"]
    for i, text in enumerate(
        (f"names: [{', '.join(names)}]", "names:\n" + "".join(f"  {k}: {n}\n" for k, n in enumerate(names)))
    ):
        folder = write_yolo(tmp_path / str(i), f"train: images/train\n{text}\n", {"images/train/a.png": BOX})
        assert load(folder).class_names == tuple(names)


def test_images_that_cannot_be_read_are_left_out_and_named(tmp_path):
    folder = write_yolo(tmp_path, USUAL, {f"images/train/{name}.png": BOX for name in "abc"})
    (folder / "images/train/a.png").write_text("hello")
    (folder / "labels/train/b.txt").write_bytes(b"\xff\xfe\x00\x01\x02")
    data = load(folder)
    assert [image.file_name for image in data.images] == ["c.png"]
    assert (data.skipped, data.skipped_images) == (0, 2)
    assert "a.png: not an image that can be read" in str(data.problems[0])
    assert "b.txt: not text" in str(data.problems[1])
    with pytest.raises(InputError, match="2 bad images: "):
        load(folder, strict=True)


def test_an_image_without_labels_is_background(tmp_path):
    data = load(write_yolo(tmp_path, USUAL, {"images/train/a.png": None, "images/train/b.png": BOX}))
    assert [len(image.boxes) for image in data.images] == [0, 1]
    assert data.problems == []


def test_a_list_of_folders_and_a_text_file(tmp_path):
    content = {"path": ".", "train": ["one/images", "two/images"], "val": "val.txt", "names": ["cat"]}
    folder = write_yolo(
        tmp_path, content, {"one/images/a.png": BOX, "two/images/deep/a.png": BOX, "one/images/b.png": ""}
    )
    (folder / "val.txt").write_text(f"./one/images/b.png\n{folder}/two/images/deep/a.png\nnowhere.png\n")
    assert [image.file_name for image in load(folder).images] == [
        "one/images/a.png",
        "one/images/b.png",
        "two/images/deep/a.png",
    ]
    val = load(folder, "val")
    assert [(image.path, len(image.boxes)) for image in val.images] == [
        (folder / "one/images/b.png", 0),
        (folder / "two/images/deep/a.png", 1),
    ]
    assert "nowhere.png: no such file" in str(val.problems[0])


@pytest.mark.parametrize("path", ["/content/datasets/mine", "../datasets/mine", ".", "C:\\Users\\me\\mine"])
@pytest.mark.parametrize(
    "entry",
    ["../train/images", "train/images", "./train/images", "train\\images", "C:\\Users\\me\\mine\\train\\images"],
)
def test_paths_that_were_right_elsewhere(tmp_path, path, entry):
    """Roboflow's ``../train/images``, and a ``path`` of another machine."""
    content = {"path": path, "train": entry, "names": ["cat"]}
    folder = write_yolo(tmp_path / "mine", content, {"train/images/a.png": BOX})
    assert len(load(folder).images) == 1


def test_where_labels_lie(tmp_path):
    assert label_file(Path("/d/images/x/images/t/a.b.jpg")) == Path("/d/images/x/labels/t/a.b.txt")
    assert label_file(Path("d/photos/a.jpg")) == Path("d/photos/a.txt")
    image = write_image(tmp_path / "images/a.png")
    image.with_suffix(".txt").touch()
    assert label_file(image) == tmp_path / "images/a.txt"  # beside it, as none lies in labels


def test_the_yaml_file_itself_and_one_of_another_name(tmp_path):
    folder = write_yolo(tmp_path, USUAL, {"images/train/a.png": BOX})
    (folder / "data.yaml").rename(folder / "coco8.yaml")
    assert len(load(folder).images) == 1
    assert len(load(folder / "coco8.yaml").images) == 1
    (folder / "other.yaml").write_text((folder / "coco8.yaml").read_text())
    with pytest.raises(InputError, match=r"several YOLO data sets \(coco8.yaml, other.yaml\); name one"):
        load(folder)


def test_rotated_photos_are_labelled_upright(tmp_path):
    folder = write_yolo(tmp_path, USUAL, {"images/train/a.jpg": BOX})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (200, 100)).save(folder / "images/train/a.jpg", exif=exif)
    image = load(folder).images[0]
    assert (image.height, image.width) == (200, 100)
    assert np.allclose(image.boxes, [[40, 60, 60, 140]])
