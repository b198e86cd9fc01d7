"""Tells label files by what is inside them, never by their name; reads no more of a file than that needs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cornernet.errors import InputError
from cornernet.files import parse_int
from cornernet.media.walk import files_ending, inner_folder

PREDICTIONS = "detections.json of predict"
RESULTS = "COCO's results, boxes without images and names,"
LABEL_STUDIO_TABLE = "Label Studio's table"
_HEAD = 4096  # bytes that are read first
_LARGE = 2**26  # bytes of a JSON file that is not parsed only to name its format
_LOOKED_AT = 500  # files of a folder: a data set has many small label files, or a few large ones
_NO_ELEMENT = re.compile(r"<\?.*?\?>|<!--.*?-->|<![^>]*>", re.DOTALL)
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_ENCODING = re.compile(rb"""^(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding\s*=\s*["']([\w.-]+)["']""")
_ROOT = re.compile(r"<(?:[\w.-]+:)?([\w.-]+)")
_LABELME = re.compile(r'"(?:shapes|imagePath|imageData)"\s*:')
_NUMBER = r"-?\d+(?:\.\d+)?"
_TEXTS = {  # a line of text files of formats that are not read
    "DOTA": re.compile(rf"(?:{_NUMBER}\s+){{8}}\S+(?:\s+[012])?\s*"),
    "KITTI": re.compile(rf"[A-Za-z_]+(?:\s+{_NUMBER}){{14,15}}\s*"),
    "VisDrone": re.compile(r"(?:\d+,){7}\d+,?\s*"),
}
_FIRST_LINES = 3  # DOTA's files have two lines before the first box
_VIA = re.compile(r'"_via_|"regions"\s*:\s*[\[{]')


def files_in(folder: Path, *endings: str) -> list[Path]:
    """The first files of a folder with these endings, sorted."""
    return sorted(islice(files_ending(folder, *endings), _LOOKED_AT))


def files_by_folder(root: Path, ending: str, is_wanted: Callable[[Path], bool]) -> dict[str, list[Path]]:
    """The label files in a folder, or in its ``annotations``, under ""; or those in its other folders, by their name.

    ``root`` may also be such a file.
    """
    if root.is_file():
        return {"": [root]} if is_wanted(root) else {}
    for folder in (root, inner_folder(root, "annotations")):
        if folder and (files := [file for file in files_in(folder, ending) if is_wanted(file)]):
            return {"": files}
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {folder.name: [file for file in files_in(folder, ending) if is_wanted(file)] for folder in folders}
    return {name: files for name, files in found.items() if files}


def read_xml(file: Path, fix: str = "change its permissions") -> ElementTree.Element:
    """The root of an XML file. Raises ``InputError``, with ``fix`` if it cannot be opened, or if it is no plain XML."""
    try:
        content = file.read_bytes()
        if b"<!ENTITY" in content.replace(b"\0", b""):  # also in UTF-16: labels need none, and they can fill the memory
            raise InputError("not XML: it declares entities", file, "export it again")
        return ElementTree.fromstring(_decoded(content))
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file, fix) from error
    except UnicodeDecodeError as error:
        what = f"not text in {error.encoding}, which its first line says or means"
        raise InputError(what, file, "write the right encoding there, or save it as UTF-8") from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # no XML, or an unknown encoding
        raise InputError(f"not XML: {error}", file, "correct it or export it again") from error


def _decoded(content: bytes) -> str | bytes:
    """The text of an XML file. Python's parser knows few encodings, and believes a wrong one: bytes that are UTF-8 are.

    Raises ``UnicodeDecodeError``, and ``LookupError`` for an encoding that nobody knows.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content[:4]:  # UTF-16, which the parser finds out
        return content
    declared = _ENCODING.match(content)
    with suppress(UnicodeDecodeError):
        text = content.decode("utf-8-sig")
        return _DECLARATION.sub("", text, count=1) if declared else text
    encoding = declared[1].decode() if declared else "utf-8"
    return _DECLARATION.sub("", content.decode(encoding), count=1)


def load_json(file: Path) -> Any:
    """The content of a JSON file. Raises ``InputError`` if it cannot be read."""
    try:
        return parse_json(file.read_bytes(), file)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file, "change its permissions") from error


def parse_json(content: bytes, file: Path) -> Any:
    """The content of ``file``. Raises ``InputError``, with the line and column, if it is not JSON."""
    try:
        return json.loads(content, parse_int=parse_int)
    except json.JSONDecodeError as error:
        what = f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise InputError(what, file, "correct it or export it again") from error
    except (ValueError, RecursionError) as error:  # not text, a number with thousands of digits, or nested too deeply
        raise InputError(f"not JSON: {error}", file, "export it again") from error


def is_cvat(file: Path) -> bool:
    """Whether an XML file is CVAT's."""
    head = _head(file)
    return _root(head) == "annotations" and any(tag in head for tag in ("<meta", "<image", "<track"))


def is_voc(file: Path) -> bool:
    """Whether an XML file is one of Pascal VOC's, also with another root."""
    head = _head(file)
    return _root(head).lower() == "annotation" or "<bndbox" in head


def is_labelme(file: Path) -> bool:
    """Whether a JSON file is LabelMe's."""
    return looks_like_labelme(file) and _has_keys(file, b'"shapes"', b'"imagePath"')


def looks_like_labelme(file: Path) -> bool:
    """The same from the first bytes: may be wrong about other tools' files, but never about COCO's."""
    head = _head(file)
    return head.startswith("{") and _LABELME.search(head) is not None


def is_label_studio(file: Path) -> bool:
    """Whether a JSON file is an export of Label Studio, or one of tasks to import."""
    entry = _first_entry(file)
    if "data" in entry:
        return isinstance(entry["data"], dict)
    regions = [item[0] for item in entry.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
    return "annotation_id" in entry or any("original_width" in region for region in regions)


def foreign_format(root: Path) -> tuple[Path, str] | None:
    """A label file in a folder, or in its subfolders, or the file itself, of a known format that is not read."""
    endings = (".json", ".xml", ".csv", ".tsv", ".jsonl", ".ndjson", ".txt")
    files = iter([root]) if root.is_file() else islice(files_ending(root, *endings, below=True), _LOOKED_AT)
    named = ((file, _foreign_name(file)) for file in files)
    return next(((file, name) for file, name in named if name), None)


def _foreign_name(file: Path) -> str:
    """The name of a format that is not read; "" for any other file."""
    head = _head(file)
    if head.startswith("<"):
        return "dlib's imglab" if _root(head) == "dataset" and "<box" in head else ""
    if file.suffix.lower() == ".txt":
        lines = head.splitlines()[:_FIRST_LINES]
        return next((name for name, form in _TEXTS.items() if any(map(form.fullmatch, lines))), "")
    if file.suffix.lower() in (".csv", ".tsv"):
        columns = {column.strip(' "\r').lower() for column in re.split("[,\t]", head.split("\n")[0])}
        if {"annotation_id", "annotator"} <= columns:
            return LABEL_STUDIO_TABLE
        if {"imageid", "xmin", "ymin"} <= columns:
            return "Open Images"
        return "a table of boxes" if {"xmin", "ymin", "xmax", "ymax"} <= columns else ""
    entry = _first_entry(file)
    if not entry and head.startswith("{") and file.stat().st_size < _LARGE:
        with suppress(InputError):
            content = load_json(file)
            entry = content if isinstance(content, dict) else {}
    keys = entry.keys()
    known = {
        "VGG Image Annotator": bool(_VIA.search(head)) or any(key.startswith("_via_") for key in keys),
        "Datumaro": {"categories", "items"} <= keys,
        "Supervisely": "objects" in keys and not keys.isdisjoint(("size", "tags", "classTitle")),
        "CreateML": "annotations" in keys and not keys.isdisjoint(("image", "imagefilename", "imageFilename")),
        "Labelbox": not keys.isdisjoint(("data_row", "Labeled Data", "DataRow ID")),
        RESULTS: {"image_id", "category_id", "score"} <= keys,
        "BDD100K's or Scalabel": {"name", "labels"} <= keys,
        "V7 Darwin": {"item", "annotations"} <= keys,
        "Cityscapes": {"imgHeight", "imgWidth", "objects"} <= keys,
        PREDICTIONS: {"classes", "images"} == keys,
    }
    return next((name for name, is_it in known.items() if is_it), "")


def _head(file: Path) -> str:
    """The first characters of a text file, without the mark of its encoding and spaces; "" if it cannot be read."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
    except OSError:
        return ""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    return head.decode(encoding, "replace").lstrip()


def _root(head: str) -> str:
    """The name of an XML file's root element, without its namespace; "" if it is no XML."""
    found = _ROOT.search(_NO_ELEMENT.sub("", head)) if head.startswith("<") else None
    return found[1] if found else ""


def _has_keys(file: Path, *keys: bytes) -> bool:
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return all(key in content for key in keys)


def _first_entry(file: Path) -> dict[str, Any]:
    """The first object of a JSON file that is a list, or has an object in each line; or a small file's only object."""
    head = _head(file)
    if head[:1] not in ("[", "{"):
        return {}
    start = head[:1] == "["
    for size in (2**20, -1):
        try:
            with file.open("rb") as opened:
                text = opened.read(size).decode("utf-8-sig", "replace").lstrip()
            entry = json.JSONDecoder().raw_decode(text[start:].lstrip())[0]
            return entry if isinstance(entry, dict) else {}
        except (OSError, ValueError, RecursionError):
            if not start:  # a large object is not a task
                return {}
    return {}
