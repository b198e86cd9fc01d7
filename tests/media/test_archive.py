"""Archives of data sets: unpacked once, and what is unsafe in them refused."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.data.find import find_data, load_split
from cornernet.errors import InputError
from cornernet.media import archive as archive_module
from cornernet.media.sources import find_sources, read_frames


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CORNERNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (200, 100), (70, 80, 90)).save(file, "png")
    return file.getvalue()


FILES = {
    "data.yaml": b"names: [cat]\ntrain: images/train\n",
    "images/train/a.png": picture(),
    "labels/train/a.txt": b"0 0.5 0.5 0.2 0.4\n",
}


def write_zip(path: Path, files: dict[str, bytes], **attributes: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in attributes.items():
                setattr(info, key, value)
            file.writestr(info, content)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as file:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def check(path: Path) -> Path:
    labels = find_data(path)
    (image,) = load_split(labels, "train").images
    assert np.allclose(image.boxes, [[80, 30, 120, 70]])
    return labels.root


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz", "a.download"])
@pytest.mark.parametrize("top", ["", "hats v1/"])
def test_an_archive_is_unpacked_once(tmp_path, cache, capsys, name, top):
    files = {top + inner: content for inner, content in FILES.items()} | {"__MACOSX/._data.yaml": b"x"}
    end = name.rsplit(".", 1)[1].replace("tgz", "gz")
    if end in ("zip", "download"):
        path = write_zip(tmp_path / name, files)
    else:
        path = write_tar(tmp_path / name, files, "w" if end == "tar" else f"w:{end}")
    root = check(path)
    assert root.is_relative_to(cache / "archives")
    assert capsys.readouterr().err.startswith(f"{path} is unpacked in {cache / 'archives'}")
    (root / "seen").touch()
    assert check(path) == root
    assert (root / "seen").exists()
    assert capsys.readouterr().err == ""
    os.utime(path, (1, 1))
    assert check(path) != root
    assert not [file for file in (cache / "archives").iterdir() if file.name.startswith(".")]


def test_what_is_not_used_for_a_month_is_removed(tmp_path, cache, capsys):
    old, used = (find_data(write_zip(tmp_path / f"{name}.zip", FILES)).root for name in ("old", "used"))
    killed = old.with_name(f".{old.name}.partial-1")
    others = [cache / "archives" / "mine", cache / "archives" / "notes-123456789abc.txt"]
    for folder in (killed, *others):
        folder.mkdir()
    for folder in (old, used, killed, *others):
        os.utime(folder, (time.time() - 31 * 24 * 3600,) * 2)
    find_data(tmp_path / "used.zip")
    capsys.readouterr()
    find_data(write_zip(tmp_path / "new.zip", FILES))
    said = capsys.readouterr().err.splitlines()[1:]
    assert said == [
        f"1 unpacked archives that were not used for 30 days are removed from {cache / 'archives'}: {old.name}"
    ]
    assert [folder.exists() for folder in (old, used, killed, *others)] == [False, True, False, True, True]
    assert find_data(tmp_path / "old.zip").root == old  # unpacked again


def test_names_of_windows(tmp_path):
    check(write_zip(tmp_path / "a.zip", {name.replace("/", "\\"): content for name, content in FILES.items()}))


def test_names_without_the_mark_of_utf8(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"hüte/" + name: content for name, content in FILES.items()})
    path.write_bytes(path.read_bytes().replace(b"\x00\x08", b"\x00\x00"))
    with zipfile.ZipFile(path) as file:
        assert "hüte/data.yaml" not in file.namelist()
    assert check(path).name == "hüte"


def test_links_within_an_archive(tmp_path):
    path = write_tar(tmp_path / "a.tar", {name.replace("images/train", "store"): data for name, data in FILES.items()})
    with tarfile.open(path, "a") as file:
        info = tarfile.TarInfo("images/train")
        info.type, info.linkname = tarfile.SYMTYPE, "../store"
        file.addfile(info)
    assert (check(path) / "images/train/a.png").read_bytes() == picture()


def tar_entry(name: str, type_: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = type_, target
    return info


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([tar_entry("link", tarfile.SYMTYPE, "/etc")], "'link' is a link that leads out"),
        ([tar_entry("link", tarfile.SYMTYPE, "../../..")], r"'link' is a link to \.\./\.\./\.\., out of it"),
        ([tar_entry("link", tarfile.LNKTYPE, "/etc/passwd")], "'link' is a link"),
        ([tar_entry("a/b", tarfile.SYMTYPE, ".."), tar_entry("c", tarfile.SYMTYPE, "a/b/../x")], "out of it"),
        (
            [tar_entry("images", tarfile.SYMTYPE, "labels")],
            "'images' is a link that leads out of it, or is",
        ),
        ([tar_entry("pipe", tarfile.FIFOTYPE)], "'pipe' is a device"),
        ([tar_entry("disk", tarfile.BLKTYPE)], "'disk' is a device"),
        ([tar_entry("data.yaml", tarfile.REGTYPE)], "'data.yaml' is there twice, with two contents"),
        ([tar_entry("data.yaml/x", tarfile.REGTYPE)], "a file and a folder"),
        ([tar_entry("../x", tarfile.REGTYPE)], r"'\.\./x' leads out of it"),
        ([tar_entry("/x", tarfile.REGTYPE)], "'/x' leads out of it"),
    ],
)
def test_unsafe_tars(tmp_path, cache, entries, message):
    path = write_tar(tmp_path / "a.tar", FILES)
    with tarfile.open(path, "a") as file:
        for entry in entries:
            file.addfile(entry)
    with pytest.raises(InputError, match=message):
        find_data(path)
    assert not list((cache / "archives").iterdir())
    assert not (tmp_path / "x").exists()


LINK = {"create_system": 3, "external_attr": (stat.S_IFLNK | 0o777) << 16}
ZIPS = {
    "a parent": ({"../x": b""}, {}, r"'\.\./x' leads out of it"),
    "an absolute path": ({"/x": b""}, {}, "leads out of it"),
    "backslashes": ({"a\\..\\..\\x": b""}, {}, "leads out of it"),
    "a drive": ({"C:\\x": b""}, {}, "leads out of it"),
    "a link": ({"x": b"../../.."}, LINK, "is a link to"),
    "a device": ({"x": b""}, {"create_system": 3, "external_attr": stat.S_IFCHR << 16}, "is a device"),
    "nothing": ({}, {}, "holds no file"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_unsafe_zips(tmp_path, cache, name):
    files, attributes, message = ZIPS[name]
    path = write_zip(tmp_path / "a.zip", files, **attributes)
    with pytest.raises(InputError, match=message):
        find_data(path)
    assert not list((cache / "archives").iterdir())


def test_encrypted_zips(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"a": b"b"})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.zip: encrypted; with its password, unpack it yourself"):
        find_data(path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs(tmp_path, cache, monkeypatch, kind):
    monkeypatch.setattr(archive_module, "_GROWTH_ALLOWED", 10_000)
    files = {"zeros": bytes(2_000_000)}
    path = tmp_path / f"a.{kind}"
    path = write_zip(path, files) if kind == "zip" else write_tar(path, files, "w:gz")
    with pytest.raises(InputError, match="more than 200 times as large"):
        find_data(path)
    assert not list((cache / "archives").iterdir())


@pytest.mark.parametrize("limit", ["_MOST_FILES", "_ROOM_LEFT"])
def test_limits(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(archive_module, limit, {"_MOST_FILES": 2, "_ROOM_LEFT": 2**60}[limit])
    with pytest.raises(InputError, match=r"more than 2 files|set CORNERNET_CACHE to a folder with room"):
        find_data(write_zip(tmp_path / "a.zip", FILES))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz", "a.tar"])
@pytest.mark.parametrize("how", ["cut", "changed"])
def test_damaged_archives(tmp_path, cache, name, how):
    files = {**FILES, "noise": np.random.default_rng(0).bytes(50_000)}
    end = name.rsplit(".", 1)[1]
    path = tmp_path / name
    write_zip(path, files) if end == "zip" else write_tar(path, files, "w" if end == "tar" else f"w:{end}")
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif end == "tar":
        content[512 * 2 + 10] ^= 255  # in the header of the second file: there is no checksum of the content
    else:
        content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged, or no whole zip or tar archive"):
        find_data(path)
    assert not list((cache / "archives").iterdir())


@pytest.mark.parametrize(("start", "name"), [(b"Rar!\x1a\x07", "rar"), (b"7z\xbc\xaf\x27\x1c", "7z")])
def test_archives_that_are_not_read(tmp_path, start, name):
    path = tmp_path / f"a.{name}"
    path.write_bytes(start + bytes(300))
    with pytest.raises(InputError, match=f"a {name} archive, which is not read; unpack it yourself"):
        find_data(path)


def test_an_archive_in_an_archive(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", FILES).read_bytes()
    with pytest.raises(InputError, match=r"no data set there.*inner\.zip is an archive: give that file"):
        find_data(write_zip(tmp_path / "a.zip", {"inner.zip": inner}))


def test_images_are_found_in_it(tmp_path, cache, capsys):
    """`predict street.zip`: what is no image is counted under the archive's name."""
    archive = write_zip(tmp_path / "street.zip", {"day1/a.png": picture(), "day1/b.tga.bak": b"no", "c.png": picture()})
    told: list[str] = []
    sources = find_sources([str(archive)], told.append)
    assert [source.name for source in sources] == ["c", "a"]
    assert [frame.pixels.shape for frame in read_frames(sources, 2)] == [(100, 200, 3)] * 2
    (line,) = told
    assert str(archive) in line
    assert ".bak" in line
    assert str(cache) not in line
    assert capsys.readouterr().err.count("is unpacked in") == 1


def test_an_archive_without_images_is_named(tmp_path):
    archive = write_tar(tmp_path / "texts.tar.gz", {"a.txt": b"no image"}, "w:gz")
    with pytest.raises(InputError, match=r"no image there that can be read, only 1 \.txt") as error:
        find_sources([str(archive)])
    assert str(error.value.where) == str(archive)


def test_other_zip_files_are_no_folders_of_images(tmp_path, cache):
    """A weights file or a document given by mistake is not unpacked."""
    weights = write_zip(tmp_path / "old.pth", {"data.pkl": b"", "thumbnail.png": picture()})
    (frame,) = read_frames(find_sources([str(weights)]), 1)
    assert isinstance(frame.pixels, InputError)
    assert not cache.exists()
