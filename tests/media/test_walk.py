"""Searches follow links, do not run in circles, know images by content, and say what they pass over."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cornernet.errors import InputError
from cornernet.media.images import read_header, read_image
from cornernet.media.sources import find_sources, read_frames
from cornernet.media.walk import PassedOver, find_images, walk


def save(path: Path, *shades: int, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = [Image.fromarray(np.full((8, 12, 3), shade, np.uint8)) for shade in shades or (200,)]
    more = {"save_all": True, "append_images": others} if others else {}
    first.save(path, options.pop("format", None), **more, **options)  # type: ignore[arg-type]
    return path


def names(paths: list[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_links_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    for name in ("store/day/b.jpg", "in/a.jpg", "in/deep/c.jpg", "val/d.jpg"):
        save(tmp_path / name)
    root = tmp_path / "in"
    links = {"alias": "deep", "day": "../store/day", "loop": ".", "up": "..", "e.jpg": "../store/day/b.jpg"}
    for name, target in (links | {"gone.jpg": "nowhere.jpg", "deep/loop": ".."}).items():
        (root / name).symlink_to(target)
    passed = PassedOver()
    wanted = ["a.jpg", "day/b.jpg", "deep/c.jpg", "e.jpg"]
    assert names(find_images([root], passed=passed), root) == wanted
    assert passed.unreachable == [
        f"{root}/gone.jpg: a link to nowhere.jpg, which is not there",
        f"{root}/alias: a link to a folder that is searched by its own name",
    ]
    assert names(find_images([root / "**/*.jpg"]), root) == wanted
    told: list[str] = []
    found = find_sources([str(root)], told.append)
    assert len(found) == 3  # b.jpg and e.jpg are one file
    assert "1 of the names in" in told[0]


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.jpg")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(place: str) -> object:
        if place.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    lines: list[str] = []
    assert list(walk(tmp_path, lines)) == [tmp_path / "a.jpg"]
    assert lines == [f"{tmp_path}/locked: the folder cannot be read (Permission denied)"]


def test_images_are_known_by_ending_or_content_and_the_rest_is_counted(tmp_path: Path) -> None:
    formats = {"a.jpg": "JPEG", "b.jfif": "JPEG", "c.gif": "GIF", "f.jp2": "JPEG2000", "g.JPE": "JPEG"}
    formats |= {"noending": "PNG", "shot 3.5": "WEBP", "x.pnm": "PPM", "y.dib": "BMP"}
    for name, kind in formats.items():
        save(tmp_path / name, format=kind)
    for name in ("p.pdf", "q.PDF", "v.svg", "note.txt", "a.json", ".hidden", "._a.jpg", "Thumbs.db", "e.eps"):
        (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "b.jpg").touch()
    told: list[str] = []
    frames = list(read_frames(find_sources([str(tmp_path)], told.append), depth=2))
    assert [Path(frame.source).name for frame in frames] == sorted(formats)
    assert all(not isinstance(frame.pixels, InputError) and frame.pixels.shape == (8, 12, 3) for frame in frames)
    assert told == [f"4 files in {tmp_path} were not looked at: 2 .pdf, 1 .eps, 1 .svg"]


def test_kinds_that_only_their_ending_tells(tmp_path: Path) -> None:
    for name, kind in (("a.tga", "TGA"), ("b.PCX", "PCX")):
        save(tmp_path / name, format=kind)
    save(tmp_path / "named.jpg", format="PCX")
    frames = list(read_frames(find_sources([str(tmp_path)]), depth=2))
    assert [getattr(frame.pixels, "shape", None) for frame in frames] == [(8, 12, 3), (8, 12, 3), None]
    assert "not an image that can be read" in str(frames[2].pixels)


def test_images_in_hidden_folders_are_told(tmp_path: Path) -> None:
    for name in ("a.jpg", ".day2/b.jpg", ".day2/c.png", ".ipynb_checkpoints/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save(tmp_path / name)
    (tmp_path / ".settings").mkdir()
    (tmp_path / ".settings" / "notes.txt").touch()
    told: list[str] = []
    assert len(find_sources([str(tmp_path)], told.append)) == 1
    assert told == [f"{tmp_path}/.day2: a hidden folder with 2 images, not searched"]


def test_a_folder_without_images_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.pdf").touch()
    with pytest.raises(InputError, match=r"no image there that can be read, only 1 \.pdf, 1 \.txt"):
        find_images([tmp_path])


def test_heic_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    path = tmp_path / "photo.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    with pytest.raises(InputError, match=r"HEIC image.*pip install 'cornernet\[heif\]'"):
        read_image(path)
    with pytest.raises(InputError, match=r"only 1 HEIC images; pip install 'cornernet\[heif\]'"):
        find_sources([str(tmp_path)])
    save(tmp_path / "a.jpg")
    save(tmp_path / "converted.HEIC", format="JPEG")  # by its name alone
    told: list[str] = []
    found = find_sources([str(tmp_path)], told.append)
    assert [source.name for source in found] == ["a", "converted"]
    assert told == [f"1 HEIC images in {tmp_path} were not looked at; pip install 'cornernet[heif]'"]


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp", "a.png", "a.mpo"])
def test_every_picture_of_a_file_is_read(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "a.webp" else {"quality": 95} if name == "a.mpo" else {}
    path = save(tmp_path / name, 10, 120, 240, **options)
    assert read_header(path).pictures == 3
    frames = list(read_frames(find_sources([str(path)]), depth=2))
    assert [frame.stem for frame in frames] == ["a/000000", "a/000001", "a/000002"]
    shades = [int(np.median(frame.pixels)) for frame in frames if not isinstance(frame.pixels, InputError)]
    assert shades == pytest.approx([10, 120, 240], abs=2)
    assert np.median(read_image(path)) == pytest.approx(10, abs=2)


def test_pages_of_16_bits_are_read_each(tmp_path: Path) -> None:
    import cv2

    pages = [np.full((8, 12, 3), shade * 257, np.uint16) for shade in (10, 240)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    frames = read_frames(find_sources([str(tmp_path)]), depth=2)
    assert [int(np.median(frame.pixels)) for frame in frames if not isinstance(frame.pixels, InputError)] == [10, 240]


@pytest.mark.parametrize("name", ["a.tif", "a.gif"])
def test_damaged_later_pictures_are_errors_of_their_own(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)
    first, *others = map(Image.fromarray, noise)
    first.save(path, save_all=True, append_images=others)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    first, *others = read_frames(find_sources([str(path)]), depth=2)
    assert not isinstance(first.pixels, InputError)
    assert others
    assert isinstance(others[-1].pixels, InputError)
    assert f"a{path.suffix} (picture" in str(others[-1].pixels)


def test_a_tiffs_thumbnail_is_not_taken_for_its_picture(tmp_path: Path) -> None:
    small, large = Image.new("RGB", (4, 3), "red"), Image.new("RGB", (12, 8), "blue")
    small.encoderinfo = {"tiffinfo": {254: 1}}  # a reduced picture
    small.save(tmp_path / "a.tif", save_all=True, append_images=[large])
    assert read_image(tmp_path / "a.tif").shape == (8, 12, 3)
    assert read_header(tmp_path / "a.tif").pictures == 1
    small.save(tmp_path / "raw.nef", "TIFF", tiffinfo={254: 1})
    with pytest.raises(InputError, match="only its thumbnail can be read"):
        read_image(tmp_path / "raw.nef")
