"""Formats are told by what is inside the files, and those that are not read are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from PIL import Image

from cornernet.data.find import find_data, load_split
from cornernet.data.formats import Format
from cornernet.data.registry import LABEL_FORMATS
from cornernet.errors import InputError

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    "categories": [{"id": 1, "name": "shapes"}],
}
OBJECT = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>"
VOC = f"<size><width>200</width><height>100</height></size><object><name>cat</name>{OBJECT}</object>"
CVAT = '<image name="a.jpg" width="200" height="100"><box label="cat" xtl="1" ytl="2" xbr="4" ybr="6"/></image>'
LABELME = {"shapes": [{"label": "cat", "points": [[1, 2], [4, 6]], "shape_type": "rectangle"}], "imagePath": "a.jpg"}
VALUE = {"x": 0.5, "y": 2, "width": 1.5, "height": 4, "rectanglelabels": ["cat"]}
SIZE = {"original_width": 200, "original_height": 100}
STUDIO = [
    {"data": {"image": "a.jpg"}, "annotations": [{"result": [{"type": "rectanglelabels", "value": VALUE} | SIZE]}]}
]
SHORT = [{"image": "a.jpg", "id": 1, "box": [VALUE | SIZE]}]


def write(folder: Path, name: str, content: object) -> Path:
    Image.new("RGB", (200, 100)).save(folder / "a.jpg")
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_the_table_has_every_format():
    assert tuple(LABEL_FORMATS) == get_args(Format)


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("result.json", COCO, "coco"),
        ("labelme.json", COCO, "coco"),
        ("instances.json", LABELME, "labelme"),
        ("a.json", {"imageData": "x" * 9999} | LABELME, "labelme"),
        ("_annotations.json", STUDIO, "labelstudio"),
        ("one.json", STUDIO[0], "labelstudio"),
        ("result.json", SHORT, "labelstudio"),
        ("a.xml", f"<annotations>{CVAT}</annotations>", "cvat"),
        ("Annotations/a.xml", f'<?xml version="1.0"?><!-- <annotation> --><annotations>{CVAT}</annotations>', "cvat"),
        (
            "annotations.xml",
            f"<annotation>{VOC.replace('<size>', '<filename>a.jpg</filename><size>')}</annotation>",
            "voc",
        ),
        ("a.xml", f'<Annotation xmlns="http://x.y/z">{VOC}</Annotation>', "voc"),
        ("a.xml", f"<doc>{VOC}</doc>", "voc"),
        ("a.xml", f"<!DOCTYPE annotation>\n<annotation>{VOC}</annotation>", "voc"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_each_format_whatever_the_name(tmp_path, name, content, format, mark):
    file = write(tmp_path, name, content)
    file.write_text(mark + file.read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "0.json").write_text("{}")
    (tmp_path / "0.xml").write_text("<notes/>")
    labels = find_data(tmp_path)
    if format == "voc":
        (tmp_path / "0.xml").unlink()
    assert labels.format == format
    (split,) = labels.splits
    (image,) = load_split(labels, split).images
    assert image.boxes.tolist() == [[1, 2, 4, 6]]
    if format != "voc":  # one of many files
        assert find_data(file).format == format


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.json", {"_via_settings": {}, "_via_img_metadata": {}}, "VGG Image Annotator"),
        ("x.json", {"a.jpg1": {"filename": "a.jpg", "regions": [{"shape_attributes": {}}]}}, "VGG Image Annotator"),
        ("annotations/train.json", {"info": {}, "categories": {"label": {}}, "items": []}, "Datumaro"),
        ("x.json", [{"image": "a.jpg", "annotations": [{"label": "x", "coordinates": {}}]}], "CreateML"),
        ("ds0/ann/a.jpg.json", {"description": "", "tags": [], "size": {}, "objects": []}, "Supervisely"),
        ("x.csv", "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n", "Open Images"),
        ("x.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "a table of boxes"),
        ("x.json", [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}], "COCO's results"),
        ("x.ndjson", '{"data_row": {"id": 1}}\n{"data_row": {"id": 2}}\n', "Labelbox"),
        ("x.json", [{"name": "a.jpg", "labels": [{"box2d": {}}]}], "BDD100K's or Scalabel"),
        ("x.csv", "image,id,label,annotator,annotation_id\n", "Label Studio's table"),
        ("labelTxt/a.txt", "imagesource:Google\ngsd:0.1\n20.0 30 80 30 80 90 20 90 small-car 0\n", "DOTA"),
        ("label_2/a.txt", "Car 0.00 0 -1.57 614 181 727 284 1.57 1.73 4.15 1.00 1.75 13.22 -1.62\n", "KITTI"),
        ("annotations/a.txt", "684,8,273,116,0,0,0,0\n", "VisDrone"),
        ("x.xml", "<dataset><images><image file='a.jpg'><box top='1'/></image></images></dataset>", "dlib's imglab"),
    ],
)
def test_formats_that_are_not_read_are_named(tmp_path, name, content, said):
    file = write(tmp_path, name, content)
    for place in (tmp_path, file):
        fix = "give the file that has 'images'" if "results" in said else "export it as"
        with pytest.raises(InputError, match=f"{name}: {said}.* is a format that is not read; {fix}"):
            find_data(place)


def test_several_formats_in_one_folder(tmp_path):
    write(tmp_path, "a.json", LABELME)
    write(tmp_path, "tasks.json", STUDIO)
    write(tmp_path, "labels.json", COCO)
    write(tmp_path, "annotations.xml", f"<annotations>{CVAT}</annotations>")
    said = "choose with format coco or format cvat or format labelme or format labelstudio"
    with pytest.raises(InputError, match=said):
        find_data(tmp_path)
    for format in ("coco", "cvat", "labelme", "labelstudio"):
        labels = find_data(tmp_path, format)
        assert load_split(labels, labels.splits[0]).images[0].boxes.tolist() == [[1, 2, 4, 6]]


def test_a_label_file_of_a_folder(tmp_path):
    file = write(tmp_path, "a.xml", f"<annotation>{VOC}</annotation>")
    with pytest.raises(
        InputError, match=r"a\.xml: no data set there; .*holds Pascal VOC \(\*\.xml\): give that folder"
    ):
        find_data(file)


def test_other_xml_files_among_vocs(tmp_path):
    write(tmp_path, "a.xml", f"<annotation>{VOC}</annotation>")
    (tmp_path / "b.xml").write_text("<notes/>")
    (problem,) = load_split(find_data(tmp_path), "all").problems
    assert problem.with_fix() == (
        f"{tmp_path}/b.xml: not Pascal VOC's: its root is <notes>; move it away, or export it as Pascal VOC"
    )
