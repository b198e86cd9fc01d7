"""What training, evaluation and conversion say at once about data that they can read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cornernet.commands.data import convert
from cornernet.data.find import find_data, load_split
from cornernet.data.source import DataSource
from cornernet.recipes.load import load_recipe
from cornernet.training.trainer import train
from small import write_data, write_recipe

Raw = dict[str, Any]


def changed(folder: Path, split: str, change: Callable[[Raw], None]) -> Path:
    """Two splits of two images each, with one split's label file changed."""
    write_data(folder, train=2, val=2)
    file = folder / "annotations" / f"instances_{split}.json"
    raw = json.loads(file.read_text())
    change(raw)
    file.write_text(json.dumps(raw))
    return folder


def list_twice(raw: Raw) -> None:
    raw["images"].append({**raw["images"][0], "id": 101, "file_name": "./001.png"})


def repeat_box(raw: Raw) -> None:
    raw["annotations"].append({**raw["annotations"][1], "id": 99})


def forget_image(raw: Raw) -> None:
    raw["images"].pop()
    raw["annotations"] = [item for item in raw["annotations"] if item["image_id"] == 1]


def no_boxes(raw: Raw) -> None:
    raw["annotations"] = []


def only_red(raw: Raw) -> None:
    raw["annotations"] = [item for item in raw["annotations"] if item["category_id"] == 1]


def background(raw: Raw) -> None:
    raw["categories"][0]["name"] = "__background__"


def steal_image(raw: Raw) -> None:
    raw["images"][0]["file_name"] = "../train/002.png"


@pytest.mark.parametrize(
    ("split", "change", "said"),
    [
        ("val", list_twice, "images listed twice: 1, such as ./001.png (ids 1 and 101): what is labelled in one is"),
        ("val", repeat_box, "boxes that their image has twice: 1, such as"),
        ("val", forget_image, "images without labels: 1, such as"),
        ("val", no_boxes, "no box in it, so no figure can be measured"),
    ],
)
def test_every_command_says_it(tmp_path: Path, split: str, change: Callable[[Raw], None], said: str) -> None:
    notes = load_split(find_data(changed(tmp_path / "data", split, change)), split).notes
    assert [note[: len(said)] for note in notes] == [said]


@pytest.mark.parametrize(
    ("split", "change", "place", "said"),
    [
        ("train", only_red, 0, "1 of 2 classes have no box here and are not learnt: blue"),
        ("train", only_red, 1, "classes with boxes here and none in train: blue; their AP will be 0"),
        ("val", no_boxes, 1, "no AP without boxes: best.safetensors will be the weights of the last validation"),
        ("val", steal_image, 1, "images that train has too: 1, such as"),
    ],
)
def test_training_says_it(tmp_path: Path, split: str, change: Callable[[Raw], None], place: int, said: str) -> None:
    dataset = DataSource(str(changed(tmp_path / "data", split, change))).load()[place]
    assert dataset is not None
    assert said in [note[: len(said)] for note in dataset.notes]


def test_a_class_that_is_none_is_said(tmp_path: Path) -> None:
    data = changed(tmp_path / "data", "train", background)
    training = DataSource(str(data), val_split=None).load()[0]
    assert training.notes[0].startswith("the class '__background__' of 2 boxes is learnt as a class of objects")


def test_conversion_says_what_two_splits_share(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    convert(str(changed(tmp_path / "data", "val", steal_image)), str(tmp_path / "out"), to="voc")
    assert "note: val: images that train has too: 1, such as" in capsys.readouterr().err


def test_ordinary_data_are_read_without_a_word(tmp_path: Path) -> None:
    training, validation = DataSource(str(write_data(tmp_path / "data", train=2, val=2))).load()
    assert validation is not None
    assert (training.notes, validation.notes) == ((), ())


def test_splits_with_lists_in_one_folder_miss_no_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "images" / f"{name}.png")
        (tmp_path / "labels" / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "labels" / "lost.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    for split, name in (("train", "a"), ("val", "b")):
        (tmp_path / f"{split}.txt").write_text(f"images/{name}.png\n")
    (tmp_path / "data.yaml").write_text("train: train.txt\nval: val.txt\nnames: [thing]\n")
    (note,) = load_split(find_data(tmp_path), "train").notes
    assert note.startswith(f"labels without images: 1, such as {tmp_path / 'labels' / 'lost.txt'}")


def test_best_weights_are_written_without_boxes_to_measure_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = changed(tmp_path / "data", "val", no_boxes)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=2, workers=0)))
    train(recipe, DataSource(str(data)), tmp_path / "run")
    assert (tmp_path / "run/best.safetensors").read_bytes() == (tmp_path / "run/last.safetensors").read_bytes()
    assert "nan" not in capsys.readouterr().err
    for name in ("metrics.json", "log.jsonl"):
        assert "NaN" not in (tmp_path / "run" / name).read_text()


def test_whole_sizes_may_be_written_as_fractions(tmp_path: Path) -> None:
    data = changed(tmp_path / "data", "val", lambda raw: raw["images"][0].update(width=64.0, height=64.0))
    image = load_split(find_data(data), "val").images[0]
    assert (image.height, image.width) == (64, 64)
