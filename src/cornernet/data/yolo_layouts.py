"""Finds YOLO's label files where no YAML file describes them, as darknet, labelImg, CVAT and Label Studio leave them.

Each layout becomes what a ``data.yaml`` would say: the class names, and a folder or a list of images for each split.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from cornernet.data.coco_tables import short
from cornernet.data.places import SPLIT_NAMES, image_of_stem
from cornernet.data.sniff import load_json
from cornernet.data.tables import images_below
from cornernet.data.yolo import YoloFolder
from cornernet.data.yolo_lines import NAME_FILES, label_lines, looks_like_labels, parse_label
from cornernet.errors import InputError
from cornernet.media.walk import IMAGE_SUFFIXES, files_ending

_LOOKED_AT = 200  # text files, until one is found that has a box
_NO_IMAGES = "put each image beside its label file, or the images into images/ and the label files into labels/"
_UNNAMED = "no class names there (classes.txt, obj.names): the classes are named by their numbers"


def find_yolo_layout(root: Path) -> YoloFolder | None:
    """The YOLO data set of a folder without a YAML file, or of darknet's ``.data`` file; ``None`` if there is none.

    Raises ``InputError`` if there are labels without images, or if lists of class names contradict each other.
    """
    if root.is_file():
        return _darknet(root) if root.suffix.lower() == ".data" else None
    if data := min(files_ending(root, ".data"), default=None):
        return _darknet(data)
    if lists := _lists(root):
        return _folder(root, lists, [])
    for name in ("images", "."):
        if (root / name).is_dir() and (found := _splits(root, name)):
            return _folder(root, *found)
    if _has_boxes(root / "labels"):
        raise _no_images(root)
    for labels, images in ((root, root), (root / "labels", root / "images")):
        for file in islice(sorted(files_ending(labels, ".txt")), _LOOKED_AT):
            lines = label_lines(file) if image_of_stem(images, file.stem) else []
            if lines and len(lines[0][1].replace(",", " ").split()) >= 5:
                fix = "write class number, centre x and y, width and height, as shares of the image with spaces between"
                raise InputError(f"{short(lines[0][1])} is no line of YOLO", f"{file} line {lines[0][0]}", fix)
    return None


def _no_images(root: Path) -> InputError:
    if images := images_below(root):
        return InputError(f"no label file of YOLO belongs to an image, such as {images[0]}", root, _NO_IMAGES)
    return InputError("YOLO's label files without images", root, _NO_IMAGES)


def _darknet(file: Path) -> YoloFolder | None:
    """The data set of a file with ``classes =``, ``train =``, ``valid =`` and ``names =``."""
    lines = [line.partition("=") for _, line in label_lines(file) if not line.startswith("#")]
    content = {key.strip(): value.strip() for key, _, value in lines}
    keys = [key for key in ("train", "valid", "val", "test") if content.get(key)]
    places = {key: _nearest(file.parent, content[key]) for key in keys}
    entries = {key: place for key, place in places.items() if (file.parent / place).exists()}
    notes = [f"the list of {key}, {place}, is not there" for key, place in places.items() if key not in entries]
    if not entries:
        if not keys:
            return None
        raise InputError(f"its lists of images are not there: {', '.join(places.values())}", file, "correct the paths")
    stated = file.parent / _nearest(file.parent, content.get("names", "obj.names"))
    if stated.is_file():
        return YoloFolder(file, entries | {"names": _numbered(_read_names(stated))}, notes)
    return _folder(file.parent, entries, notes)


def _nearest(root: Path, entry: str) -> str:
    """The longest end of a path that is there: ``data/train.txt`` is written for a file beside."""
    parts = Path(entry.replace("\\", "/")).parts
    ends = (os.path.join(*parts[i:]) for i in range(len(parts)))
    return next((end for end in ends if (root / end).exists()), entry)


def _lists(root: Path) -> dict[str, str]:
    """Text files of image paths, by split."""
    files = [file for file in files_ending(root, ".txt") if file.stem.lower() in SPLIT_NAMES]
    files.sort(key=lambda file: SPLIT_NAMES.index(file.stem.lower()))
    return {file.stem: file.name for file in files if _is_list(file)}


def _is_list(file: Path) -> bool:
    """Whether the first line of a text file is the path of an image."""
    with suppress(InputError):
        return any(Path(line).suffix.lower() in IMAGE_SUFFIXES for _, line in label_lines(file)[:1])
    return False


def _splits(root: Path, name: str) -> tuple[dict[str, str], list[str]] | None:
    """The image folders below ``name`` by split, and remarks; ``None`` if none has labels.

    That is each folder with a split's name, or its ``images``; else the whole.
    """
    base = root / name
    folders = [path for path in sorted(base.iterdir()) if path.is_dir() and path.name.lower() in SPLIT_NAMES]
    inner = {path.name: path / "images" if (path / "images").is_dir() else path for path in folders}
    inner = {split: os.path.relpath(path, root) for split, path in inner.items() if images_below(path)}
    labels = root / "labels" if name == "images" else root
    if inner:
        if not any(_has_boxes(folder) for folder in (base, labels)):
            return None
        rest = [image for image in images_below(base) if image.relative_to(base).parts[0] not in inner]
        what = f"{len(rest)} images in {base} are in no folder of a split, and left out"
        return inner, [f"{what}; the first is {rest[0]}"] if rest else []
    # The subfolders of other folders may be data sets of their own.
    if not (_has_boxes(labels) or _has_boxes(base) if name == "images" else _has_boxes(base, below=False)):
        return None
    if not images_below(base):
        raise _no_images(root)
    return {"all": name}, []


def _has_boxes(folder: Path, *, below: bool = True) -> bool:
    """Whether a text file in a folder begins with a line of YOLO."""
    for file in islice(_label_files(folder, below=below), _LOOKED_AT):
        with suppress(InputError):
            lines = label_lines(file)
            if lines and not isinstance(parse_label(lines[0][1].split()), str):
                return True
    return False


def _label_files(folder: Path, *, below: bool = True) -> Iterator[Path]:
    return filter(looks_like_labels, files_ending(folder, ".txt", below=below))


def _folder(root: Path, entries: Mapping[str, str], notes: list[str]) -> YoloFolder:
    """The data set of image folders or lists, with the class names that are found beside them."""
    folders = [root, root / "labels", root / "images", root / "data"]
    for entry in entries.values():
        place = root / entry
        folders += [place, place.parent, place.parent / "labels", root / "labels" / place.name]
    found = {file: _read_names(file) for file in _name_files(folders)}
    if not found:
        ids = sorted(_class_ids(root))
        content: dict[Any, Any] = {**entries, "names": {str(id_): str(id_) for id_ in ids} or {"0": "0"}}
        return YoloFolder(root, content, [*notes, _UNNAMED])
    longest = max(found, key=lambda file: len(found[file]))
    for file, names in found.items():
        if found[longest][: len(names)] != names:
            fix = "make them one: the numbers in the labels mean the lines of one list"
            raise InputError(f"its class names differ from those of {longest}", file, fix)
    return YoloFolder(_shown(root, longest), {**entries, "names": _numbered(found[longest])}, notes)


def _shown(root: Path, names: Path) -> Path:
    """The file that names the data set: that of the class names if it is in the folder itself."""
    return names if names.parent == root else root


def _name_files(folders: Iterable[Path]) -> list[Path]:
    names = (*NAME_FILES, "notes.json")
    usable: list[Path] = []
    for folder in dict.fromkeys(folders):
        found = sorted(files_ending(folder, *names, ".names"))
        usable += sorted(found, key=lambda file: names.index(n) if (n := file.name.lower()) in names else len(names))
    text = [file for file in dict.fromkeys(usable) if file.suffix.lower() != ".json"]
    return text or [file for file in dict.fromkeys(usable) if _read_names(file)]


def _read_names(file: Path) -> list[str]:
    """The class names in a file, one a line, or of Label Studio's ``notes.json``."""
    if file.suffix.lower() == ".json":
        content = load_json(file)
        categories = content.get("categories") if isinstance(content, dict) else None
        return [str(entry.get("name")) for entry in categories] if isinstance(categories, list) else []
    lines = dict(label_lines(file))
    if gap := next((number for number in range(1, max(lines, default=0)) if number not in lines), None):
        raise InputError(f"line {gap} is empty, and each line is the name of a class", file, "name it or remove it")
    return list(lines.values())


def _numbered(names: list[str]) -> dict[str, str]:
    return {str(id_): name for id_, name in enumerate(names)}


def _class_ids(root: Path) -> set[int]:
    """The class numbers in all label files of a folder."""
    ids: set[int] = set()
    for file in _label_files(root):
        with suppress(InputError):
            lines = (parse_label(line.split()) for _, line in label_lines(file))
            ids |= {line.class_id for line in lines if not isinstance(line, str) and line.class_id is not None}
    return ids
