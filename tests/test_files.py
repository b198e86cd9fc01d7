"""Files are written whole or not at all; what is in the way is said in one line."""

import errno
import json
import os
import stat

import pytest

from cornernet.errors import InputError
from cornernet.files import atomic_folder, atomic_write, atomic_write_json, make_folder


def test_a_file_is_written_with_its_parents_and_readable_as_any_other(tmp_path):
    path = atomic_write(tmp_path / "a" / "b" / "c.bin", b"123")
    assert path.read_bytes() == b"123"
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert os.listdir(path.parent) == ["c.bin"]


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step, failure):
    path = atomic_write(tmp_path / "kept.txt", b"old")

    def fail(*_):
        raise failure

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(InputError if isinstance(failure, OSError) else KeyboardInterrupt) as raised:
        atomic_write(path, b"new")
    if isinstance(failure, OSError):
        assert "no space" in str(raised.value)
        assert "free some space" in str(raised.value)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["kept.txt"]


def test_what_is_in_the_way_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x.txt", tmp_path / "file" / "deep" / "x.txt", tmp_path / ("x" * 300), tmp_path):
        with pytest.raises(InputError) as raised:
            atomic_write(path, b"")
        assert str(path) in str(raised.value) or str(path.parent) in str(raised.value)
        assert "\n" not in str(raised.value)
    for folder in (tmp_path / "file", tmp_path / "file" / "deep", tmp_path / "nul\0"):
        with pytest.raises(InputError, match="the folder cannot be made"):
            make_folder(folder)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no /dev/null here")
def test_a_device_is_never_replaced_by_a_file():
    with pytest.raises(InputError, match="a device"):
        atomic_write("/dev/null", b"123")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_keeps_pointing_to_its_file(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_json_is_utf8_and_never_holds_nan(tmp_path):
    path = atomic_write_json(tmp_path / "x.json", {"name": "猫", "numbers": [1, 2]})
    assert "猫" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "猫", "numbers": [1, 2]}
    with pytest.raises(ValueError):
        atomic_write_json(path, {"name": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["name"] == "猫"
    assert atomic_write_json(path, [{"a": 1}, 2], indent=None).read_text() == '[{"a":1},2]\n'


def test_making_a_folder_twice_is_fine(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "new") as folder:
        (folder / "file").write_text("")
        assert not (tmp_path / "new").exists()
    assert os.listdir(tmp_path / "new") == ["file"]

    def fail(error: BaseException):
        with atomic_folder(tmp_path / "other") as folder:
            (folder / "file").write_text("")
            raise error

    with pytest.raises(InputError, match=r"other: cannot be written \(No space\); give a writable path"):
        fail(OSError(errno.ENOSPC, "No space"))
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    with pytest.raises(InputError, match="not an empty folder"), atomic_folder(tmp_path / "new"):
        pass
    assert os.listdir(tmp_path) == ["new"]
