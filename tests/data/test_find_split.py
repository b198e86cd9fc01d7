"""Finding a split's label file and images in the layouts that data sets come in."""

import json
from pathlib import Path

import pytest
from PIL import Image

from cornernet.cli import main
from cornernet.data.check import check_data
from cornernet.data.coco import find_split
from cornernet.data.find import find_data, load_split
from cornernet.errors import InputError


@pytest.mark.parametrize(
    ("files", "folder", "split", "expected"),
    [
        ("annotations/instances_train.json", "train", "train", "train"),
        ("annotations/instances_train2017.json", "train2017", "train", "train2017"),
        ("annotations/instances_train2017.json", "train2017", "train2017", "train2017"),
        ("annotations/instances_val.json", "images/val", "val", "images/val"),
        ("annotations/instances_default.json", "images", "default", "images"),
        ("val/_annotations.coco.json", "val", "val", "val"),
        ("valid/_annotations.coco.json", "valid", "val", "valid"),
    ],
)
def test_find_split(tmp_path: Path, files: str, folder: str, split: str, expected: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / files).parent.mkdir(exist_ok=True)
    (tmp_path / files).touch()
    assert find_split(tmp_path, split) == (tmp_path / files, tmp_path / expected)


def test_find_split_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_split(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match="splits there: none"):
        find_split(tmp_path, "train")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val2017.json").touch()
    with pytest.raises(InputError, match=r"no split 'train': .*instances_train2017\.json.* splits there: val2017"):
        find_split(tmp_path, "train")
    with pytest.raises(InputError, match=r"its images are neither in .*val2017 nor in .*images.val2017"):
        find_split(tmp_path, "val")


def write_coco(file: Path, image: Path) -> None:
    for path in (file, image):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (20, 10), 20 * len(image.name)).save(image)
    content = {
        "images": [{"id": 1, "file_name": image.name, "width": 20, "height": 10}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 4, 6]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "file",
    [
        "annotations/{split}.json",
        "Annotations/instances_{split}.JSON",
        "annotation/{split}.json",
        "labels/{split}.json",
        "{split}/annotations.json",
        "{split}/labels.JSON",
        "{split}.json",
    ],
)
@pytest.mark.parametrize("image", ["{split}/{split}.png", "images/{split}/{split}.png"])
def test_label_files_elsewhere(tmp_path, file, image):
    for split in ("train", "val"):
        write_coco(tmp_path / file.format(split=split), tmp_path / image.format(split=split))
    labels = find_data(tmp_path)
    assert sorted(labels.splits) == ["train", "val"]
    for split in labels.splits:
        data = load_split(labels, split)
        assert data.name == split
        assert [item.path.name for item in data.images] == [f"{split}.png"]
    assert check_data(labels).problems == []


def test_an_empty_test_split_does_not_stop_the_others(tmp_path, capsys):
    for split in ("train", "test"):
        write_coco(tmp_path / f"annotations/instances_{split}.json", tmp_path / f"{split}/{split}.png")
    (tmp_path / "annotations/instances_test.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert main(["data", "convert", str(tmp_path), str(tmp_path / "out"), "--to", "yolo"]) == 0
    assert "'images' is empty; nothing can be read from this file; the other splits are converted" in (
        capsys.readouterr().err.replace("; correct it", "")
    )
    assert (tmp_path / "out/images/train/train.png").is_file()
