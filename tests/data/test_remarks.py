"""What training, evaluation and conversion say at once about data that they can read."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cornernet.data.check import check_data
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


def repeat_box(raw: Raw) -> None:
    raw["annotations"].append({**raw["annotations"][1], "id": 99})


def no_boxes(raw: Raw) -> None:
    raw["annotations"] = []


def only_red(raw: Raw) -> None:
    raw["annotations"] = [item for item in raw["annotations"] if item["category_id"] == 1]


def background(raw: Raw) -> None:
    raw["categories"][0]["name"] = "__background__"


@pytest.mark.parametrize(
    ("split", "change", "said"),
    [
        ("val", repeat_box, "boxes that their image has twice: 1, such as"),
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
        (
            "val",
            no_boxes,
            1,
            "no box in it, so no figure can be measured; best.safetensors will be the weights of the last validation",
        ),
    ],
)
def test_training_says_it(tmp_path: Path, split: str, change: Callable[[Raw], None], place: int, said: str) -> None:
    dataset = DataSource(str(changed(tmp_path / "data", split, change))).load()[place]
    assert dataset is not None
    assert said in [note[: len(said)] for note in dataset.notes]


def test_a_check_says_that_a_split_has_no_box(tmp_path: Path) -> None:
    found = check_data(find_data(changed(tmp_path / "data", "val", no_boxes))).datasets["val"]
    assert found.notes == ("no box in it, so no figure can be measured",)


def test_a_class_that_is_none_is_said(tmp_path: Path) -> None:
    data = changed(tmp_path / "data", "train", background)
    training = DataSource(str(data), val_split=None).load()[0]
    said = "the class '__background__' of 2 boxes is learnt as a class of objects"
    assert [note[: len(said)] for note in training.notes] == [said]
    (checked, _) = check_data(find_data(data)).datasets.values()
    assert [note[: len(said)] for note in checked.notes] == [said]


def test_ordinary_data_are_read_without_a_word(tmp_path: Path) -> None:
    training, validation = DataSource(str(write_data(tmp_path / "data", train=2, val=2))).load()
    assert validation is not None
    assert (training.notes, validation.notes) == ((), ())


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


def test_a_split_may_list_fewer_classes_than_the_training(tmp_path: Path) -> None:
    def forget_blue(raw: Raw) -> None:
        only_red(raw)
        del raw["categories"][1]

    _, validation = DataSource(str(changed(tmp_path / "data", "val", forget_blue))).load()
    assert validation is not None
    assert validation.class_names == ("red", "blue")
    assert [image.labels.tolist() for image in validation.images] == [[0], [0]]
    assert validation.notes == ("it lists 1 of the 2 classes; without blue",)


def test_an_unknown_class_of_boxes_is_not_taken_for_one_that_only_the_weights_know(tmp_path: Path) -> None:
    data = changed(tmp_path / "data", "val", lambda raw: raw["annotations"][0].update(category_id=3))
    names = ("red", "blue", "green")
    dataset = load_split(find_data(data), "val", class_names=names)
    assert [problem.kind for problem in dataset.problems] == ["boxes of unknown classes"]
    assert 2 not in [label for image in dataset.images for label in image.labels.tolist()]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("bbox", [1, 2, float("nan"), 4], r"bbox \[1.0, 2.0, NaN, 4.0\] is not four finite numbers"),
        ("bbox", [1, 2, float("inf"), 4], r"bbox \[1.0, 2.0, Infinity, 4.0\] is not four finite numbers"),
        ("bbox", ["1", "2", "3", "x"], r'bbox \["1", "2", "3", "x"\] is not four finite numbers'),
        ("bbox", [10**30, 2, 3, 4], r"bbox \[1000000000000000000000000000000, 2, 3, 4\] is not four finite numbers"),
    ],
)
def test_figures_that_are_no_numbers_are_told_with_their_place(
    tmp_path: Path, field: str, value: Any, said: str
) -> None:
    data = changed(tmp_path / "data", "val", lambda raw: raw["annotations"][0].update({field: value}))
    (problem,) = load_split(find_data(data), "val").problems
    assert re.match(said, problem.what)
    assert problem.where.endswith("instances_val.json annotation 1 of 001.png")


@pytest.mark.parametrize("area", [float("nan"), float("-inf"), None])
def test_an_area_that_is_no_number_is_that_of_the_box(tmp_path: Path, area: float | None) -> None:
    data = changed(tmp_path / "data", "val", lambda raw: raw["annotations"][0].update(area=area, iscrowd=None))
    item = load_split(find_data(data), "val").coco_dict()["annotations"][0]
    assert item["area"] == item["bbox"][2] * item["bbox"][3]
