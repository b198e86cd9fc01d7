"""Reads and writes YOLO's label files, as Ultralytics and Roboflow write them.

A YAML file names the classes and, for each split, the images: a folder, a list of folders, or a text file of paths. An
image's labels are in the text file of its name, with the last ``images`` folder of the path replaced by ``labels``, or
beside the image. A line is a class and a box, ``3 0.5 0.5 0.2 0.1``: centre x, centre y, width and height, as shares of
the image's width and height; or a class and a polygon's points, whose bounding box is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cornernet.data.coco_tables import short
from cornernet.data.dataset import CocoDataset
from cornernet.data.formats import Format
from cornernet.data.names import ImageNames, Spellings
from cornernet.data.places import TRIED, MissingSplit, YamlPaths, best_folder, same_content
from cornernet.data.tables import Problem, Tables, Wanted, everything, note_of_pictures, read_text, unusable_image
from cornernet.data.writing import Placer, all_classes, as_text, flattened, lost_crowds, placed, write_text
from cornernet.data.yolo_lines import (
    LabelLine,
    box_in_pixels,
    box_of_centre,
    count_keypoint_numbers,
    has_points_in_box,
    how_to_mend,
    label_lines,
    looks_like_labels,
    may_have_keypoints,
    parse_label,
)
from cornernet.errors import InputError
from cornernet.media.images import check_end, read_header
from cornernet.media.walk import PassedOver, files_ending, find_images

_YAML = (".yaml", ".yml")
_NO_SPLITS = ("path", "names", "nc", "download")
_KNOWN = "a class and a box (5 numbers) or a polygon (7, 9, ...)"
_TOLD = {
    "scored": "the sixth number of {} label lines is read as a confidence, which is not used",
    "outline": "{} label lines are 4-point outlines, such as turned boxes: the upright box around each is read",
    "polygon": "{} label lines are polygons: the box around each is read",
    "keypoints": "{} label lines are boxes with keypoints: the box is read",
}
_DIGITS = 12  # decimals of a part of the image's side


class YoloFolder:
    """A data set described by a YAML file, or by ``content`` as such a file has it, about the file or folder ``path``.

    Raises ``InputError`` if it cannot be used.
    """

    format: Format = "yolo"

    def __init__(self, path: Path, content: Mapping[Any, Any] | None = None, notes: Sequence[str] = ()) -> None:
        self.path, self.root, self.notes = path, path if path.is_dir() else path.parent, notes
        self.title = f"YOLO ({path.name})"
        content = _read_yaml(path) if content is None else content
        self.names = _class_names(path, content.get("names"))
        count = content.get("nc")
        if type(count) is int and count != len(self.names):
            self.notes = [*notes, f"nc says {count} classes, and names has {len(self.names)}, which are read"]
        self.keypoint_numbers = count_keypoint_numbers(content.get("kpt_shape"))
        candidates = _path_entries(content)
        self.paths = YamlPaths(path, content.get("path"), [e for entries in candidates.values() for e in entries])
        self.entries: dict[str, list[str]] = {}
        for key, entries in candidates.items():
            is_usual = key in ("train", "val", "test")
            if is_usual or all((place := self.paths.find(e)) and _lists_images(place) for e in entries):
                self.entries[key] = entries
        self._spellings, self._other_labels = Spellings(), dict[Path, Path]()  # labels by image, if spelled otherwise
        self._respelled: list[str] = []  # what is said of names in lists that are spelled otherwise
        self.splits = tuple(self.entries)
        if not self.splits:
            raise InputError("names no images", path, "add 'train:' and 'val:' with their folders")

    def read(self, split: str, wanted: Wanted = everything) -> Tables:
        """A split's tables, as `LabelFolder.read`."""
        passed = PassedOver()
        paths = self._images(split, passed)
        folder = Path(os.path.commonpath([os.path.dirname(path) for path in paths]))
        categories = [{"id": id_, "name": name} for id_, name in self.names.items()]
        tables = Tables(split, "YOLO", self.path, folder, [], [], categories, places=[], knows_headers=True)
        tables.category_entry = "names[{}]"
        tables.layout, tables.unit = "centre", "shares of the image"
        remarks = _Remarks()
        for path in paths:
            if wanted(path.name):
                self._read_image(tables, path, remarks)
        remarks.settle_keypoints()
        if others := [path for path in paths if path in self._other_labels]:
            what = f"{len(others)} label files are spelled otherwise than their images, such as"
            tables.notes.append(f"{what} {self._other_labels[others[0]]}")
        told = [self.paths.notes[entry] for entry in self.entries[split] if entry in self.paths.notes]
        tables.notes += [*self.notes, *told, *self._respelled, *passed.unreachable, *remarks.notes()]
        return tables

    def strays(self, read: Sequence[Tables]) -> list[Problem]:
        """As `LabelFolder.strays`: images without a label file, and label files without an image."""
        problems, expected, folders = [], set(), set()
        for tables in read:
            listed = [Path(problem.where) for problem in tables.problems if problem.outcome == "image left out"]
            for image in [*(tables.folder / item["file_name"] for item in tables.images), *listed]:
                label = self._other_labels.get(image) or label_file(image)
                expected.add(label)
                folders.add(label.parent)
                if not os.path.isfile(label):
                    what, fix = f"has no label file {label}", "label it, or add an empty file if nothing is on it"
                    problems.append(Problem("images without labels", str(image), what, fix, "fixed"))
        for label in sorted({path for folder in folders for path in files_ending(folder, ".txt")} - expected):
            if looks_like_labels(label):
                what, fix = "labels of an image that is not there", "add the image, or remove the file"
                problems.append(Problem("labels without images", str(label), what, fix, "left out"))
        return problems

    def _images(self, split: str, passed: PassedOver) -> list[Path]:
        """The images of a split, each once; they may not exist. ``passed`` gets what their folders hold besides."""
        self._respelled = []
        paths: dict[str, None] = {}
        for entry in self.entries[split]:
            place = self.paths.find(entry)
            if place is None:
                raise self.paths.missing(split, entry)
            if not _lists_images(place):
                raise InputError(f"{split}: {place} is neither a folder nor a .txt file", self.path, "name one of them")
            try:
                images = find_images([place], passed=passed) if place.is_dir() else self._listed(place)
            except InputError as error:
                raise MissingSplit(error.what, error.where, error.fix) from error
            listed = [os.path.abspath(image) for image in images]
            if not place.is_dir() and (again := len(listed) - len(set(listed))):
                self._respelled.append(f"{again} lines of {place} repeat an image: each image is read once")
            paths.update(dict.fromkeys(listed))
        if not paths:
            raise MissingSplit(f"{split}: no image in {', '.join(self.entries[split])}", self.path, "add some")
        return [Path(path) for path in paths]

    def _listed(self, file: Path) -> Iterator[Path]:
        """The images of a text file, one on each line, relative to the file or to the data set."""
        names = [name.replace("\\", "/") for _, name in label_lines(file)]
        folders = list(dict.fromkeys([file.parent, *self.paths.bases]))
        # The list may have been moved with its images: data/x.jpg is then x.jpg.
        shorter = ([n.split("/", drop)[-1] for n in names] for drop in range(max(n.count("/") for n in names) + 1))
        for tried in shorter if names else ():
            if best := best_folder([folders], tried[:TRIED], file):
                names = tried
                break
        else:
            best = file.parent
        there = [ImageNames(folder) for folder in dict.fromkeys((best, *folders))]
        for name in names:
            direct = next((base / name for base in (best, *folders) if os.path.isfile(base / name)), None)
            yield direct or next(filter(None, (each.find(name) for each in there)), best / name)
        self._respelled += dict.fromkeys(note for each in there for note in each.notes())

    def _read_image(self, tables: Tables, path: Path, remarks: _Remarks) -> None:
        """Add an image and its boxes to the tables; if they cannot be used, add a problem instead."""
        there = [place for place in _label_places(path) if os.path.isfile(place)]
        if not there and (other := next(filter(None, map(self._spellings.find, _label_places(path))), None)):
            there, self._other_labels[path] = [other], other
        label = there[0] if there else _label_places(path)[0]
        try:
            (height, width), orientation, pictures = read_header(path)
            check_end(path)
            lines = label_lines(label) if there else []
            remarks.check_labels(path, there)
        except InputError as error:
            tables.problems.append(unusable_image(path, error))
            return
        image_id = len(tables.images) + 1
        if pictures > 1:
            remarks.several.append(path)
        if orientation > 1:
            tables.rotated.add(image_id)
        name = path.relative_to(tables.folder).as_posix()
        tables.images.append({"id": image_id, "file_name": name, "height": height, "width": width})
        assert tables.places is not None
        for number, line in lines:
            where, fields = f"{label} line {number}", line.split()
            line_of = parse_label(fields, self.keypoint_numbers)
            if isinstance(line_of, str):
                what = f"{short(line)} is not {_KNOWN}{line_of}"
                tables.problems.append(Problem("bad label lines", where, what, how_to_mend(line), "left out"))
            elif line_of.class_id not in self.names:
                if line_of.class_id is not None:
                    tables.unknown_classes.add(line_of.class_id)
                what = f"class {fields[0]} is not among the names of {self.path.name}"
                fix = "add it there, or correct the line"
                if line_of.class_id is None or line_of.class_id < 0:
                    what, fix = f"{fields[0]} is no number of a class", "begin the line with a whole number from 0 on"
                tables.problems.append(Problem("boxes of unknown classes", where, what, fix, "left out"))
            else:
                ids = {"id": len(tables.places) + 1, "image_id": image_id, "category_id": line_of.class_id}
                annotation = ids | {"bbox": box_in_pixels(line_of.box, width, height)}
                tables.annotations.append(annotation)
                tables.places.append(where)
                remarks.kinds[line_of.kind] += 1
                remarks.keep_doubtful(annotation, line_of, width, height)
                if line_of.kind in ("outline", "polygon"):
                    remarks.outside_first += not has_points_in_box(line_of.numbers)


@dataclass
class _Remarks:
    """What is to be said about a split: ``doubts`` about label files, how many lines are of which kind, and the files
    that hold ``several`` pictures.

    ``doubtful`` has the annotations of lines that look like outlines and may be a box with keypoints, which only all
    lines together tell; ``None`` if they are outlines.
    """

    doubts: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    doubtful: list[tuple[dict[str, Any], list[float], tuple[int, int]]] | None = field(default_factory=list)
    several: list[Path] = field(default_factory=list)
    outside_first: int = 0  # outlines and polygons that cannot be a box with keypoints in it
    images: dict[Path, Path] = field(default_factory=dict)  # the first image of each label file

    def check_labels(self, image: Path, labels: Sequence[Path]) -> None:
        """Doubt an image's label files if there are two, or if another image has the same one."""
        if labels[1:] and not same_content(*labels):
            what = f"{image} has two label files, {labels[0]} and {labels[1]}, which differ: the first is read"
            self.doubts.append(what)
        for label in labels[:1]:
            other = self.images.setdefault(label, image)
            if other != image and label.stat().st_size and not same_content(other, image):
                self.doubts.append(f"{other} and {image} share the label file {label}: its boxes are given to both")

    def notes(self) -> Iterator[str]:
        if self.doubts:
            yield self.doubts[0] + (f", and {len(self.doubts) - 1} more like it" if self.doubts[1:] else "")
        yield from (f"{_TOLD[kind].format(count)}" for kind, count in self.kinds.items() if kind in _TOLD)
        if (self.kinds["outline"] or self.kinds["polygon"]) and not self.outside_first:
            yield "all outlines may also be boxes with keypoints in them: if so, write kpt_shape into the YAML file"
        yield from note_of_pictures(self.several)

    def keep_doubtful(self, annotation: dict[str, Any], line: LabelLine, width: int, height: int) -> None:
        """Keep a line that may be a box with keypoints, as long as all lines with as many numbers may be."""
        if line.kind not in ("outline", "polygon") or self.doubtful is None:
            return
        others = self.doubtful[:1]
        if not may_have_keypoints(line.numbers) or any(len(line.numbers) != len(numbers) for _, numbers, _ in others):
            self.doubtful = None
        else:
            self.doubtful.append((annotation, line.numbers, (width, height)))

    def settle_keypoints(self) -> None:
        """Read the box of each line that is doubtful still: every long line of the split is a box with keypoints."""
        for annotation, numbers, (width, height) in self.doubtful or ():
            annotation["bbox"] = box_in_pixels(box_of_centre(numbers), width, height)
        if self.doubtful:
            self.kinds["keypoints"] += self.kinds.pop("polygon")


def label_file(image: Path) -> Path:
    """The label file of an image: its path with ``labels`` for the last ``images`` folder, or beside the image if the
    path has no ``images`` or the file is only there."""
    places = _label_places(image)
    return next((place for place in places if os.path.isfile(place)), places[0])


def _label_places(image: Path) -> list[Path]:
    """Where an image's label file may be, the usual place first."""
    folders = image.parent.parts
    beside = image.with_suffix(".txt")
    if "images" not in folders:
        return [beside]
    last = len(folders) - 1 - folders[::-1].index("images")
    return [Path(*folders[:last], "labels", *folders[last + 1 :], beside.name), beside]


def find_yolo(path: Path) -> YoloFolder | None:
    """The YOLO data set of a folder's YAML file, or of that file; ``None`` if there is none.

    Raises ``InputError`` if there are several such files, or if ``data.yaml`` cannot be used.
    """
    if path.is_file():
        return YoloFolder(path) if path.suffix.lower() in _YAML else None
    files = sorted(files_ending(path, *_YAML))
    usual = next((file for file in files if file.name.lower() == "data.yaml"), None)
    found = [file for file in files if file != usual and _is_yolo(file)]
    if usual:
        found = [usual, *(file for file in found if not same_content(file, usual))]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(f"several YOLO data sets ({names})", path, "name one of these files instead of the folder")
    return YoloFolder(found[0]) if found else None


def write_yolo(out: Path, datasets: Mapping[str, CocoDataset], place: Placer) -> list[str]:
    """Write splits as ``data.yaml``, ``images/{split}/`` and ``labels/{split}/``.

    Returns a line about what YOLO cannot store. Every image gets a label file, an empty one if it has no box. Numbers
    have 12 decimals, so that the boxes that readers get differ by less than a thousandth of a pixel.
    """
    names = all_classes(datasets.values())
    crowds = 0
    for split, dataset in datasets.items():
        images = out / "images" / split
        for record, name, boxes in placed(dataset, names, images, place, by_stem=True, flat=True):
            lines = []
            for box in boxes:
                centre = (box.x + box.width / 2) / record.width, (box.y + box.height / 2) / record.height
                numbers = *centre, box.width / record.width, box.height / record.height
                lines.append(" ".join([str(box.label), *(as_text(value, _DIGITS) for value in numbers)]) + "\n")
                crowds += box.is_crowd
            write_text(label_file(images / name), "".join(lines))
    write_text(out / "data.yaml", data_yaml({split: f"images/{split}" for split in datasets}, names))
    return [*lost_crowds(crowds, "YOLO"), *flattened(datasets.values())]


def data_yaml(splits: Mapping[str, str], class_names: Sequence[str]) -> str:
    """The YAML file of a data set: the image folder of each split, relative to the file, and the class names.

    Without ``path``: Ultralytics looks for a relative one elsewhere. All names are quoted, because programs differ in
    which words they take for numbers and truth values.
    """
    text = yaml.safe_dump(dict(splits), allow_unicode=True, sort_keys=False)
    text += f"nc: {len(class_names)}\nnames:\n"
    for i, name in enumerate(class_names):
        quoted = yaml.safe_dump(name, default_style='"', allow_unicode=True, width=float("inf"))
        text += f"  {i}: {quoted}"
    return text


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        text = read_text(path)
        content = yaml.safe_load(text)
        if isinstance(content, dict) and "names" in content:  # as they are written: no, 0123 and 1e3 are names too
            content["names"] = yaml.load(text, yaml.BaseLoader).get("names")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not YAML: {' '.join(str(error).split())}", path, "correct it or export it again") from error
    if not isinstance(content, dict):
        raise InputError("not a YOLO data set: it must have the keys names, train and val", path, "export it again")
    return content


def _class_names(path: Path, names: Any) -> dict[int, str]:
    """Class names by id, from a list or a dictionary of texts."""
    pairs = {str(i): name for i, name in enumerate(names)} if isinstance(names, list) else names
    if names is None:
        raise InputError("'names' is missing", path, "list the classes there: names: [first, second]")
    if not isinstance(pairs, dict) or not pairs:
        what = f"'names' must be a list or a dictionary of class names, not {names!r}"
        raise InputError(what, path, "write them as names: [first, second]")
    for key, name in pairs.items():
        if not (key.isascii() and key.isdecimal()):
            raise InputError(f"names has the key {key!r}", path, "number the classes from 0 on")
        if not isinstance(name, str) or not name:
            raise InputError(f"names[{key}] is {name!r}, which is no text in YAML", path, "put it in quotes")
    return {int(key): pairs[key] for key in sorted(pairs, key=int)}


def _path_entries(content: Mapping[Any, Any]) -> dict[str, list[str]]:
    """The entries of a YAML file that may be paths of images, by key."""
    lists = {str(key): value if isinstance(value, list) else [value] for key, value in content.items() if value}
    return {k: v for k, v in lists.items() if k not in _NO_SPLITS and all(isinstance(entry, str) for entry in v)}


def _is_yolo(file: Path) -> bool:
    """Whether a YAML file describes a data set."""
    try:
        content = _read_yaml(file)
    except InputError:
        return False
    return "names" in content and not content.keys().isdisjoint(("train", "val", "test"))


def _lists_images(place: Path) -> bool:
    return place.is_dir() or place.suffix.lower() == ".txt"
