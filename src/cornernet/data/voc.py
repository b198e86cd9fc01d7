"""Reads and writes Pascal VOC's label files, one XML file for each image.

A data set has VOC's folders, ``Annotations`` and ``JPEGImages`` (or ``annotations`` and ``images``) with the splits'
lists in ``ImageSets/Main``, or XML files beside their images, in one folder or one for each split. Boxes are in pixels,
with fractions. ``difficult`` is read as COCO's crowd flag: ignored in training. VOC has no list of classes; here it is
the file ``classes.txt`` beside the folders, with a name on each line.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from cornernet.data.dataset import CocoDataset
from cornernet.data.formats import Format
from cornernet.data.names import ImageNames
from cornernet.data.outlines import box_of_points
from cornernet.data.places import TRIED, MissingSplit, best_folder, image_of_stem, same_content
from cornernet.data.sniff import is_voc, read_xml
from cornernet.data.tables import Problem, Tables, Wanted, everything, images_below, read_text, unusable_image
from cornernet.data.voc_lists import find_lists, listed_labels
from cornernet.data.writing import Placer, all_classes, as_text, flattened, placed, require_xml, write_text
from cornernet.errors import InputError
from cornernet.media.walk import files_ending, inner_folder

_LABELS, _IMAGES = "Annotations", ("JPEGImages", "images")
_LISTS = Path("ImageSets") / "Main"
_CLASSES = "classes.txt"
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_CHALLENGE = re.compile(r"The VOC20\d\d Database")  # its pixels are numbered from 1


class _Part(NamedTuple):
    """The folders of a split's label files and images, and the lists of their names if there are any."""

    labels: Path
    images: Path
    lists: Sequence[Path] = ()


class _Object(NamedTuple):
    name: str | None
    bbox: list[float] | list[str | None]  # x y width height, or the four texts if they are no numbers
    is_difficult: bool
    has_shape: bool = False  # the box is that of a polygon or an oriented box
    parts: int = 0  # such as a person's head, which the challenge's layout task has


class _Label(NamedTuple):
    """A label file: its image, (height, width) if given, its objects; or the problem if it cannot be used.

    ``other`` is another image, which the file names.
    """

    file: Path
    image: Path
    size: tuple[int, int] | None = None
    objects: Sequence[_Object] = ()
    problem: Problem | None = None
    other: Path | None = None


class VocFolder:
    """A data set of XML files; ``parts`` by split."""

    format: Format = "voc"

    def __init__(self, root: Path, parts: Mapping[str, _Part]) -> None:
        self.root, self.parts = root, parts
        self.splits = tuple(parts)
        labels = next(iter(parts.values())).labels
        self.title = f"Pascal VOC ({(labels / '*.xml').relative_to(root)})"
        self._labels: dict[str, list[_Label]] = {}
        self._unreachable: list[str] = []
        self._respelled: dict[str, list[str]] = {}

    def read(self, split: str, wanted: Wanted = everything) -> Tables:
        """A split's tables, as `LabelFolder.read`; the class names come from the XML files of all splits."""
        part = self.parts[split]
        if part.lists and not self._read(split):
            listing = os.path.relpath(part.lists[0], self.root)
            raise MissingSplit(f"{split}: {listing} lists no image", self.root, "list some, or remove it")
        names, are_listed = self._class_names()
        ids = {name: id_ for id_, name in enumerate(names, start=1)}
        categories = [{"id": id_, "name": name} for name, id_ in ids.items()]
        tables = Tables(split, "Pascal VOC", part.labels, part.images, [], [], categories, places=[])
        tables.lists_classes, tables.layout = are_listed, "corners"
        labels = [label for label in self._read(split) if wanted(label.image.name)]
        if doubts := [label for label in labels if label.other]:
            what = f"{len(doubts)} label files name another image than the one with their own name, which is read: "
            tables.notes.append(f"{what}{doubts[0].file} names {doubts[0].other}")
        tables.notes += self._respelled[split]
        if shaped := [label.file for label in labels for item in label.objects if item.has_shape]:
            what = f"{len(shaped)} objects have a shape and no bndbox, such as in {shaped[0]}"
            tables.notes.append(f"{what}: their boxes are those around it")
        if parts := sum(item.parts for label in labels for item in label.objects):
            tables.notes.append(f"{parts} parts of objects (<part>), such as heads, are not read as objects")
        tables.notes += dict.fromkeys(self._unreachable)
        for label in labels:
            if label.problem:
                tables.problems.append(label.problem)
            else:
                _add(tables, label, ids)
        return tables

    def strays(self, read: Sequence[Tables]) -> list[Problem]:
        """As `LabelFolder.strays`: images without a label file, and label files that are in no list."""
        labels = [label for split in self.splits for label in self._read(split)]
        problems = []
        with_labels = {label.image for label in labels}
        for folder in dict.fromkeys(part.images for part in self.parts.values()):
            for image in images_below(folder):
                if image not in with_labels:
                    what, fix = "an image without a label file", "label it, or remove it"
                    problems.append(Problem("images without labels", str(image), what, fix, "image left out"))
        used = {label.file for label in labels}
        for folder in dict.fromkeys(part.labels for part in self.parts.values()):
            place = next((part.lists[0].parent for part in self.parts.values() if part.lists), self.root)
            for file in sorted(files_ending(folder, ".xml", below=True)):
                if file not in used:
                    what, fix = f"in no list of {place}", "list it there, or remove it"
                    problems.append(Problem("labels in no split", str(file), what, fix, "image left out"))
        return problems

    def _class_names(self) -> tuple[list[str], bool]:
        """The class names, and whether a file lists them; if not, they are those of all splits' boxes, sorted."""
        if (file := self.root / _CLASSES).is_file():
            return list(dict.fromkeys(line for line in read_text(file).split("\n") if line)), True
        labels = [label for split in self.splits for label in self._read(split)]
        names = sorted({item.name for label in labels for item in label.objects if item.name})
        if not names:
            fix = next((label.problem.with_fix() for label in labels if label.problem), "label some")
            raise InputError(f"no object in any of its {len(labels)} label files", self.root, fix)
        return names, False

    def _read(self, split: str) -> list[_Label]:
        """The label files of a split, each read once."""
        if split not in self._labels:
            part = self.parts[split]
            by_stem: dict[str, list[Path]] = {}
            for image in images_below(part.images, self._unreachable):
                by_stem.setdefault(os.path.relpath(image.with_suffix(""), part.images), []).append(image)
            there = ImageNames(part.images)
            self._labels[split] = []
            files, self._respelled[split] = sorted(files_ending(part.labels, ".xml", below=True)), []
            if part.lists:
                files, self._respelled[split] = listed_labels(part.labels, part.lists)
            for file in files:
                stem = _stem(file, part.labels)
                label = _read_label(file, stem, part.images, by_stem.get(stem, []))
                if not by_stem.get(stem) and not label.problem and not os.path.isfile(label.image):
                    name = os.path.relpath(label.image, part.images)
                    label = label._replace(image=there.find(name) or there.find(f"{stem}.jpg") or label.image)
                self._labels[split].append(label)
            self._respelled[split] += there.notes()
        return self._labels[split]


def find_voc(path: Path) -> VocFolder | None:
    """The Pascal VOC data set in a folder; ``None`` if there is none."""
    if path.is_file():
        return None
    labels = inner_folder(path, _LABELS)
    if labels and _has_labels(labels, below=True):
        folders = [folder for name in _IMAGES if (folder := inner_folder(path, name))]
        usual = folders[0] if folders else labels if images_below(labels) else path
        images = best_folder([[*folders, labels], [path]], _some_stems(labels), path, image_of_stem) or usual
        lists = find_lists(path, labels)
        parts = {split: _Part(labels, images, files) for split, files in lists.items()}
        return VocFolder(path, parts or {"all": _Part(labels, images)})
    if _has_labels(path):
        return VocFolder(path, {"all": _Part(path, path)})
    beside = sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    parts = {folder.name: _Part(folder, _image_folder(folder, beside)) for folder in beside if _has_labels(folder)}
    return VocFolder(path, parts) if parts else None


def write_voc(out: Path, datasets: Mapping[str, CocoDataset], place: Placer) -> list[str]:
    """Write splits as ``Annotations``, ``JPEGImages``, ``ImageSets/Main`` and ``classes.txt``.

    Returns a line about what VOC cannot store. Boxes keep their fractions of a pixel; crowd boxes are marked
    ``difficult``. All splits share one folder, so an image whose name is taken gets another name.
    """
    names = all_classes(datasets.values())
    require_xml("VOC", names, datasets)
    taken: set[str] = set()
    renamed = 0
    for split, dataset in datasets.items():
        stems = []
        for record, name, boxes in placed(
            dataset, names, out / _IMAGES[0], place, by_stem=True, flat=True, taken=taken
        ):
            stem = os.path.splitext(name)[0]
            stems.append(stem)
            renamed += not os.path.splitext(record.file_name.replace("/", "_"))[0].endswith(stem)
            root = ElementTree.Element("annotation")
            _add_fields(root, folder=_IMAGES[0], filename=os.path.basename(name))
            size = ElementTree.SubElement(root, "size")
            _add_fields(size, width=str(record.width), height=str(record.height), depth="3")
            for box in boxes:
                item = ElementTree.SubElement(root, "object")
                _add_fields(item, name=names[box.label], difficult=str(int(box.is_crowd)))
                corners = (box.x, box.y, box.x + box.width, box.y + box.height)
                sides = dict(zip(_SIDES, map(as_text, corners), strict=True))
                _add_fields(ElementTree.SubElement(item, "bndbox"), **sides)
            ElementTree.indent(root)
            write_text(out / _LABELS / f"{stem}.xml", ElementTree.tostring(root, encoding="unicode") + "\n")
        write_text(out / _LISTS / f"{split}.txt", "".join(f"{stem}\n" for stem in stems))
    write_text(out / _CLASSES, "".join(f"{name}\n" for name in names))
    notes = [f"{renamed} images got another name: VOC keeps all splits in one folder"] if renamed else []
    return [*notes, *flattened(datasets.values())]


def _add_fields(parent: ElementTree.Element, **texts: str) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(parent, name).text = text


def _add(tables: Tables, label: _Label, ids: Mapping[str, int]) -> None:
    """Add an image and its boxes to the tables."""
    assert tables.places is not None
    image_id = len(tables.images) + 1
    height, width = label.size or (None, None)
    name = Path(os.path.relpath(label.image, tables.folder)).as_posix()
    tables.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    for number, item in enumerate(label.objects, start=1):
        where = f"{label.file} object {number}"
        if item.name is None or item.name not in ids:
            what, fix = "has no name", "name it, or remove it"
            if item.name:
                what, fix = f"class {item.name!r} is not in {_CLASSES}", "correct the name, or add it there"
            tables.problems.append(Problem("boxes of unknown classes", where, what, fix, "left out"))
            continue
        annotation = {"id": len(tables.places) + 1, "image_id": image_id, "category_id": ids[item.name]}
        tables.annotations.append(annotation | {"bbox": item.bbox, "iscrowd": int(item.is_difficult)})
        tables.places.append(where)


def _read_label(file: Path, stem: str, folder: Path, images: Sequence[Path]) -> _Label:
    """A label file. Its image is the only one of ``images``, which have the file's stem, or the one that it names."""
    image = images[0] if images else folder / f"{stem}.jpg"
    try:
        content = read_xml(file, "export it again, or take it off the list")
        if not is_voc(file):
            what = f"not Pascal VOC's: its root is <{content.tag}>"
            raise InputError(what, file, "move it away, or export it as Pascal VOC")
    except InputError as error:
        return _Label(file, image, problem=unusable_image(file, error))
    for element in content.iter():
        element.tag = element.tag.rpartition("}")[2]  # without a namespace
    if content.find("annotation") is not None and content.find("object") is None:
        problem = InputError("it has the labels of several images", file, "write one XML file for each image")
        return _Label(file, image, problem=unusable_image(file, problem))
    file_name = os.path.basename((_name(content.findtext("filename")) or "").replace("\\", "/"))
    other = None
    if file_name.strip("."):
        named = [(folder / stem).with_name(file_name), folder / file_name]
        missing = image if images or os.path.isfile(image) else named[0]
        image = next((path for path in named if path in images or (not images and os.path.isfile(path))), missing)
        if image not in named and os.path.isfile(named[0]) and not same_content(named[0], image):
            other = named[0]
        if not images and not os.path.isfile(image):
            image = next(filter(os.path.isfile, _told(content, folder, file_name)), image)
    if len(images) > 1 and os.path.basename(image) != file_name and not all(same_content(image, i) for i in images):
        what = f"its image may be {' or '.join(sorted(path.name for path in images))}"
        problem = InputError(what, file, "write the name of the right one into its <filename>")
        return _Label(file, image, problem=unusable_image(file, problem))
    height, width = (_number(content.findtext(f"size/{side}")) for side in ("height", "width"))
    size = (int(height), int(width)) if height and width and min(height, width) >= 1 else None
    is_challenge = bool(_CHALLENGE.search(content.findtext("source/database") or ""))
    objects = [
        _object(item, box, int(is_challenge))
        for item in content.findall("object")
        for box in item.findall("bndbox") or [None]  # an object may have several
    ]
    return _Label(file, image, size, objects, other=other)


def _told(content: ElementTree.Element, folder: Path, file_name: str) -> Iterator[Path]:
    """Where a label file says that its image is, which was right on the machine that wrote it."""
    if name := (_name(content.findtext("folder")) or "").strip("/"):
        yield folder.parent / name / file_name
    if place := _name(content.findtext("path")):
        yield Path(place)


def _object(item: ElementTree.Element, box: ElementTree.Element | None, first_pixel: int) -> _Object:
    """An object with one of its boxes, if any; ``first_pixel`` is the number of the image's first pixel, 0 or 1."""
    texts = [None if box is None else box.findtext(side) for side in _SIDES]
    numbers = [_number(text) for text in texts]
    bbox: list[float] | list[str | None] = texts
    has_shape = False
    if None not in numbers:
        x1, y1, x2, y2 = (float(number) for number in numbers if number is not None)
        x1, y1 = x1 - first_pixel, y1 - first_pixel
        bbox = [x1, y1, x2 - x1, y2 - y1]
    elif not any(texts) and (shape := _box_of_shape(item)):
        bbox, has_shape = [shape[0] - first_pixel, shape[1] - first_pixel, *shape[2:]], True
    is_difficult = (item.findtext("difficult") or "0").strip() == "1"
    return _Object(_name(item.findtext("name")), bbox, is_difficult, has_shape, len(item.findall("part")))


def _box_of_shape(item: ElementTree.Element) -> list[float] | None:
    """The box x y width height around an object's polygon or oriented box (``robndbox``)."""
    if (oriented := item.find("robndbox")) is not None:
        numbers = [_number(oriented.findtext(name)) for name in ("cx", "cy", "w", "h", "angle")]
        x, y, w, h, angle = (math.nan if number is None else number for number in numbers)
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        width, height = w * cos + h * sin, w * sin + h * cos
        return [x - width / 2, y - height / 2, width, height] if math.isfinite(x + y + width + height) else None
    points = [(part.tag, _number(part.text)) for polygon in item.iter("polygon") for part in polygon.iter()]
    xs, ys = ([number for tag, number in points if tag.rstrip("0123456789") == axis] for axis in "xy")
    if len(xs) < 3 or len(xs) != len(ys) or None in xs or None in ys:
        return None
    return box_of_points([x for x in xs if x is not None], [y for y in ys if y is not None])


def _name(text: str | None) -> str | None:
    """A name without line breaks around it, which formatters add; other spaces may belong to the name."""
    return text.strip() if text and "\n" in text else text


def _number(text: str | None) -> float | None:
    """A finite number; ``None`` for anything else."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _image_folder(labels: Path, beside: Sequence[Path]) -> Path:
    """The folder of the images of XML files: that of the files, or one beside it."""
    return best_folder([[labels], beside], _some_stems(labels), labels, image_of_stem) or labels


def _some_stems(folder: Path) -> list[str]:
    return [_stem(file, folder) for file in islice(files_ending(folder, ".xml", below=True), TRIED)]


def _stem(file: Path, folder: Path) -> str:
    """A file's path from a folder, without its ending."""
    return os.path.relpath(file.with_suffix(""), folder)


def _has_labels(folder: Path, *, below: bool = False) -> bool:
    """Whether an XML file in a folder, or anywhere ``below`` it, is VOC's."""
    return any(map(is_voc, files_ending(folder, ".xml", below=below)))
