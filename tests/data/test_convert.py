"""From one label format to another and back: every box returns, and images stay as they are."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from cornernet.data.check import check_data
from cornernet.data.convert import write_data
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split, split_names
from cornernet.errors import InputError
from cornernet.media.images import read_image

FORMATS = ("coco", "yolo", "voc", "cvat", "labelme", "labelstudio")
CROWDS = ("coco", "voc", "labelme")  # formats that mark them
NAMES = ("a, b", " dog ", "🐈 cat", "no", "<&>'\"", "x: y", "Dog", "#1", "0123", "1e3", "null", "on", "~")
PRECISION = 0.01  # pixels


def write_random(folder: Path, seed: int) -> Path:
    """COCO data with boxes of all kinds: fractions, slivers, whole images, at the edges and a little beyond."""
    rng = np.random.default_rng(seed)
    annotation_id = 0
    for split, count in (("train", 4), ("val", 2), ("extra", 1)):
        images, annotations = [], []
        for i in range(1, count + 1):
            width, height = (int(side) for side in np.exp(rng.uniform(0, np.log(3000), 2)).astype(int) + 1)
            name = f"{'deep/' if i % 2 else ''}{i} ä #1%20+&.{('png', 'jpg')[i % 2]}"
            (folder / split / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (width, height), int(rng.integers(256))).save(folder / split / name)
            images.append({"id": 10 * i, "file_name": name, "height": height, "width": width})
            for _ in range(int(rng.integers(0, 12))):
                x, x2 = np.sort(rng.choice([rng.uniform(-0.5, width + 0.5), 0, width, rng.integers(width)], 2, False))
                y, y2 = np.sort(
                    rng.choice([rng.uniform(-0.5, height + 0.5), 0, height, rng.integers(height)], 2, False)
                )
                if rng.random() < 0.2:
                    x2 = x + 0.001
                annotation_id += 1
                bbox = [float(x), float(y), float(x2 - x), float(y2 - y)]
                ids = {"id": annotation_id, "image_id": 10 * i, "category_id": int(rng.integers(len(NAMES))) + 1}
                annotations.append(ids | {"bbox": bbox, "iscrowd": int(rng.random() < 0.1), "area": 1.5})
        content = {"images": images, "annotations": annotations}
        content["categories"] = [{"id": i, "name": name} for i, name in enumerate(NAMES, 1)]
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    return folder


def load_all(folder: Path) -> dict[str, CocoDataset]:
    labels = find_data(folder)
    return {split: load_split(labels, split) for split in split_names(labels)}


def convert(source: Path, out: Path, format, **options) -> Path:
    write_data(out, format, load_all(source), **options)
    return out


def assert_same(ours: CocoDataset, theirs: CocoDataset, *, with_crowds: bool = True) -> None:
    """The same images to the byte, and equal boxes to within the precision stated."""
    assert len(ours.images) == len(theirs.images)
    by_content = {image.path.read_bytes(): image for image in theirs.images}
    for image in ours.images:
        other = by_content[image.path.read_bytes()]
        assert (image.height, image.width) == (other.height, other.width)
        names = [[data.class_names[k] for k in i.labels] for data, i in ((ours, image), (theirs, other))]
        assert names[0] == names[1]
        assert np.abs(image.boxes - other.boxes).max(initial=0) < PRECISION
        if with_crowds:
            assert np.array_equal(image.crowd, other.crowd)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_return_from_every_format(tmp_path, seed):
    source = write_random(tmp_path / "source", seed)
    before = load_all(source)
    assert sum(len(image.boxes) for data in before.values() for image in data.images) > 10
    for format in FORMATS:
        there = convert(source, tmp_path / format, format)
        again = load_all(convert(there, tmp_path / f"{format} and back", "coco"))
        for split, data in before.items():
            assert_same(data, load_all(there)[split], with_crowds=format in CROWDS)
            assert_same(data, again[split], with_crowds=format in CROWDS)
            assert again[split].problems == []
            assert again[split].class_names == data.class_names


def test_a_chain_of_formats_loses_nothing(tmp_path):
    place = write_random(tmp_path / "source", 7)
    before = load_all(place)
    for i, format in enumerate(("voc", "coco", "yolo", "voc", "yolo", "coco")):
        place = convert(place, tmp_path / str(i), format)
    after = load_all(place)
    assert after.keys() == before.keys()
    for split, data in before.items():
        assert_same(data, after[split], with_crowds=False)


def test_what_yolo_gets(tmp_path):
    out = convert(write_random(tmp_path / "source", 1), tmp_path / "yolo", "yolo")
    content = yaml.safe_load((out / "data.yaml").read_text(encoding="utf-8"))
    assert content["names"] == dict(enumerate(NAMES))
    assert content["train"] == "images/train"
    images = [path.relative_to(out / "images").with_suffix("") for path in (out / "images").rglob("*.*g")]
    labels = [path.relative_to(out / "labels").with_suffix("") for path in (out / "labels").rglob("*.txt")]
    assert sorted(images) == sorted(labels)
    assert len(images) == 7


def test_coco_keeps_ids_areas_and_crowds(tmp_path):
    source = write_random(tmp_path / "source", 2)
    out = convert(source, tmp_path / "coco", "coco")
    for split in ("train", "val"):
        before, after = (load_all(place)[split].coco_dict() for place in (source, out))
        assert after["images"] == before["images"]
        assert after["categories"] == before["categories"]
        for old, new in zip(before["annotations"], after["annotations"], strict=True):
            assert old | {"bbox": None, "area": None} == new | {"bbox": None, "area": None}
            assert new["area"] == pytest.approx(min(1.5, new["bbox"][2] * new["bbox"][3]))


def test_crowds_that_cannot_be_kept_are_said(tmp_path):
    datasets = load_all(write_random(tmp_path / "source", 3))
    crowds = sum(int(image.crowd.sum()) for data in datasets.values() for image in data.images)
    assert crowds > 0
    flat = "4 images, such as deep/1 ä #1%20+&.jpg, lie in one folder now: many tools look in no other"
    said = write_data(tmp_path / "yolo", "yolo", datasets)
    assert said == [f"{crowds} crowd boxes became ordinary ones: YOLO has no mark for them", flat]
    assert write_data(tmp_path / "voc", "voc", datasets) == [
        "3 images got another name: VOC keeps all splits in one folder",
        flat,
    ]


@pytest.mark.parametrize("format", ["yolo", "voc"])
def test_no_image_lies_in_a_folder_below_in_formats_whose_tools_look_in_one(tmp_path, format):
    small(tmp_path / "data", {"a/x.png": 1, "b/x.png": 2, "b_x.png": 0, "b/y.png": 3})
    out = convert(tmp_path / "data", tmp_path / "out", format)
    folder = out / "images/train" if format == "yolo" else out / "JPEGImages"
    assert sorted(path.name for path in folder.iterdir()) == ["a_x.png", "b_x.png", "b_x_2.png", "y.png"]
    assert sorted(len(image.boxes) for image in load_all(out)["train"].images) == [0, 1, 2, 3]


def small(folder: Path, images: dict[str, int], categories: tuple[str, ...] = ("cat",), split: str = "train") -> Path:
    """A COCO split of 20x10 images; ``images`` by name, with how many boxes."""
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": n} for i, n in enumerate(categories, 1)],
    }
    for i, (name, boxes) in enumerate(images.items(), 1):
        (folder / split / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 10), i).save(folder / split / name)
        content["images"].append({"id": i, "file_name": name, "width": 20, "height": 10})
        for k in range(boxes):
            ids = {"id": len(content["annotations"]) + 1, "image_id": i, "category_id": 1 + k % len(categories)}
            content["annotations"].append(ids | {"bbox": [k, i, 2, 3]})
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("format", FORMATS)
def test_names_that_are_one_to_the_format_are_told_apart(tmp_path, format):
    source = small(tmp_path / "source", {"a.png": 1, "a.jpg": 2, "A.png": 3, "a_2.png": 4, "images/a.png": 5})
    out = convert(source, tmp_path / "out", format)
    data = load_all(out)["train"]
    names = [str(image.path.relative_to(out)) for image in data.images]
    assert len({name.casefold() for name in names}) == 5
    assert Counter(len(image.boxes) for image in data.images) == Counter([1, 2, 3, 4, 5])
    for image in data.images:
        with Image.open(image.path) as opened:
            assert image.boxes[0][1] == opened.convert("L").getpixel((0, 0))  # its own boxes, not its namesake's


def test_splits_get_their_usual_names_and_the_classes_of_all(tmp_path):
    small(tmp_path / "source", {"a.png": 1}, ("cat", "dog"), "train2017")
    small(tmp_path / "source", {"a.png": 3}, ("dog", "cow", "cat"), "valid")
    for format in FORMATS:
        data = load_all(convert(tmp_path / "source", tmp_path / format, format))
        assert list(data) == ["train", "val"]
        assert data["train"].class_names == data["val"].class_names == ("cat", "dog", "cow")
        val = data["val"]
        assert [val.class_names[k] for k in val.images[0].labels] == ["dog", "cow", "cat"]


def test_links_instead_of_copies(tmp_path):
    source = small(tmp_path / "source", {"a.png": 1})
    out = convert(source, tmp_path / "out", "yolo", link=True)
    assert (out / "images/train/a.png").stat().st_ino == (source / "train/a.png").stat().st_ino


def test_from_a_read_only_folder(tmp_path):
    source = small(tmp_path / "source", {"a.png": 1})
    before = sorted(source.rglob("*"))
    for path in [*before, source]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        out = convert(source, tmp_path / "out", "voc")
        assert sorted(source.rglob("*")) == before
        shutil.rmtree(out)
    finally:
        for path in [source, *before]:
            path.chmod(0o755)


def test_a_place_that_is_taken_or_cannot_be_written(tmp_path, monkeypatch):
    datasets = load_all(small(tmp_path / "source", {"a.png": 1}))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").touch()
    with pytest.raises(InputError, match="taken: exists and is not an empty folder"):
        write_data(tmp_path / "taken", "coco", datasets)
    with pytest.raises(InputError, match="a part of this path is a file"):
        write_data(tmp_path / "taken/file/below", "coco", datasets)
    with pytest.raises(InputError, match=r": cannot be written \(File name too long\); give a writable path"):
        write_data(tmp_path / ("x" * 300), "coco", datasets)

    def refuse(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(InputError, match=r"link\); leave link out"):
        write_data(tmp_path / "linked", "coco", datasets, link=True)
    monkeypatch.setattr(shutil, "copyfile", refuse)
    for format in FORMATS:
        with pytest.raises(InputError, match=f"{format}.*: cannot be written .*; give a writable path with room"):
            write_data(tmp_path / format, format, datasets)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "taken"]  # nothing half written


def test_a_full_disk_or_interrupt_leaves_nothing(tmp_path, monkeypatch):
    datasets = load_all(small(tmp_path / "source", {"a.png": 1, "b.png": 1}))

    def interrupt(done: int, total: int) -> None:
        assert total == 2
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_data(tmp_path / "out", "yolo", datasets, progress=interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("name", ["line\nbreak", "bell\x07"])
def test_names_that_a_format_cannot_hold(tmp_path, name):
    datasets = load_all(small(tmp_path / "source", {"a.png": 1}, (name,)))
    with pytest.raises(InputError, match="VOC's files hold no control characters; rename it"):
        write_data(tmp_path / "voc", "voc", datasets)
    write_data(tmp_path / "yolo", "yolo", datasets)
    assert load_all(tmp_path / "yolo")["train"].class_names == (name,)


@pytest.mark.parametrize("name", ["line\nbreak.png", "bell\x07.png"])
def test_image_names_that_a_format_cannot_hold(tmp_path, name):
    datasets = load_all(small(tmp_path / "source", {name: 1}))
    with pytest.raises(InputError, match=r"image '.*/train/(line.nbreak|bell.x07)\.png': VOC's files hold no control"):
        write_data(tmp_path / "voc", "voc", datasets)
    assert not (tmp_path / "voc").exists()
    write_data(tmp_path / "yolo", "yolo", datasets)
    assert load_all(tmp_path / "yolo")["train"].images[0].file_name == name


@pytest.mark.parametrize(
    ("name", "written"), [("photo", "photo.png"), ("shot 3.5", "shot 3.5.png"), ("b.GIF", "b.png")]
)
def test_images_that_a_format_would_not_find(tmp_path, name, written):
    source = small(tmp_path / "source", {"a.png": 1})
    file = source / "annotations/instances_train.json"
    file.write_text(file.read_text().replace("a.png", name))
    (source / "train/a.png").rename(source / "train" / name)
    datasets = load_all(source)
    write_data(tmp_path / "yolo", "yolo", datasets)
    assert load_all(tmp_path / "yolo")["train"].images[0].file_name == written
    write_data(tmp_path / "coco", "coco", datasets)
    assert load_all(tmp_path / "coco")["train"].images[0].file_name == name


def write_rotated(folder: Path, name: str, orientation: int, labelled: str) -> Path:
    """A COCO split with one white object in a black image of 64x40 stored pixels and an EXIF ``orientation``.

    ``labelled`` is the frame of its size and box: "stored" or "upright".
    """
    stored = np.zeros((40, 64, 3), np.uint8)
    stored[4:20, 8:56] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (folder / "train").mkdir(parents=True)
    Image.fromarray(stored).save(folder / "train" / name, exif=exif)
    shown = stored if labelled == "stored" else read_image(folder / "train" / name)
    (y, x), (y2, x2) = (f(np.argwhere(shown[..., 0] > 128), axis=0).tolist() for f in (np.min, np.max))
    image = {"id": 1, "file_name": name, "height": shown.shape[0], "width": shown.shape[1]}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [x, y, x2 + 1 - x, y2 + 1 - y]}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "bar"}]}
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_train.json").write_text(json.dumps(content))
    return folder


def fits(pixels: np.ndarray, box: np.ndarray) -> bool:
    """Whether the box holds the white object and nothing else."""
    x1, y1, x2, y2 = box.round().astype(int)
    inside = np.zeros(pixels.shape[:2], bool)
    inside[y1:y2, x1:x2] = True
    return bool((inside == (np.asarray(pixels)[..., 0] > 128)).all())


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    ("name", "orientation", "labelled"),
    [(f"a.{ending}", turn, "upright") for ending in ("jpg", "png", "webp", "tif") for turn in (3, 6)]
    + [("a.jpg", turn, "upright") for turn in (2, 4, 5, 7, 8)]
    + [("a.jpg", turn, "stored") for turn in (5, 6, 7, 8)]
    + [("a.png", 6, "stored"), ("a.tif", 8, "stored")],
)
def test_converted_rotated_photos_mean_the_same_to_every_reader(tmp_path, name, orientation, labelled, link):
    source = write_rotated(tmp_path / "source", name, orientation, labelled)
    before = load_all(source)
    assert fits(before["train"].images[0].read(), before["train"].images[0].boxes[0])
    format = FORMATS[orientation % 3]
    said = write_data(tmp_path / "out", format, before, link=link)
    assert said == [
        "1 images have an EXIF rotation, which some tools ignore: written anew as their pixels upright"
        + (", not linked" if link else "")
    ]
    (image,) = load_all(tmp_path / "out")["train"].images
    assert (image.height, image.width) == ((64, 40) if orientation >= 5 else (40, 64))
    for pixels in (image.read(), np.asarray(Image.open(image.path)), cv2.imread(str(image.path))):
        assert pixels.shape[:2] == (image.height, image.width)
        assert fits(pixels, image.boxes[0])
    assert Image.open(image.path).getexif().get(0x0112, 1) == 1
    expected = read_image(source / "train" / name).astype(int)
    assert np.abs(image.read() - expected).max() <= (12 if name.endswith("jpg") else 0)


@pytest.mark.parametrize(
    ("orientation", "labelled", "format", "said"),
    [
        (3, "upright", "coco", "do not tell whether they were made before or after it"),  # its size stays the same
        (6, "upright", "coco", None),
        (6, "stored", "coco", "have the size before it; read as before, so not turned"),
        (6, "upright", "coco without sizes", "do not tell whether they were made before or after it"),
        (6, "upright", "yolo", "do not tell whether they were made before or after it"),  # shares of which side?
        (1, "upright", "yolo", None),
    ],
)
def test_labels_whose_frame_cannot_be_known_are_asked_about(tmp_path, orientation, labelled, format, said):
    source = write_rotated(tmp_path / "coco", "a.jpg", orientation, labelled)
    if "without" in format:
        file = source / "annotations/instances_train.json"
        file.write_text(re.sub('"(height|width)": [0-9]+', r'"\1": null', file.read_text()))
    if format == "yolo":
        shutil.copy(source / "train/a.jpg", tmp_path / "a.jpg")
        source = convert(source, tmp_path / "yolo", "yolo")
        shutil.copy(tmp_path / "a.jpg", source / "images/train/a.jpg")
    for data in (load_all(source)["train"], check_data(find_data(source)).datasets["train"]):
        assert len(data.notes) == len(data.unsure) == bool(said)
        for note in data.notes:
            assert "1 images, such as" in note
            assert f"a.jpg, have an EXIF rotation, and their labels {said}" in note
            assert "look at mosaic.jpg of cornernet data check" in note


@pytest.mark.parametrize(
    "splits",
    [
        {"valid": "val", "Train": "train", "test2017": "test"},
        {"default": "train"},
        {"trainval": "train", "test": "test"},
        {"day": "day", "night": "night"},
        {"train": "train", "train2017": "train2017"},
    ],
)
def test_splits_get_names_that_other_tools_look_for(tmp_path, splits):
    for i, split in enumerate(splits, 1):
        small(tmp_path / "source", {f"{split}.png": i}, split=split)
    for format in FORMATS:
        if format == "labelme" and "day" in splits:  # its folders are splits only if a name says so
            continue
        said = write_data(tmp_path / format, format, load_all(tmp_path / "source"))
        named = {old: new for old, new in splits.items() if old in ("default", "trainval")}
        assert said == [f"the split {o} is named {n}, which other tools look for" for o, n in named.items()]
        data = load_all(tmp_path / format)
        assert {new: data[new].images[0].file_name for new in data} == {n: f"{o}.png" for o, n in splits.items()}


@pytest.mark.parametrize(("data", "boxes"), [("coco_tiny", 480), ("deeppcb", None)])
def test_real_data_there_and_back(shared, tmp_path, data, boxes):
    before = load_all(shared(f"data/{data}"))
    if data == "deeppcb":  # a hundred images will do
        before = {"val": before["val"].without({image.id for image in before["val"].images[100:]}, set())}
    for format in FORMATS:
        write_data(tmp_path / format, format, before, link=False)
        after = load_all(tmp_path / format)
        if boxes:
            assert sum(len(image.boxes) for data in after.values() for image in data.images) == boxes
        for ours, theirs in zip(before.values(), after.values(), strict=True):
            assert len(ours.images) == len(theirs.images)
            for image, other in zip(ours.images, theirs.images, strict=False):
                if image.path.name == other.path.name:
                    assert np.abs(image.boxes - other.boxes).max(initial=0) < PRECISION
