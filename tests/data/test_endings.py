"""Label files with endings in upper case, as cameras, Windows and old programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_convert import FORMATS, assert_same, load_all, write_random

from cornernet.data.check import check_data
from cornernet.data.convert import write_data
from cornernet.data.find import find_data
from cornernet.media.walk import files_ending, inner_folder


def in_capitals(folder: Path) -> list[Path]:
    """Give every label file an ending in upper case; the files."""
    renamed = []
    for file in [file for ending in (".xml", ".json", ".txt", ".yaml") for file in folder.rglob(f"*{ending}")]:
        if file.name not in ("classes.txt", "labels.txt", "label_config.xml"):
            renamed.append(file.rename(file.with_suffix(file.suffix.upper())))
    return renamed


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_read(tmp_path, format):
    source = load_all(write_random(tmp_path / "source", 0))
    write_data(tmp_path / "out", format, source)
    before = load_all(tmp_path / "out")
    assert in_capitals(tmp_path / "out")
    after = load_all(tmp_path / "out")
    assert list(after) == list(before)
    for split in after:
        assert after[split].class_names == before[split].class_names
        assert_same(before[split], after[split])
    kinds = {problem.kind for problem in check_data(find_data(tmp_path / "out")).problems}
    assert not kinds & {"images without labels", "labels without images", "labels in no split"}


def test_one_of_many_label_files_in_capitals(tmp_path):
    write_data(tmp_path / "out", "voc", load_all(write_random(tmp_path / "source", 1)))
    before = load_all(tmp_path / "out")
    file = next((tmp_path / "out/Annotations").rglob("*.xml"))
    file.rename(file.with_suffix(".XML"))
    for split, data in load_all(tmp_path / "out").items():
        assert_same(before[split], data)


def test_folders_and_class_names_in_capitals(tmp_path):
    (tmp_path / "Images").mkdir()
    assert inner_folder(tmp_path, "images") == tmp_path / "Images"
    (tmp_path / "IMAGES").mkdir()
    if len(list(tmp_path.iterdir())) == 2:  # on a disk where they are two
        assert inner_folder(tmp_path, "images") is None
        assert inner_folder(tmp_path, "IMAGES") == tmp_path / "IMAGES"
    assert inner_folder(tmp_path, "labels") is None


def test_files_ending(tmp_path):
    for name in ("b.XML", "a.xml", "c.txt", ".hidden.xml", "._a.xml", "deep/d.Xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.xml").mkdir()
    assert sorted(path.name for path in files_ending(tmp_path, ".xml")) == ["a.xml", "b.XML"]
    assert sorted(path.name for path in files_ending(tmp_path, ".xml", below=True)) == ["a.xml", "b.XML", "d.Xml"]
    assert list(files_ending(tmp_path / "gone", ".xml")) == []
