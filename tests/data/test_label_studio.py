"""Label Studio's exports: every region's box, images behind addresses, several annotations, the short form."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cornernet.data.convert import write_data
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split, split_names
from cornernet.errors import InputError

VALUE = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
SIZE = {"original_width": 200, "original_height": 100, "image_rotation": 0}
CORNERS = [20, 20, 80, 60]


def region(kind: str = "rectanglelabels", value: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    value = VALUE | {kind: ["cat"]} if value is None else value
    return {"type": kind, "from_name": "label", "to_name": "image", "value": value} | SIZE | more


def task(*regions: dict[str, Any], image: str = "/data/upload/1/0d4b2f1c-a.jpg", **more: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"image": image}, "annotations": [{"id": 1, "result": list(regions)}]} | more


def write(folder: Path, *tasks: Any, image: str = "images/a.jpg", file: str = "project-1.json") -> Path:
    (folder / image).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (200, 100)).save(folder / image)
    (folder / file).write_text(json.dumps(tasks))
    return folder


def load(folder: Path, split: str = "all", **options) -> CocoDataset:
    return load_split(find_data(folder), split, **options)


# A mask of 4x3 pixels whose pixels (1, 1) and (2, 1), as x y, are painted; packed by label_studio_sdk.
BRUSH = [0, 0, 0, 48, 57, 27, 254, 19, 0, 159, 255, 9, 128, 0]


@pytest.mark.parametrize(
    ("given", "corners"),
    [
        (region(), CORNERS),
        (region(value=VALUE | {"rotation": 90, "rectanglelabels": ["cat"], "x": 50}), [60, 20, 100, 80]),
        (region("polygonlabels", {"points": [[0, 0], [50, 10], [5, 100]], "polygonlabels": ["cat"]}), [0, 0, 100, 100]),
        (
            region("ellipselabels", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["cat"]}),
            [80, 30, 120, 70],
        ),
        (region("rectanglelabels", original_width=None, original_height=None), CORNERS),
    ],
)
def test_the_box_of_every_region(tmp_path, given, corners):
    data = load(write(tmp_path, task(given)))
    assert (data.format, data.class_names) == ("Label Studio", ("cat",))
    assert data.images[0].boxes.tolist() == [pytest.approx(corners, abs=1e-4)]


@pytest.mark.parametrize("name", [None, 7, ["a"], {"a": 1}])
def test_the_name_of_a_region_may_be_anything(tmp_path, name):
    (image,) = load(write(tmp_path, task(region(id=name)))).images
    assert image.boxes.tolist() == [CORNERS]


def test_a_region_and_its_classes_in_two_entries(tmp_path):
    geometry = region("rectangle", VALUE, id="r")
    classes = region("labels", VALUE | {"labels": ["dog", "cat"]}, id="r")
    data = load(write(tmp_path, task(geometry, classes)))
    assert data.images[0].boxes.tolist() == [CORNERS] * 2
    assert [data.class_names[k] for k in data.images[0].labels] == ["dog", "cat"]


@pytest.mark.parametrize(
    ("address", "image", "uploaded"),
    [
        ("/data/upload/1/0d4b2f1c-a.jpg", "images/a.jpg", None),
        ("/data/upload/1/0d4b2f1c-a.jpg", "images/0d4b2f1c-a.jpg", None),
        ("/data/local-files/?d=sets/deep/a%20b%2Bc.jpg", "deep/a b+c.jpg", None),
        ("/data/local-files/?d=sets\\a b+c.jpg", "images/a b+c.jpg", None),
        ("https://host:1/x/100%25%20a.jpg?X-Amz=1&d=2", "images/100% a.jpg", None),
        ("s3://bucket/deep/a.jpg", "deep/a.jpg", None),
        ("/tasks/7/presign/?fileuri=" + base64.b64encode(b"gs://b/c/a.jpg").decode(), "c/a.jpg", None),
        ("/data/upload/1/whatever", "a.jpg", "0d4b2f1c-a.jpg"),
        ("C:\\photos\\a.jpg", "images/a.jpg", None),
    ],
)
def test_the_image_of_an_address_is_found_by_name(tmp_path, address, image, uploaded):
    data = load(write(tmp_path, task(region(), image=address, file_upload=uploaded), image=image))
    assert data.images[0].path == tmp_path / image
    assert data.notes == ()


def test_one_annotation_of_a_task_is_read(tmp_path):
    def annotation(x: float, **more: Any) -> dict[str, Any]:
        return {"result": [region(value=VALUE | {"x": x, "rectanglelabels": ["cat"]})]} | more

    tasks = [
        task(image="a.jpg", annotations=[annotation(1, was_cancelled=True), annotation(2)]),
        task(image="b.jpg", annotations=[annotation(1), annotation(3, ground_truth=True)]),
        task(image="c.jpg", annotations=[annotation(1, was_cancelled=True)], predictions=[annotation(5)]),
        task(image="d.jpg", annotations=[{"result": []}]),
    ]
    for name in "bcd":
        write(tmp_path, image=f"images/{name}.jpg")
    data = load(write(tmp_path, *tasks))
    assert [image.boxes[:, 0].tolist() for image in data.images] == [[4], [6], []]
    assert data.notes == ("1 tasks have several annotations: read is the ground truth, or else the first",)
    (problem,) = data.problems
    assert problem.with_fix().endswith("nobody has annotated it; annotate the task, or leave it out of the export")


def test_predictions_where_nobody_has_annotated(tmp_path):
    data = load(write(tmp_path, task(annotations=[], predictions=[{"result": [region()], "score": 0.5}])))
    assert data.images[0].boxes.tolist() == [CORNERS]
    assert data.notes == ("nobody has annotated any of 1 tasks: their predictions are read as labels",)


def test_the_short_form(tmp_path):
    entry = {"image": "/data/upload/1/0d4b2f1c-a.jpg", "id": 1, "annotator": 1, "annotation_id": 3}
    first = entry | {"label": [VALUE | {"rectanglelabels": ["cat"]} | SIZE, {"keypointlabels": ["x"], "x": 1, "y": 2}]}
    data = load(write(tmp_path, first, first | {"annotator": 2}, first | {"annotator": 3}))
    assert data.images[0].boxes.tolist() == [CORNERS]
    assert data.notes == (
        "1 tasks have several annotations: read is the ground truth, or else the first",
        "left out, because they are no boxes and no areas: 1 keypointlabels",
    )


def test_problems_with_their_places(tmp_path):
    tasks = [
        task(region(), region(value=VALUE | {"rectanglelabels": []}), region(value={"x": "1", "width": 2})),
        task(region(), image="gone.jpg"),
        task(region(image_rotation=90)),
        task(region(), image="data:image/png;base64,aGk="),
        {"id": 9, "data": {"text": "hello"}, "annotations": []},
        task(region("brushlabels", {"rle": [1, 2], "format": "rle", "brushlabels": ["cat"]})),
        "a text",
        task(region(), region("choices", {"choices": ["x"]}), region("videorectangle", {"sequence": []})),
    ]
    data = load(write(tmp_path, *tasks))
    lines = [problem.with_fix().removeprefix(f"{tmp_path}/project-1.json ") for problem in data.problems]
    assert lines == [
        "task 7 region 2: has no class; give it one, or remove it",
        "task 7 region 3: has no class; give it one, or remove it",
        f"task 7: its image 'gone.jpg' is not there; put it into {tmp_path}",
        "task 7: region 1 was drawn on the image turned by 90 degrees; turn the image back in Label Studio, or in its "
        "file, and label it again",
        "task 7: its image is inside the file, as data:; save it as a file, and give the task its name",
        "task 9: names no image (its data: text); leave the task out",
        "task 7: a brush region cannot be unpacked (it ends too early); export it again",
        "entry 6: must be an object; export it again",
    ]
    assert [len(image.boxes) for image in data.images] == [1, 1]
    assert data.notes[0] == "left out, because they are no boxes and no areas: 1 choices, 1 videorectangle"
    assert data.notes[1].startswith("1 images are listed twice, such as a.jpg with the ids 1 and 2")


def test_files_are_splits_and_the_configuration_lists_the_classes(tmp_path):
    for split in ("train", "val"):
        write(tmp_path, task(region(), image="a.jpg"), file=f"{split}.json")
    (tmp_path / "label_config.xml").write_text(
        '<View><RectangleLabels><Label value="zebra"/><Label value="cat" background="red"/></RectangleLabels></View>'
    )
    labels = find_data(tmp_path)
    assert split_names(labels) == ["train", "val"]
    assert load_split(labels, "val").class_names == ("zebra", "cat")


def test_what_is_written(tmp_path):
    write_data(tmp_path / "out", "labelstudio", {"train": load(write(tmp_path, task(region())))})
    (written,) = json.loads((tmp_path / "out/train.json").read_text())
    assert written["data"] == {"image": "/data/local-files/?d=images/train/a.jpg"}
    (found,) = written["annotations"][0]["result"]
    assert found["value"] == VALUE | {"rectanglelabels": ["cat"]}
    assert (found["original_width"], found["original_height"]) == (200, 100)


def test_a_mask(tmp_path):
    value = {"format": "rle", "rle": BRUSH, "brushlabels": ["cat"]}
    folder = write(tmp_path, task(region("brushlabels", value, original_width=4, original_height=3)))
    Image.new("RGB", (4, 3)).save(folder / "images/a.jpg")
    assert load(folder).images[0].boxes.tolist() == [[1, 1, 3, 2]]


def test_positions_in_pixels_are_known_as_such(tmp_path):
    """Of images of 200 x 100: as percent they would leave the images."""
    values = [{"x": 110 + i, "y": 60, "width": 70, "height": 30 - i, "rectanglelabels": ["cat"]} for i in range(6)]
    folder = write(tmp_path, *(task(region(value=value), id=i) for i, value in enumerate(values)))
    with pytest.raises(InputError, match=r"6 of 6 boxes fit .* height in pixels, and 6 do not .* in percent"):
        load(folder)
