"""COCO JSON: what a good file gives, and one clear line for every kind of bad one."""

import json
import pickle
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cornernet.data.causes import SystematicError
from cornernet.data.coco import CocoDataset, find_split, load_coco
from cornernet.errors import InputError

Raw = dict[str, Any]


def annotation(id_: int, bbox: Any = (10, 20, 30, 40), **fields: Any) -> Raw:
    bbox = list(bbox) if isinstance(bbox, tuple) else bbox
    return {"id": id_, "image_id": 7, "category_id": 3, "bbox": bbox, "area": 600.5, "iscrowd": 0, **fields}


def good() -> Raw:
    """Two images, three boxes (one a crowd), ids with gaps and out of order."""
    return {
        "images": [
            {"id": 7, "file_name": "b.png", "height": 100, "width": 200},
            {"id": 2, "file_name": "sub/a.png", "height": 50, "width": 60},
        ],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 3, "name": "car"}, {"id": 1, "name": "person"}],
        "annotations": [
            annotation(11),
            annotation(12, (0, 0, 60, 50), image_id=2, category_id=90),
            annotation(5, (1.5, 2.5, 3, 4), category_id=1, iscrowd=1, segmentation={"counts": [1], "size": [2, 3]}),
        ],
    }


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., CocoDataset]:
    def write_and_load(raw: Any, **options: Any) -> CocoDataset:
        path = tmp_path / "instances_val.json"
        path.write_text(raw if isinstance(raw, str) else json.dumps(raw))
        return load_coco(path, tmp_path / "val", **options)

    return write_and_load


def test_a_good_file(load: Callable[..., CocoDataset], tmp_path: Path) -> None:
    data = load(good())
    assert data.name == "val"
    assert data.class_names == ("person", "car", "toothbrush")
    assert data.category_ids == (1, 3, 90)
    assert (data.problems, data.skipped) == ([], 0)
    b, a = data.images
    assert (b.id, b.file_name, b.path, b.height, b.width) == (7, "b.png", tmp_path / "val/b.png", 100, 200)
    assert b.boxes.tolist() == [[10, 20, 40, 60], [1.5, 2.5, 4.5, 6.5]]
    assert b.labels.tolist() == [1, 0]
    assert b.crowd.tolist() == [False, True]
    assert b.annotation_ids.tolist() == [11, 5]
    assert a.boxes.tolist() == [[0, 0, 60, 50]]
    assert (b.boxes.dtype, b.labels.dtype, b.crowd.dtype) == (np.float32, np.int64, np.bool_)
    data.require_boxes()


def test_images_without_boxes_are_kept(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    raw["annotations"] = []
    data = load(raw)
    assert [image.boxes.shape for image in data.images] == [(0, 4), (0, 4)]
    assert data.coco_dict()["annotations"] == []
    with pytest.raises(InputError, match=r"instances_val\.json: no box to learn from"):
        data.require_boxes()


def test_crowds_alone_are_nothing_to_learn_from(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    raw["annotations"] = raw["annotations"][2:]
    with pytest.raises(InputError, match="no box to learn from"):
        load(raw).require_boxes()


def test_the_ground_truth_is_the_file_s(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    del raw["annotations"][1]["area"]
    raw["annotations"][0]["bbox"] = [-20, 20, 60, 40]
    truth = load(raw).coco_dict()
    by_id = {item["id"]: item for item in truth["annotations"]}
    assert by_id[11] == annotation(11, (-20, 20, 60, 40))  # not clipped
    assert by_id[12]["area"] == 60 * 50
    assert by_id[5]["iscrowd"] == 1
    assert by_id[5]["area"] == 600.5
    assert truth["images"] == raw["images"]
    assert {c["id"]: c["name"] for c in truth["categories"]} == {1: "person", 3: "car", 90: "toothbrush"}


def test_annotation_id_0_does_not_reach_the_evaluator(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    raw["annotations"][0]["id"] = 0
    assert [item["id"] for item in load(raw).coco_dict()["annotations"]] == [1, 2, 3]


@pytest.mark.parametrize(
    ("bbox", "message"),
    [
        ([10, 20, 0, 40], "has no width or no height; left out"),
        ([10, 20, 30, -1], "has no width or no height; left out"),
        ([float("nan"), 20, 30, 40], "is not four finite numbers; left out"),
        ([10, float("inf"), 30, 40], "is not four finite numbers; left out"),
        ([10, 20, 30], r"\[10, 20, 30\] is not four finite numbers; left out"),
        (["10", 20, 30, "ten"], "is not four finite numbers; left out"),
        (["nan", 20, 30, 40], "is not four finite numbers; left out"),
        ([True, 20, 30, 40], "is not four finite numbers; left out"),
        ([10**400, 20, 30, 40], "is not four finite numbers; left out"),
        ([[10], 20, 30, 40], "is not four finite numbers; left out"),
        ("10 20 30 40", "is not four finite numbers; left out"),
        ([200, 20, 30, 40], "lies outside its 100x200 image; left out"),
        ([-50, 20, 30, 40], "lies outside its 100x200 image; left out"),
    ],
)
def test_an_unusable_box_is_left_out_and_reported(load: Callable[..., CocoDataset], bbox: Any, message: str) -> None:
    raw = good()
    raw["annotations"].append(annotation(99, bbox))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(raw)
    assert data.skipped == 1
    assert 99 not in data.images[0].annotation_ids
    assert 99 not in [item["id"] for item in data.coco_dict()["annotations"]]
    assert len(data.problems) == 1
    assert re.search(f"instances_val.json annotation 99 of b.png: bbox .*{message}$", str(data.problems[0]))
    assert data.problems[0].with_fix().endswith("correct or remove it")
    with pytest.raises(InputError, match=r"1 bad boxes: .*annotation 99 of b\.png"):
        load(raw, strict=True)


@pytest.mark.parametrize("bbox", [None, [], [None] * 4])
def test_an_annotation_without_a_box_is_left_out(load: Callable[..., CocoDataset], bbox: Any) -> None:
    raw = good()
    raw["annotations"].append(annotation(99, bbox))
    (problem,) = load(raw).problems
    assert str(problem).endswith("annotation 99 of b.png: it has no box; left out")


def test_boxes_of_five_numbers_are_one_cause(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    for item in raw["annotations"]:
        item["bbox"] = [*item["bbox"], 30.0]
    said = r"3 of 3 boxes are not four numbers, such as \[10, 20, 30, 40, 30.0\]: turned boxes, with an angle\?; export"
    with pytest.raises(SystematicError, match=said):
        load(raw)


def test_a_box_that_reaches_out_is_clipped(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    raw["annotations"] = [annotation(1, (-5, 20, 30, 40)), annotation(2, (190, 20, 10.9, 40))]
    data = load(raw)
    assert data.images[0].boxes.tolist() == [[0, 20, 25, 60], [190, 20, 200, 60]]
    assert data.skipped == 0
    assert len(data.problems) == 1  # less than a pixel is rounding
    assert "annotation 1 of b.png" in str(data.problems[0])
    assert "reaches out of its 100x200 image; clipped" in str(data.problems[0])
    with pytest.raises(InputError, match="reaches out"):
        load(raw, strict=True)


def test_a_box_of_no_image_or_class_is_left_out(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    raw["annotations"] += [annotation(98, image_id=404), annotation(99, category_id=4)]
    data = load(raw)
    assert [str(problem).removeprefix(f"{data.json_path} ") for problem in data.problems] == [
        "annotation 98: image_id 404, which is not in 'images'; left out",
        "annotation 99 of b.png: category_id 4, which is not in 'categories'; left out",
    ]
    assert {item["id"] for item in data.coco_dict()["annotations"]} == {11, 12, 5}


def test_strict_shows_the_first_few(load: Callable[..., CocoDataset]) -> None:
    raw = good()
    raw["annotations"] = [annotation(i, (0, 0, 0, 0)) for i in range(1, 11)]
    with pytest.raises(InputError, match=r"10 bad boxes: .*annotation 1 .*annotation 3 .*and 7 more") as caught:
        load(raw, strict=True)
    assert "annotation 4" not in str(caught.value)


def replaced(*path: Any, value: Any) -> Callable[[Raw], None]:
    def change(raw: Any) -> None:
        for key in path[:-1]:
            raw = raw[key]
        raw[path[-1]] = value

    return change


def removed(*path: Any) -> Callable[[Raw], None]:
    def change(raw: Any) -> None:
        for key in path[:-1]:
            raw = raw[key]
        del raw[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (removed("images"), "'images' is missing"),
        (removed("annotations"), "'annotations' is missing"),
        (removed("categories"), "'categories' is missing"),
        (replaced("images", value={}), "'images' must be a list, not an object"),
        (replaced("annotations", value=None), "'annotations' must be a list, not null"),
        (replaced("images", value=[]), "'images' is empty"),
        (replaced("categories", value=[]), "'categories' is empty"),
        (replaced("annotations", 1, value=3), r"annotations\[1\] must be an object, not a number"),
        (replaced("images", 1, "id", value=7), "images has the id 7 twice"),
        (replaced("categories", 1, "id", value=90), "categories has the id 90 twice"),
        (replaced("categories", 1, "name", value="person"), r"categories\[2\].name 'person' stands twice"),
        (replaced("categories", 1, "name", value="caf\udce9"), r"categories\[1\].name must be a text, not"),
        (removed("categories", 1, "name"), r"categories\[1\].name must be a text, not null"),
        (removed("categories", 0, "id"), r"categories\[0\].id is missing"),
        (removed("annotations", 2, "image_id"), r"annotations\[2\].image_id is missing"),
        (replaced("annotations", 0, "image_id", value="x"), r"annotations\[0\].image_id must be an integer, not \"x\""),
        (replaced("images", 0, "id", value=2**70), r"images\[0\].id must be an integer"),
        (replaced("images", 0, "height", value="1" * 5000), "height and width of image"),
        (replaced("annotations", 0, "category_id", value=3.5), r"annotations\[0\].category_id must be an integer"),
        (replaced("annotations", 0, "iscrowd", value="no"), r"annotations\[0\].iscrowd must be 0 or 1, not \"no\""),
        (removed("images", 1, "id"), r"images\[1\].id is missing"),
        (removed("images", 1, "file_name"), r"images\[1\].file_name must be a text, not null \(image id 2\)"),
        (replaced("images", 1, "file_name", value=5), r"images\[1\].file_name must be a text, not 5"),
        (replaced("images", 1, "file_name", value="../a.png"), "leaves the image folder"),
        (replaced("images", 1, "file_name", value="/etc/a.png"), "leaves the image folder"),
        (replaced("images", 1, "height", value="fifty"), r"height and width of image 2 \(sub/a.png\) must be whole"),
        (replaced("images", 1, "width", value=49.5), "must be whole pixels, not 50 and 49.5"),
    ],
)
def test_a_bad_field_is_named(load: Callable[..., CocoDataset], change: Callable[[Raw], None], message: str) -> None:
    raw = good()
    change(raw)
    with pytest.raises(InputError, match=message) as caught:
        load(raw)
    assert "instances_val.json: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [],\n  "annotations": [}', "not JSON: .* at line 2, column 19"),
        ('{"segmentation":\n [[1,\n2]], x', "not JSON: .* at line 3, column 6"),
        ("", "not JSON"),
        ("[]", "the top level must be an object, not a list"),
        ("[" * 100_000, "not JSON"),
        ("\x00\x01", "not JSON"),
    ],
)
def test_not_a_coco_file(load: Callable[..., CocoDataset], text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"images": "\xff\xfe\xfa"}')
    with pytest.raises(InputError, match=r"a\.json: not JSON"):
        load_coco(tmp_path / "a.json", tmp_path)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        load_coco(tmp_path / "a.json", tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_coco(tmp_path, tmp_path)


def test_class_names_of_weights(load: Callable[..., CocoDataset]) -> None:
    data = load(good(), class_names=["car", "toothbrush", "person"])
    assert data.class_names == ("car", "toothbrush", "person")
    assert data.category_ids == (3, 90, 1)
    assert data.images[0].labels.tolist() == [0, 2]
    with pytest.raises(InputError, match=r"missing here: dog; unknown to the weights: toothbrush, person"):
        load(good(), class_names=["car", "dog"])


def test_sizes_come_from_the_files_where_the_labels_lack_them(load: Callable[..., CocoDataset], tmp_path: Path) -> None:
    raw = good()
    del raw["images"][0]["height"]
    raw["images"][0]["width"] = None
    assert "b.png: no such file" in str(load(raw).problems[0])
    (tmp_path / "val").mkdir()
    Image.new("L", (200, 100)).save(tmp_path / "val/b.png")
    image = load(raw).images[0]
    assert (image.height, image.width) == (100, 200)


def test_images_that_cannot_be_read_are_left_out_with_their_boxes(
    load: Callable[..., CocoDataset], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"none of the 2 images of val is usable: .*b\.png: no such file; check the"):
        load(good(), check_files=True)
    (tmp_path / "val/sub").mkdir(parents=True)
    Image.new("L", (200, 100)).save(tmp_path / "val/b.png")
    Image.new("L", (61, 50)).save(tmp_path / "val/sub/a.png")
    data = load(good(), check_files=True)
    assert (data.skipped_images, data.skipped) == (1, 0)
    assert "sub/a.png: the image is 50x61 (height x width), its label file says 50x60" in str(data.problems[0])
    assert [item["id"] for item in data.coco_dict()["images"]] == [7]
    assert {item["id"] for item in data.coco_dict()["annotations"]} == {11, 5}
    with pytest.raises(InputError, match=r"1 bad images: .*a\.png"):
        load(good(), check_files=True, strict=True)
    Image.new("L", (60, 50)).save(tmp_path / "val/sub/a.png")
    assert len(load(good(), check_files=True).images) == 2


def test_photos_may_be_labelled_as_they_are_stored(load: Callable[..., CocoDataset], tmp_path: Path) -> None:
    (tmp_path / "val/sub").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (200, 100)).save(tmp_path / "val/b.png", exif=exif)
    Image.new("L", (50, 60)).save(tmp_path / "val/sub/a.png", exif=exif)
    assert load(good(), check_files=True).problems == []


def test_without_some_images_and_boxes(load: Callable[..., CocoDataset]) -> None:
    data = load(good()).without({2}, {11})
    assert [image.id for image in data.images] == [7]
    assert data.images[0].annotation_ids.tolist() == [5]
    assert data.images[0].boxes.tolist() == [[1.5, 2.5, 4.5, 6.5]]
    assert [item["id"] for item in data.coco_dict()["annotations"]] == [5]


def test_a_roboflow_file_is_named_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "valid").mkdir()
    (tmp_path / "valid/_annotations.coco.json").write_text(json.dumps(good()))
    assert load_coco(*find_split(tmp_path, "val")).name == "valid"


@pytest.mark.parametrize(("split", "images", "boxes"), [("train", 16, 189), ("val", 24, 291)])
def test_real_coco(shared: Callable[[str], Path], split: str, images: int, boxes: int) -> None:
    file, folder = find_split(shared("data/coco_tiny"), split)
    data = load_coco(file, folder, strict=True, check_files=True)
    assert len(data.images) == images
    assert len(data.class_names) == 80
    assert data.category_ids[-1] == 90
    truth, raw = data.coco_dict(), json.loads(file.read_text())
    assert len(truth["annotations"]) == boxes
    areas = {item["id"]: (item["area"], item["bbox"], item["iscrowd"]) for item in raw["annotations"]}
    assert {item["id"]: (item["area"], item["bbox"], item["iscrowd"]) for item in truth["annotations"]} == areas


def test_real_circuit_boards(shared: Callable[[str], Path]) -> None:
    data = load_coco(*find_split(shared("data/deeppcb"), "val"), check_files=True)
    assert sum(len(image.boxes) for image in data.images) + data.skipped == 3140
    assert len(data.class_names) == 6


def test_the_evaluator_takes_the_ground_truth(load: Callable[..., CocoDataset]) -> None:
    from faster_coco_eval import COCO, COCOeval_faster

    raw = good()
    raw["annotations"].append(annotation(99, [float("nan"), 0, 5, 5]))
    data = load(raw)
    found = [
        {"image_id": item["image_id"], "category_id": item["category_id"], "bbox": item["bbox"], "score": 0.9}
        for item in data.coco_dict()["annotations"]
        if not item["iscrowd"]
    ]
    truth = COCO(data.coco_dict())
    evaluation = COCOeval_faster(truth, truth.loadRes(found), "bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1)


def test_a_data_set_travels_to_a_worker(load: Callable[..., CocoDataset]) -> None:
    data = load(good())
    copy = pickle.loads(pickle.dumps(data))
    assert copy.coco_dict() == data.coco_dict()
    assert np.array_equal(copy.images[0].boxes, data.images[0].boxes)
