"""CVAT's XML files as its exports have them: every shape's box, subsets, tracks, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split, split_names
from cornernet.errors import InputError

LABELS = "<labels><label><name>cat</name></label><label><name>no boxes</name></label></labels>"
META = f"<version>1.1</version><meta><task>{LABELS}</task></meta>"


def image(name: str, *shapes: str, subset: str = "") -> str:
    subset = subset and f'subset="{subset}" '
    return f'<image id="0" name="{name}" {subset}width="200" height="100">{"".join(shapes)}</image>'


def box(*sides: object, label: str = "cat", more: str = "") -> str:
    keys = " ".join(f'{k}="{v}"' for k, v in zip(("xtl", "ytl", "xbr", "ybr"), sides, strict=True))
    return f'<box label="{label}" occluded="0" {keys} z_order="0"{more}></box>'


def write(folder: Path, xml: str, images: tuple[str, ...] = ("images/a.jpg",), file: str = "annotations.xml") -> Path:
    for i, name in enumerate(images):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), (40 * i, 0, 0)).save(folder / name)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{xml}</annotations>')
    return folder


def load(folder: Path, split: str = "all", **options) -> CocoDataset:
    return load_split(find_data(folder), split, **options)


@pytest.mark.parametrize(
    ("shape", "corners"),
    [
        (box(10.5, 20, 30.25, 40), [10.5, 20, 30.25, 40]),
        (box(50, 40, 70, 50, more=' rotation="90.0"'), [55, 35, 65, 55]),
        (box(0, 0, 20, 20, more=' rotation="45"'), [-4.1421, -4.1421, 24.1421, 24.1421]),
        ('<polygon label="cat" points="1,2;30,4.5;5.5,60"/>', [1, 2, 30, 60]),
        ('<mask label="cat" rle="1, 2" left="3" top="4" width="10" height="20"/>', [3, 4, 13, 24]),
        ('<ellipse label="cat" cx="50" cy="50" rx="10" ry="20"/>', [40, 30, 60, 70]),
        ('<ellipse label="cat" cx="50" cy="50" rx="10" ry="20" rotation="90"/>', [30, 40, 70, 60]),
        (
            '<cuboid label="cat" xtl1="1" ytl1="2" xbl1="1" ybl1="20" xtr1="9" ytr1="2" xbr1="9" ybr1="20"'
            ' xtl2="11" ytl2="1" xbl2="11" ybl2="19" xtr2="19" ytr2="1" xbr2="19" ybr2="25"/>',
            [1, 1, 19, 25],
        ),
    ],
)
def test_the_box_of_every_shape(tmp_path, shape, corners):
    data = load(write(tmp_path, META + image("a.jpg", shape)))
    assert (data.format, data.class_names) == ("CVAT", ("cat", "no boxes"))
    clipped = [max(0, corner) for corner in corners]
    assert data.images[0].boxes[0].tolist() == pytest.approx(clipped, abs=1e-3)


def test_what_is_no_box_is_said_once(tmp_path):
    shapes = ['<polyline label="cat" points="1,2;3,4"/>'] * 2 + ['<points label="cat" points="1,2"/>', "<tag/>"]
    data = load(write(tmp_path, META + image("a.jpg", *shapes, box(1, 2, 3, 4))))
    assert data.notes == ("left out, because they are no boxes and no areas: 2 polyline, 1 points, 1 tag",)
    assert len(data.images[0].boxes) == 1
    assert data.problems == []


def test_exchanged_corners_are_put_in_order_and_said(tmp_path):
    data = load(write(tmp_path, META + image("a.jpg", box(30, 20, 10, 40), box(50, 20, 60, 40))))
    assert data.images[0].boxes[0].tolist() == [10, 20, 30, 40]
    (problem,) = data.problems
    assert problem.what == "its corners [30.0, 20.0, 10.0, 40.0] are exchanged"
    assert problem.outcome == "fixed"


@pytest.mark.parametrize(
    ("files", "images", "splits"),
    [
        ({"annotations.xml": ("Train", "Validation")}, ("images/Train/a.jpg", "images/Validation/a.jpg"), None),
        ({"annotations.xml": ("train", "")}, ("images/train/a.jpg", "images/default/a.jpg"), ["train", "default"]),
        ({"train.xml": ("",), "val.xml": ("",)}, ("train/a.jpg", "val/a.jpg"), ["train", "val"]),
        (
            {"train/annotations.xml": ("",), "val/annotations.xml": ("",)},
            ("train/images/a.jpg", "val/images/a.jpg"),
            ["train", "val"],
        ),
        ({"annotations/labels.xml": ("",)}, ("images/a.jpg",), ["all"]),
    ],
)
def test_subsets_files_and_folders_are_splits(tmp_path, files, images, splits):
    number = 0
    for file, subsets in files.items():
        xml = META
        for subset in subsets:
            number += 1
            xml += image("a.jpg", box(number, 0, 50, 50), subset=subset)
        write(tmp_path, xml, images, file)
    labels = find_data(tmp_path)
    assert split_names(labels) == (splits or ["Train", "Validation"])
    for i, split in enumerate(split_names(labels)):
        (found,) = load_split(labels, split).images
        assert found.path == tmp_path / images[i]
        assert found.boxes.tolist() == [[i + 1, 0, 50, 50]]


TRACK = (
    '<track id="0" label="cat"><box frame="0" outside="0" xtl="0" ytl="0" xbr="10" ybr="10"/>'
    '<box frame="2" outside="0" xtl="20" ytl="2" xbr="40" ybr="10"/>'
    '<box frame="3" outside="1" xtl="20" ytl="0" xbr="30" ybr="10"/></track>'
)


def test_tracks_of_a_video_whose_frames_are_pictures(tmp_path):
    data = load(write(tmp_path, META + TRACK, tuple(f"images/frame_{i:06d}.PNG" for i in range(4))))
    assert [image.path.name for image in data.images] == [f"frame_{i:06d}.PNG" for i in range(3)]
    assert [image.boxes.tolist() for image in data.images] == [[[0, 0, 10, 10]], [[10, 1, 25, 10]], [[20, 2, 40, 10]]]
    assert data.notes == ("annotations.xml has tracks of a video: read are the 3 frames in which something is",)


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (META + TRACK, r"no pictures of the frames, such as images/frame_000000\.png; export .*'CVAT for images 1\.1'"),
        (META, "lists no image; export the task again"),
        (META + "<image>", r"annotations\.xml: not XML: mismatched tag: line 2"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, xml, said):
    with pytest.raises(InputError, match=said):
        find_data(write(tmp_path, xml))


def test_entities_are_refused(tmp_path):
    file = write(tmp_path, META + image("a.jpg")) / "annotations.xml"
    file.write_text('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + file.read_text().split("\n", 1)[1])
    with pytest.raises(InputError, match="not XML: it declares entities"):
        find_data(tmp_path)


def test_every_problem_is_listed_with_its_place(tmp_path):
    shapes = (box("x", 0, 1, 1), box(5, 5, 5, 9), box(1, 1, 2, 2, label=""), '<polygon label="cat" points="1,2;3"/>')
    xml = META + image("a.jpg", *shapes, box(1, 2, 30, 40)) + image("gone.jpg", box(1, 2, 3, 4))
    xml += image("deep\\B.PNG", box(1, 2, 3, 4))
    data = load(write(tmp_path, xml, ("images/a.jpg", "elsewhere/b.png")))
    lines = sorted(problem.with_fix().removeprefix(f"{tmp_path}/annotations.xml ") for problem in data.problems)
    assert lines == [
        'image \'a.jpg\' box 1: bbox ["x", "0", "1", "1"] is not four finite numbers; correct or remove it',
        "image 'a.jpg' box 2: bbox [5.0, 5.0, 0.0, 4.0] has no width or no height; correct or remove it",
        "image 'a.jpg' box 3: has no class; give it one, or remove it",
        'image \'a.jpg\' polygon 1: bbox ["1", "2", "3"] is not four finite numbers; correct or remove it',
        f"image 'gone.jpg': its image 'gone.jpg' is not there; put it into {tmp_path}",
    ]
    assert [len(image.boxes) for image in data.images] == [1, 1]
    assert data.notes == (f"1 images have other names than in the labels: deep\\B.PNG is {tmp_path}/elsewhere/b.png",)


def test_two_images_that_fit_are_both_named(tmp_path):
    folder = write(tmp_path, META + image("a.jpg", box(1, 2, 3, 4)), ("one/a.jpg", "two/a.jpg", "images/b.jpg"))
    with pytest.raises(InputError, match=r"'a\.jpg' may be .*one/a\.jpg or .*two/a\.jpg; remove the one that is not"):
        load(folder)
    (folder / "annotations.xml").write_text((folder / "annotations.xml").read_text().replace('"a.jpg"', '"two/a.jpg"'))
    assert load(folder).images[0].path == tmp_path / "two/a.jpg"


def test_a_rotated_photo_in_the_size_that_people_saw(tmp_path):
    folder = write(tmp_path, META + image("a.jpg", box(10, 20, 30, 90)))
    picture, exif = Image.new("RGB", (100, 200)), Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "images/a.jpg", exif=exif)
    (found,) = load(folder).images
    assert found.read().shape == (100, 200, 3)
    assert found.boxes.tolist() == [[10, 20, 30, 90]]
