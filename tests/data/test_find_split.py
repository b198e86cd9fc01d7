"""Finding a split's label file and images in the layouts that data sets come in."""

from pathlib import Path

import pytest

from cornernet.data.coco import find_split
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
