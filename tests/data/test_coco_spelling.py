"""COCO files with values in another spelling are read as what they mean; decisions are said once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from test_coco import good
from test_convert import assert_same

from cornernet.cli import main
from cornernet.data.coco import load_coco
from small import write_data, write_recipe

Raw = dict[str, Any]
URL = "http://images.cocodataset.org/val2017/"


def each(table: str, **changes: Callable[[Any], Any]) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        for item in raw[table]:
            item.update({key: new(item.get(key)) for key, new in changes.items()})

    return change


def without(table: str, key: str) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        for item in raw[table]:
            del item[key]

    return change


def all_text(raw: Raw) -> None:
    for table in ("images", "annotations", "categories"):
        for item in raw[table]:
            item.update({key: str(value) for key, value in item.items() if type(value) in (int, float)})
    each("annotations", bbox=lambda box: [str(side) for side in box])(raw)


def numbered(what: str) -> str:
    return f"{what}: all are numbered in their order"


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (all_text, []),
        (each("annotations", image_id=float, category_id=float, id=float), []),
        (each("annotations", area=lambda _: "large"), []),
        (each("annotations", bbox=lambda box: dict(zip(("x", "y", "width", "height"), box, strict=True))), []),
        (each("annotations", bbox=lambda box: [box]), []),
        (each("images", height=lambda _: 0, width=lambda _: -1), ["2 images have no usable size, such as b.png, -1x0"]),
        (without("annotations", "id"), [numbered("3 annotations have no id")]),
        (each("annotations", id=lambda _: 1), [numbered("2 annotations have the id of another one")]),
        (
            lambda raw: (
                each("images", id=lambda id_: f"img-{id_}")(raw),
                each("annotations", image_id=lambda id_: f"img-{id_}")(raw),
            ),
            ["2 images have a text for their id, such as 'img-7': they are numbered"],
        ),
        (
            lambda raw: (
                each("images", coco_url=lambda _: None)(raw),
                [item.update(coco_url=f"{URL}{item.pop('file_name')}") for item in raw["images"]],
            ),
            ["2 images have no file_name: their names are read from coco_url", "2 images have another name"],
        ),
        (each("annotations", score=lambda _: 0.5), ["3 annotations have a score, as predictions do"]),
    ],
)
def test_the_same_data(tmp_path, change, notes):
    raw = good()
    for item in raw["images"]:
        path = tmp_path / "val" / item["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (item["width"], item["height"])).save(path)
    (tmp_path / "plain.json").write_text(json.dumps(raw))
    change(raw)
    (tmp_path / "other.json").write_text(json.dumps(raw))
    plain, other = (
        load_coco(tmp_path / f"{name}.json", tmp_path / "val", check_files=True) for name in ("plain", "other")
    )
    assert other.class_names == plain.class_names
    assert other.problems == []
    assert_same(plain, other)
    assert len(other.notes) == len(notes)
    assert all(note.startswith(said) for note, said in zip(other.notes, notes, strict=True))


def test_names_of_classes_may_be_numbers(tmp_path):
    raw = good()
    raw["categories"][1]["name"] = 4
    (tmp_path / "a.json").write_text(json.dumps(raw))
    assert load_coco(tmp_path / "a.json", tmp_path).class_names == ("person", "4", "toothbrush")


def test_ids_that_are_ours_come_with_their_ground_truth(tmp_path, capsys):
    """Else nobody could tell whose predictions they are."""
    data = write_data(tmp_path / "data", train=1, val=2)
    recipe = str(write_recipe(tmp_path, epochs=1))
    file = data / "annotations/instances_val.json"
    raw = json.loads(file.read_text())
    for item in raw["images"]:
        item["id"] = f"img{item['id']}"
    for item in raw["annotations"]:
        item["image_id"] = f"img{item['image_id']}"
    file.write_text(json.dumps(raw))
    assert main(["train", recipe, "--data", str(data), "--out", str(tmp_path / "run")]) == 0
    weights = str(tmp_path / "run/last.safetensors")
    assert main(["evaluate", "--weights", weights, "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    truth = json.loads((tmp_path / "out/ground_truth.json").read_text())
    assert sorted(image["id"] for image in truth["images"]) == [1, 2]
