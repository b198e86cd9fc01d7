"""Boxes of shapes: of COCO's polygons and run lengths, and of VOC's polygons and oriented boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.cli import main
from cornernet.data.coco import load_coco
from cornernet.data.find import find_data, load_split
from cornernet.data.outlines import box_of_segmentation

# A mask of 5 rows and 6 columns, with ones in rows 1 to 3 and columns 2 to 4, as pycocotools writes it.
RUNS, TEXT, MASK_SIZE = [11, 3, 2, 3, 2, 3, 6], ";320004", [5, 6]
SHAPES = {
    "polygon": [[2.0, 1, 5, 1, 5, 4, 2, 4]],
    "two polygons": [[2, 1, 3, 1, 3, 2], [4, 3, 5, 4, 2, 4]],
    "flat": [2, 1, 5, 1, 5, 4],
    "points": [[2, 1], [5, 1], [5, 4]],
    "runs": {"counts": RUNS, "size": MASK_SIZE},
    "text": {"counts": TEXT, "size": MASK_SIZE},
    "no box at first": {"counts": [0, 0, *RUNS], "size": MASK_SIZE},
}


@pytest.mark.parametrize("name", SHAPES)
def test_box_of_a_shape(name):
    assert box_of_segmentation(SHAPES[name]) == [2, 1, 3, 3]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[1, 1, 1, 2, 1, 3]],
        [[1, 2, 3, 4, 5, "6"]],
        [[1, 2, 3, 4, 5, float("nan")]],
        {"counts": RUNS, "size": [5, 7]},
        {"counts": RUNS},
        {"counts": [30], "size": MASK_SIZE},
        {"counts": "\n", "size": MASK_SIZE},
        {"counts": [-1, 31], "size": MASK_SIZE},
    ],
)
def test_no_shape(value):
    assert box_of_segmentation(value) is None


def test_masks_of_pycocotools():
    mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(50):
        pixels = np.asfortranarray(rng.random(rng.integers(1, 60, 2)) > rng.choice([0.1, 0.5, 0.98]), np.uint8)
        runs = mask.encode(pixels)
        found = box_of_segmentation({"counts": runs["counts"].decode(), "size": [int(side) for side in runs["size"]]})
        assert found == (list(mask.toBbox(runs)) if pixels.any() else None)


def coco(folder: Path, boxes: list[object], shapes: list[object]) -> Path:
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (6, 5)).save(folder / "images/a.png")
    items = [
        {"id": i, "image_id": 1, "category_id": 1, "segmentation": shape, "bbox": box}
        for i, (box, shape) in enumerate(zip(boxes, shapes, strict=True), start=1)
    ]
    for item in items:
        if item["bbox"] == "absent":
            del item["bbox"]
    content = {"images": [{"id": 1, "file_name": "a.png", "width": 6, "height": 5}], "annotations": items}
    (folder / "train.json").write_text(json.dumps(content | {"categories": [{"id": 1, "name": "cat"}]}))
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_annotations_without_a_box_get_that_of_their_shape(name, tmp_path):
    lacking = ["absent", None, [], [0, 0, 0, 0], [0.0, 0.0, 0.0, 0.0]]
    folder = coco(tmp_path, [*lacking, [1, 1, 2, 2]], [SHAPES[name]] * 6)
    dataset = load_coco(folder / "train.json", folder / "images")
    assert dataset.images[0].boxes.tolist() == [[2, 1, 5, 4]] * 5 + [[1, 1, 3, 3]]
    assert dataset.notes == (
        "5 annotations have a segmentation and no bbox, such as id 1: their boxes are those around it",
    )


VOC_SHAPES = {
    "numbered": "<polygon><x1>2</x1><y1>1</y1><x2>5</x2><y2>1</y2><x3>5</x3><y3>4</y3></polygon>",
    "points": "<polygon>"
    + "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in ((2, 1), (5, 1), (5, 4)))
    + "</polygon>",
    "oriented": "<robndbox><cx>3.5</cx><cy>2.5</cy><w>3</w><h>3</h><angle>0</angle></robndbox>",
}


@pytest.mark.parametrize("name", VOC_SHAPES)
def test_voc_objects_without_a_box_get_that_of_their_shape(name, tmp_path):
    Image.new("RGB", (6, 5)).save(tmp_path / "a.png")
    text = f"<annotation><filename>a.png</filename><object><name>cat</name>{VOC_SHAPES[name]}</object></annotation>"
    (tmp_path / "a.xml").write_text(text)
    dataset = load_split(find_data(tmp_path), "all")
    np.testing.assert_allclose(dataset.images[0].boxes, [[2, 1, 5, 4]])
    assert "1 objects have a shape and no bndbox" in dataset.notes[0]


@pytest.mark.parametrize("lost", [2, 4, 20])
def test_commands_refuse_data_that_lose_many_boxes(lost, tmp_path, capsys):
    folder = coco(tmp_path / "data", [[1, 1, 2, 2]] * (20 - lost) + [None] * lost, [None] * 20)
    line = f"{lost} of 20 boxes of train cannot be used: {lost} boxes that are none, such as"
    code = main(["data", "convert", str(folder), str(tmp_path / "out"), "--to", "coco"])
    error = capsys.readouterr().err
    assert (code, line in error) == ((0, False) if lost == 2 else (2, True))
    assert (tmp_path / "out").exists() == (lost == 2)
    if lost > 2:
        assert main(["train", "--data", str(folder), "--val_split", "none"]) == 2
        assert line in (error := capsys.readouterr().err)
        assert "cornernet data check DATA --fix NEW_FOLDER" in error
