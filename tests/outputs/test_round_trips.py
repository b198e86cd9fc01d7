"""Whatever is written about predictions is read again, from any folder: the same boxes, classes and images."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO
from PIL import Image

from cornernet.data.convert import write_data
from cornernet.data.find import find_data, load_split
from cornernet.errors import InputError
from cornernet.inference.stream import Result
from cornernet.media.images import read_image
from cornernet.media.sources import Frame
from cornernet.outputs.choice import make_writers, parse_kinds
from cornernet.outputs.writer import WriteBehind
from cornernet.structures import Detections

NAMES = ("no", "on", "1e3", "0123", "a, b", 'a "quoted"', "ü 🐈", "#1", "x: y", "~", "'", "null")
FILES = ("a b#1%20.png", "ü🐈.jpg", "100%.png", 'a,"b".JPG', "x.y.png", "line\nbreak.png")


def predict(places: list[str], out: Path, save: str) -> dict[str, Detections]:
    """Random detections of image files, written; by the name of the file."""
    rng = np.random.default_rng(0)
    out.mkdir(exist_ok=True)
    found = {}
    with WriteBehind(make_writers(parse_kinds(save), out, NAMES, 0.1, all_frames=True, heatmaps=False)) as written:
        for place in places:
            pixels = read_image(place)
            height, width = pixels.shape[:2]
            corners = np.sort(rng.uniform(0, 1, (5, 2, 2)), axis=1).reshape(5, 4) * [width, height, width, height]
            labels = rng.integers(len(NAMES), size=5)
            scores = np.linspace(0.9, 0.1, 5)
            found[Path(place).name] = Detections(corners, scores, labels, NAMES, (height, width))
            written.add(Result(Frame(place, Path(place).stem, pixels), pixels, found[Path(place).name]))
    return found


@pytest.fixture
def photos(tmp_path, monkeypatch) -> list[str]:
    """Paths relative to the working directory."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(FILES):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (60 + i, 40), (i, 0, 0)).save(tmp_path / "photos" / name)
    return [f"photos/{name}" for name in FILES]


def same_boxes(boxes: object, labels: object, found: Detections) -> bool:
    """Whether these are the detections, in any order, to a hundredth of a pixel."""
    ours = sorted(zip(np.asarray(labels).tolist(), np.asarray(boxes, float).tolist(), strict=True))
    theirs = sorted(zip(found.labels.tolist(), found.boxes.astype(float).tolist(), strict=True))
    return all(a == b and np.allclose(x, y, atol=0.01) for (a, x), (b, y) in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("save", ["coco", "yolo", "cvat", "labelme", "labelstudio"])
def test_data_sets_of_predictions_are_read_from_anywhere(photos, tmp_path, monkeypatch, save):
    found = predict(photos, tmp_path / "deep out", save)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    labels = find_data(tmp_path / "deep out")
    (split,) = labels.splits
    data = load_split(labels, split)
    assert data.problems == []
    assert data.class_names == NAMES
    assert len(data.images) == len(FILES)
    for image in data.images:
        assert image.path.samefile(tmp_path / "photos" / image.path.name)
        assert same_boxes(image.boxes, image.labels, found[image.path.name])
    for format in ("coco", "yolo"):  # and goes on into every other format
        write_data(tmp_path / format, format, {split: data})
        again = load_split(find_data(tmp_path / format), "train")
        assert sorted(image.path.name for image in again.images) == sorted(FILES)
        assert all(same_boxes(image.boxes, image.labels, found[image.path.name]) for image in again.images)


def test_tables_of_predictions(photos, tmp_path):
    found = predict(photos, tmp_path / "out", "json,csv")
    content = json.loads((tmp_path / "out/detections.json").read_text(encoding="utf-8"))
    assert content["classes"] == list(NAMES)
    with (tmp_path / "out/detections.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for image in content["images"]:
        boxes = image["detections"]
        told = found[Path(image["file"]).name]
        assert same_boxes([box["box"] for box in boxes], [box["label"] for box in boxes], told)
        mine = [row for row in rows if row["file"] == image["file"]]
        corners = [[float(row[side]) for side in ("x1", "y1", "x2", "y2")] for row in mine]
        assert same_boxes(corners, [NAMES.index(row["class"]) for row in mine], told)


@pytest.mark.parametrize("ways", [(), ("link",), ("link", "symlink")])
def test_coco_names_the_images_from_where_it_lies(photos, tmp_path, monkeypatch, ways):
    """Also where one kind of links, or both, cannot be made."""
    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    for way in ways:
        monkeypatch.setattr(os, way, refuse)
    for out in ("photos", "out", "linked/deep"):
        predict(photos[:1], tmp_path / out, "coco")
        (image,) = COCO(str(tmp_path / out / "coco.json")).dataset["images"]
        assert (tmp_path / out / image["file_name"]).samefile(photos[0])
        assert image["source"] == photos[0]
        assert image["file_name"].startswith("images/") == (len(ways) < 2)
        (loaded,) = load_split(find_data(tmp_path / out / "coco.json"), "coco").images
        assert loaded.path.samefile(photos[0])


def refuse(*_: object) -> None:
    raise PermissionError


def test_originals_survive_a_second_run_and_labels_of_others_are_not_overwritten(photos, tmp_path):
    before = [Path(place).read_bytes() for place in photos]
    for _ in range(2):
        predict(photos, tmp_path / "out", "yolo")
        Image.new("RGB", (9, 9)).save("photos/line\nbreak.png")  # changed between the runs
    assert [Path(place).read_bytes() for place in photos[:-1]] == before[:-1]
    again = [str(path) for path in (tmp_path / "out/images").glob("[!.]*")]
    predict(again, tmp_path / "out", "yolo")  # its own images
    assert all(Path(place).stat().st_size for place in again)
    for save, taken in (("yolo", "labels/a"), ("yolo", "data.yaml/a"), ("yolo", "images/a"), ("coco", "images/a")):
        out = tmp_path / f"{save} {taken[:4]}"
        (out / taken).parent.mkdir(parents=True)
        (out / taken).touch()
        with pytest.raises(InputError, match=rf"{taken[:-2]}: is there, and would be overwritten; choose another out"):
            predict(photos, out, save)


@pytest.mark.parametrize("save", ["yolo", "coco"])
def test_images_that_no_reader_takes_as_they_are(tmp_path, monkeypatch, save):
    """A rotated photo, and one with an ending that data sets do not have."""
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (60, 40)).save("a.jpg", exif=exif)
    Image.new("RGB", (60, 40)).save("b.gif")
    found = predict(["a.jpg", "b.gif"], tmp_path / "out", save)
    labels = find_data(tmp_path / "out")
    data = load_split(labels, labels.splits[0])
    scored = "annotations have a score, as predictions do: they are read as labels, whatever it is"
    assert [note.partition(" ")[2] for note in data.notes] == ([scored] if save == "coco" else [])
    assert [(image.path.name, image.height, image.width) for image in data.images] == [
        ("a.jpg", 60, 40),
        ("b.jpg", 40, 60),
    ]
    for image, told in zip(data.images, found.values(), strict=True):
        assert Image.open(image.path).getexif().get(0x0112, 1) == 1
        assert same_boxes(image.boxes, image.labels, told)
