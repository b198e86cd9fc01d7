"""Naming images by files, folders and globs."""

from pathlib import Path

import pytest

from cornernet.errors import InputError
from cornernet.media.walk import find_images


def test_find_images(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.PNG", "a.jpg", "notes.txt", "._a.jpg", "deep/c.TIFF", "odd.dat"):
        (tmp_path / name).touch()
    a, b, c = tmp_path / "a.jpg", tmp_path / "b.PNG", tmp_path / "deep/c.TIFF"
    assert find_images([str(tmp_path)]) == [a, b, c]
    assert find_images([str(tmp_path / "*")]) == [a, b]
    assert find_images([str(tmp_path / "**/*")]) == [a, b, c]
    assert find_images([str(b), str(tmp_path), str(a)]) == [b, a, c]
    assert find_images([tmp_path / "odd.dat"]) == [tmp_path / "odd.dat"]


def test_a_file_name_with_brackets_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "photo[1].jpg"
    path.touch()
    assert find_images([str(path)]) == [path]


@pytest.mark.parametrize("source", ["nothing.jpg", "*.gif", "empty"])
def test_a_source_without_images_is_named(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"nothing\.jpg: no such|\.gif: no image|empty: no image"):
        find_images([str(tmp_path / source)])


def test_no_sources_at_all() -> None:
    with pytest.raises(InputError, match="no images given"):
        find_images([])
