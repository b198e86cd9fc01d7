"""Pascal VOC's label files as people have them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cornernet.data.causes import SystematicError
from cornernet.data.dataset import CocoDataset
from cornernet.data.find import find_data, load_split
from cornernet.data.places import MissingSplit
from cornernet.errors import InputError


def xml(*objects: str, size: str = "<width>200</width><height>100</height>", extra: str = "") -> str:
    return f"<annotation>{extra}<size>{size}<depth>3</depth></size>{''.join(objects)}</annotation>"


def thing(name: str = "cat", box: tuple[object, ...] = (10, 20, 30, 40), difficult: int = 0) -> str:
    sides = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"


def write_voc(folder: Path, labels: dict[str, str | None], lists: dict[str, str] | None = None) -> Path:
    """VOC's folders with 200x100 images; ``labels`` by stem, ``None`` for no label file."""
    for stem, text in labels.items():
        image = folder / f"JPEGImages/{stem}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100)).save(image)
        if text is not None:
            file = folder / f"Annotations/{stem}.xml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    for name, text in (lists or {}).items():
        (folder / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
        (folder / f"ImageSets/Main/{name}.txt").write_text(text)
    return folder


def load(folder: Path, split: str = "train", **options) -> CocoDataset:
    return load_split(find_data(folder), split, **options)


LISTS = {"train": "a\nsub/b \n", "val": "c\n", "trainval": "a\nsub/b\nc\n", "cat_train": "a  1\nsub/b -1\n"}


@pytest.fixture
def folder(tmp_path) -> Path:
    labels = {
        "a": xml(thing(), thing("dog", (1.5, 2.25, 200, 100), difficult=1)),
        "sub/b": xml(),
        "c": xml(thing("a, 🐈 &amp; more")),
    }
    return write_voc(tmp_path / "voc", labels, LISTS)


def test_splits_from_the_lists(folder):
    labels = find_data(folder)
    assert sorted(labels.splits) == ["train", "trainval", "val"]  # not the lists of single classes
    data = load(folder)
    assert data.class_names == ("a, 🐈 & more", "cat", "dog")  # of all splits
    assert data.format == "Pascal VOC"
    assert [image.file_name for image in data.images] == ["a.jpg", "sub/b.jpg"]
    assert data.images[0].boxes.tolist() == [[10, 20, 30, 40], [1.5, 2.25, 200, 100]]
    assert data.images[0].crowd.tolist() == [False, True]
    assert [data.class_names[label] for label in data.images[0].labels] == ["cat", "dog"]
    assert data.images[1].boxes.shape == (0, 4)
    assert len(load(folder, "trainval").images) == 3


def test_without_lists_all_is_one_split(folder):
    for file in (folder / "ImageSets/Main").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"no split 'train' in Pascal VOC .*splits there: all; .*val_share 0.1"):
        load(folder)
    assert len(load(folder, "all").images) == 3


@pytest.mark.parametrize("parts", ["", "train valid"])
def test_labels_beside_their_images(tmp_path, parts):
    for part in parts.split() or [""]:
        write_voc(tmp_path / "work", {"a": xml(thing()), "b": None})
        (tmp_path / "set" / part).mkdir(parents=True)
        for file in [*(tmp_path / "work").rglob("*.xml"), *(tmp_path / "work").rglob("*.jpg")]:
            file.rename(tmp_path / "set" / part / file.name)
    data = load(tmp_path / "set", "val" if parts else "all")
    assert [image.file_name for image in data.images] == ["a.jpg"]
    assert len(data.images[0].boxes) == 1


def test_the_challenge_counts_pixels_from_1(tmp_path):
    source = "<source><database>The VOC2007 Database</database></source>"
    write_voc(tmp_path, {"a": xml(thing(box=(1, 1, 200, 100)), extra=source)})
    assert load(tmp_path, "all").images[0].boxes.tolist() == [[0, 0, 200, 100]]


def test_a_size_that_is_not_said_is_looked_up(tmp_path):
    write_voc(tmp_path, {"a": xml(thing(), size="<width>0</width><height>0</height>"), "b": xml(thing(), size="")})
    assert [(image.height, image.width) for image in load(tmp_path, "all").images] == [(100, 200)] * 2


def test_the_image_that_the_file_names(tmp_path):
    write_voc(tmp_path, {"a": xml(thing(), extra="<filename>C:\\photos\\other.png</filename>")})
    Image.new("RGB", (200, 100)).save(tmp_path / "JPEGImages/other.png")
    assert load(tmp_path, "all").images[0].file_name == "a.jpg"  # its own name comes first
    (tmp_path / "JPEGImages/a.jpg").unlink()
    assert load(tmp_path, "all").images[0].file_name == "other.png"
    Image.new("RGB", (200, 100)).save(tmp_path / "JPEGImages/a.bmp")
    Image.new("RGB", (200, 100)).save(tmp_path / "JPEGImages/a.png")
    (tmp_path / "Annotations/a.xml").write_text(xml(thing(), extra="<filename>a.png</filename>"))
    assert load(tmp_path, "all").images[0].file_name == "a.png"


@pytest.mark.parametrize(
    ("item", "what"),
    [
        (thing(box=(30, 20, 30, 40)), "has no width or no height"),
        (thing(box=(300, 20, 310, 40)), "lies outside its 100x200 image"),
        (thing(box=("ten", 20, 30, 40)), r'bbox \["ten", "20", "30", "40"\] is not four finite numbers'),
        (thing(box=("nan", 20, 30, 40)), "is not four finite numbers"),
        ("<object><name>cat</name></object>", "it has no box"),
        ("<object><bndbox/></object>", "has no name"),
    ],
)
def test_a_bad_object_is_left_out_with_its_file_and_number(tmp_path, item, what):
    write_voc(tmp_path, {"a": xml(thing(), item)})
    data = load(tmp_path, "all")
    assert len(data.images[0].boxes) == 1
    assert data.skipped == 1
    assert data.problems[0].where == f"{tmp_path}/Annotations/a.xml object 2"
    with pytest.raises(InputError, match=f"1 bad boxes: .*{what}"):
        load(tmp_path, "all", strict=True)


def test_label_files_and_images_that_cannot_be_used(tmp_path):
    labels = {name: xml(thing()) for name in "abcde"}
    write_voc(tmp_path, labels, {"train": "a\nb\nc\nd\ne\nf\n"})
    (tmp_path / "Annotations/a.xml").write_text("<annotation><object>")
    (tmp_path / "JPEGImages/b.jpg").unlink()
    (tmp_path / "JPEGImages/c.jpg").write_bytes(b"")
    (tmp_path / "Annotations/d.xml").write_text(xml(thing(), size="<width>300</width><height>100</height>"))
    data = load(tmp_path)
    assert [image.file_name for image in data.images] == ["e.jpg"]
    said = [str(problem) for problem in data.problems]
    assert data.skipped_images == len(said) == 5
    for name, what in [
        ("a.xml", "not XML: .* line 1"),
        ("f.xml", "cannot be read"),
        ("b.jpg", "no such file"),
        ("c.jpg", "the file is empty"),
        ("d.jpg", "the image is 100x200 .* its label file says 100x300"),
    ]:
        assert any(re.search(f"{name}: {what}", line) for line in said), said
    with pytest.raises(InputError, match="5 bad images"):
        load(tmp_path, strict=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_xml_bomb_is_a_bad_label_file(tmp_path, encoding):
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE annotation [<!ENTITY e0 "{"x" * 100}">{entities}]><annotation>&e9;</annotation>'
    write_voc(tmp_path, {"a": "", "b": xml(thing())})
    next(tmp_path.rglob("a.xml")).write_text(bomb, encoding=encoding)
    assert "a.xml: not XML: it declares entities" in str(load(tmp_path, "all").problems[0])


def test_a_list_of_classes_gives_their_order_and_is_complete(folder):
    (folder / "classes.txt").write_text("zebra\ncat\na, 🐈 & more\n")
    data = load(folder)
    assert data.class_names == ("zebra", "cat", "a, 🐈 & more")
    assert "class 'dog' is not in classes.txt" in str(data.problems[0])


def test_names_between_lines_of_their_own(tmp_path):
    write_voc(tmp_path, {"a": xml(thing(), thing("\n\t cat\n"), thing(" cat "))})
    data = load(tmp_path, "all")
    assert data.class_names == (" cat ", "cat")
    assert data.images[0].labels.tolist() == [1, 1, 0]
    (tmp_path / "JPEGImages/a.jpg").rename(tmp_path / "JPEGImages/other.jpg")
    (tmp_path / "Annotations/a.xml").write_text(xml(thing(), extra="<filename>\n other.jpg\n</filename>"))
    assert load(tmp_path, "all").images[0].file_name == "other.jpg"


def test_weights_may_know_classes_that_no_box_has(folder):
    names = ("a, 🐈 & more", "bird", "cat", "dog")
    data = load(folder, class_names=names)
    assert data.class_names == names
    assert [data.class_names[label] for label in data.images[0].labels] == ["cat", "dog"]
    with pytest.raises(InputError, match="unknown to the weights: dog"):
        load(folder, class_names=("a, 🐈 & more", "cat"))


@pytest.mark.parametrize("name", ["..", "/", "x" * 300 + ".jpg", "no such.jpg"])
def test_an_image_of_an_impossible_name(tmp_path, name):
    write_voc(tmp_path, {"a": xml(thing(), extra=f"<filename>{name}</filename>"), "b": xml(thing())})
    (tmp_path / "JPEGImages/a.jpg").unlink()
    data = load(tmp_path, "all")
    assert [image.file_name for image in data.images] == ["b.jpg"]
    assert data.skipped_images == 1


def test_lists_of_absolute_names(tmp_path):
    write_voc(tmp_path, {"a": xml(thing())}, {"train": "/a\n/nowhere/b\n"})
    data = load(tmp_path)
    assert [image.file_name for image in data.images] == ["a.jpg"]
    assert "nowhere/b.xml: cannot be read" in str(data.problems[0])


def test_no_object_anywhere(tmp_path):
    with pytest.raises(InputError, match="no object in any of its 1 label files; label some"):
        load(write_voc(tmp_path, {"a": xml()}), "all")


def test_every_box_of_an_object_is_read(tmp_path):
    more = "<bndbox><xmin>110</xmin><ymin>20</ymin><xmax>150</xmax><ymax>90</ymax></bndbox>"
    part = thing("head", (11, 21, 15, 25)).replace("object>", "part>")
    label = xml(thing().replace("</object>", f"{more}{part}</object>"))
    data = load(write_voc(tmp_path, {"a": label}), "all")
    assert data.images[0].boxes.tolist() == [[10, 20, 30, 40], [110, 20, 150, 90]]
    assert data.class_names == ("cat",)


def test_a_file_of_several_images_is_refused(tmp_path):
    data = load(write_voc(tmp_path, {"a": f"<annotations>{xml(thing())}</annotations>", "b": xml(thing())}), "all")
    (problem,) = data.problems
    assert problem.with_fix().endswith("a.xml: it has the labels of several images; write one XML file for each image")


@pytest.mark.parametrize(
    ("place", "train", "val"),
    [
        ("ImageSets/Main", "a  1\nsub/b -1\n", "c 0\n"),
        ("ImageSets/Main", "a.jpg\nsub/b.JPG\n", "c.jpg\n"),
        ("imagesets/main", "A\nsub/b\na\n", "c\n"),
        ("ImageSets", "a\r\nsub/b\r\n", "c\r\n"),
        ("ImageSets", "JPEGImages\\a.jpg\nJPEGImages\\sub\\b.jpg\n", "JPEGImages\\c.jpg"),
        (".", "./JPEGImages/a.jpg ./Annotations/a.xml\n./JPEGImages/sub/b.jpg ./Annotations/sub/b.xml\n", "c.xml\n"),
        (".", "/home/me/data/JPEGImages/a.jpg\n/home/me/data/JPEGImages/sub/b.jpg\n", "/home/me/data/JPEGImages/c.jpg"),
    ],
)
def test_lists_as_people_write_them(folder, place, train, val):
    shutil.rmtree(folder / "ImageSets")
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / place / "train.txt").write_text(train)
    (folder / place / "val.txt").write_text(val)
    (folder / "notes.txt").write_text("a\n")
    names = {split: [image.file_name for image in load(folder, split).images] for split in ("train", "val")}
    assert names == {"train": ["a.jpg", "sub/b.jpg"], "val": ["c.jpg"]}
    assert sorted(find_data(folder).splits) == ["train", "val"]


def test_lists_of_single_classes_alone(folder):
    for file in (folder / "ImageSets/Main").iterdir():
        file.unlink()
    lists = {"cat_train": "a  1\nsub/b -1\n", "dog_train": "a -1\nsub/b -1\n", "cat_val": "c  1\n"}
    write_voc(folder, {}, lists)
    assert sorted(find_data(folder).splits) == ["train", "val"]
    assert [image.file_name for image in load(folder).images] == ["a.jpg", "sub/b.jpg"]
    (note, *_) = load(folder).notes
    assert note == "there is no list of all images: read are those of cat_train.txt, dog_train.txt"


def test_a_name_that_a_list_repeats_is_read_once(folder):
    write_voc(folder, {}, {"train": "a\nsub/b\na\ngone 1\n"})
    data = load(folder)
    assert len(data.images) == 2
    assert any("1 names stand twice in" in note and "such as a: each is read once" in note for note in data.notes)
    assert "Annotations/gone.xml: cannot be read" in str(data.problems[0])


def test_an_empty_list_is_a_split_that_is_missing(folder):
    write_voc(folder, {}, {"test": "\n"})
    with pytest.raises(MissingSplit, match=r"test: ImageSets/Main/test.txt lists no image; list some, or remove it"):
        load(folder, "test")
    assert len(load(folder).images) == 2


@pytest.mark.parametrize("box", [(30, 40, 10, 20), (30, 20, 10, 40), (10, 40, 30, 20)])
def test_exchanged_corners_are_put_in_order_and_said(tmp_path, box):
    write_voc(tmp_path, {"a": xml(thing(), thing(box=(50, 20, 60, 40)), thing("dog", box)), "b": xml(thing())})
    data = load(tmp_path, "all")
    assert data.images[0].boxes[2].tolist() == [10, 20, 30, 40]
    (problem,) = data.problems
    corners = ", ".join(f"{side}.0" for side in box)
    assert str(problem).endswith(f"Annotations/a.xml object 3: its corners [{corners}] are exchanged; fixed")
    assert load(tmp_path, "all").coco_dict()["annotations"][2]["bbox"] == [10, 20, 20, 20]


def test_widths_and_heights_for_corners_are_not_put_in_order(tmp_path):
    """Many boxes tell that the numbers have another meaning."""
    boxes = [(100 - i, 60 - i, 20 + i, 10 + i) for i in range(10)]
    write_voc(tmp_path, {"a": xml(*(thing(box=box) for box in boxes))})
    with pytest.raises(SystematicError, match="10 of 10 boxes fit their images as x y width height"):
        load(tmp_path, "all")


def test_decimal_commas_are_named(tmp_path):
    comma = thing(box=("10,5", "20,5", "30,5", "40,5"))
    write_voc(tmp_path, {"a": xml(thing(), thing(), comma)})
    (problem,) = load(tmp_path, "all").problems
    assert problem.with_fix().endswith(
        '["10,5", "20,5", "30,5", "40,5"] is not four finite numbers; write decimals with a point'
    )
    write_voc(tmp_path, {"a": xml(comma, comma, comma)})
    with pytest.raises(SystematicError, match=r"3 of 3 boxes are not four numbers.*; write decimals with a point"):
        load(tmp_path, "all")


@pytest.mark.parametrize(
    ("declared", "written"),
    [
        ("gb2312", "gb2312"),  # which Python's parser does not know
        ("Shift_JIS", "shift_jis"),
        ("latin-1", "utf-8"),  # which it believes
        ("gbk", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("UTF-8", "utf-8"),
        (None, "utf-8"),
    ],
)
def test_encodings(tmp_path, declared, written):
    name = "日本" if "JIS" in str(declared) else "中国"
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    write_voc(tmp_path, {"a": xml(thing())})
    (tmp_path / "Annotations/a.xml").write_bytes((head + xml(thing(name))).encode(written))
    data = load(tmp_path, "all")
    assert (data.class_names, data.problems) == ((name,), [])


def test_bytes_that_are_not_in_the_encoding_that_they_say(tmp_path):
    write_voc(tmp_path, {"a": xml(thing()), "b": xml(thing())})
    head = '<?xml version="1.0" encoding="utf-8"?>'
    (tmp_path / "Annotations/a.xml").write_bytes((head + xml(thing("käse"))).encode("latin-1"))
    (problem,) = load(tmp_path, "all").problems
    fix = "write the right encoding there, or save it as UTF-8"
    assert problem.with_fix().endswith(f"a.xml: not text in utf-8, which its first line says or means; {fix}")


def test_parts_of_objects_are_said(tmp_path):
    head = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
    write_voc(tmp_path, {"a": xml(thing("person").replace("<bndbox>", f"{head * 2}<bndbox>"))})
    data = load(tmp_path, "all")
    assert data.images[0].boxes.tolist() == [[10, 20, 30, 40]]
    assert data.notes == ("2 parts of objects (<part>), such as heads, are not read as objects",)
