"""Reads and writes COCO's JSON files, in their usual folder layouts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from cornernet.data.build import build_dataset
from cornernet.data.coco_spelling import settle_spelling
from cornernet.data.coco_tables import boxes_of_outlines, read_json
from cornernet.data.dataset import CocoDataset
from cornernet.data.formats import Format
from cornernet.data.names import ImageNames
from cornernet.data.places import SPLIT_NAMES, TRIED, MissingSplit, best_folder, same_content
from cornernet.data.sniff import foreign_format, is_label_studio, is_labelme, looks_like_labelme
from cornernet.data.tables import Problem, Tables, Wanted, everything, images_below
from cornernet.data.writing import Placer, all_classes, placed, write_text
from cornernet.errors import InputError
from cornernet.media.walk import files_ending, inner_folder

_ROBOFLOW, _OFFICIAL = "_annotations.coco.json", "instances_"
_LABEL_FOLDERS = ("annotations", "annotation", "labels")


def load_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
    check_files: bool = False,
) -> CocoDataset:
    """The data set of a COCO JSON file; options, order and errors as in `build_dataset`.

    The header of an image is read if the file gives no size for it.
    """
    tables = read_coco(Path(annotation_file), Path(image_dir))
    return build_dataset(tables, strict=strict, class_names=class_names, check_files=check_files)


def read_coco(path: Path, folder: Path | None, wanted: Wanted = everything) -> Tables:
    """A COCO JSON file's tables, without the images that are not ``wanted`` and their annotations.

    If no image ``folder`` is given, the one with most of all images, wanted or not, is found beside the file.
    """
    raw = read_json(path)
    is_numbered = any(type(item.get("id")) is str for table in ("images", "categories") for item in raw[table])
    notes = settle_spelling(raw)
    images, annotations = raw["images"], raw["annotations"]
    if folder is None:
        folder = _folder_of(path, [str(item.get("file_name")) for item in images[:TRIED]])
    if wanted is not everything:
        unwanted = {str(item.get("id")) for item in images if not wanted(str(item.get("file_name")))}
        images = [item for item in images if str(item.get("id")) not in unwanted]
        annotations = [item for item in annotations if str(item.get("image_id")) not in unwanted]
    title = "COCO as Roboflow exports it" if path.name == _ROBOFLOW else "COCO"
    notes += boxes_of_outlines(annotations)
    tables = Tables(_split_of(path), title, path, folder, images, annotations, raw["categories"], notes=notes)
    tables.is_numbered = is_numbered
    return tables


def find_split(data_dir: str | os.PathLike[str], split: str) -> tuple[Path, Path]:
    """(annotation file, image folder) of a split, in the usual layouts.

    COCO's: ``annotations/instances_{split}.json`` with images in ``{split}/``, ``images/{split}/`` or ``images/``,
    where ``train`` also stands for ``train2017``. Roboflow's: ``{split}/_annotations.coco.json`` beside the images,
    where ``val`` also stands for ``valid``. Raises ``InputError`` with the files it searched and the splits it found.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError("no such folder", root, "give the folder that holds the data set")
    candidates = [root / "annotations" / f"instances_{name}.json" for name in (split, f"{split}2017")]
    candidates += [root / name / _ROBOFLOW for name in ((split, "valid") if split == "val" else (split,))]
    file = next((file for file in candidates if file.is_file()), None)
    if file is None:
        looked_for = ", ".join(str(file.relative_to(root)) for file in candidates)
        there = ", ".join(sorted(_files_by_split(root))) or "none"
        raise InputError(f"no split {split!r}: looked for {looked_for}; splits there: {there}", root)
    name = _split_of(file)
    folders = [file.parent] if file.name == _ROBOFLOW else [root / name, root / "images" / name, root / "images"]
    if all(folder.is_dir() for folder in folders[:2]) and folders[1:]:
        return file, _folder_of(file, [str(item.get("file_name")) for item in read_json(file)["images"][:TRIED]])
    for folder in folders:
        if folder.is_dir():
            return file, folder
    raise InputError(f"its images are neither in {folders[0]} nor in {folders[1]}", file, "put them there")


class CocoFolder:
    """A data set of COCO JSON files, ``files`` by split: in the layouts of `find_split`, or beside image folders.

    ``root`` is their folder, or the one file that the user named.
    """

    format: Format = "coco"

    def __init__(self, root: Path, files: Mapping[str, Path]) -> None:
        self.root, self.files = root, files
        self.splits = tuple(files)
        first = next(iter(files.values()))
        self.title = f"COCO ({first.name if first == root else os.path.relpath(first, root)})"

    def read(self, split: str, wanted: Wanted = everything) -> Tables:
        """A split's tables, as `LabelFolder.read`."""
        file = self.files[split]
        tables = read_coco(file, file.parent if file.name == _ROBOFLOW else None, wanted)
        tables.name = split
        return tables

    def strays(self, read: Sequence[Tables]) -> list[Problem]:
        """As `LabelFolder.strays`: images in the splits' folders that no label file lists.

        Empty if the user named a single file, because other splits may share its folder.
        """
        if self.root in self.files.values():
            return []

        @cache
        def real(folder: str) -> str:  # links give folders several names
            return os.path.realpath(folder)

        def key(path: str) -> str:  # texts: a Path of each of many thousand files takes seconds
            folder, name = os.path.split(path)
            return os.path.join(real(folder), name)

        listed = {key(os.path.join(t.folder, str(item.get("file_name")))) for t in read for item in t.images}
        found = {key(str(path)): path for t in read for path in images_below(t.folder)}
        what, fix = "an image that no label file lists", "label it, or remove it"
        return [
            Problem("images without labels", str(path), what, fix, "image left out")
            for place, path in sorted(found.items())
            if place not in listed
        ]


def find_coco(path: Path) -> CocoFolder | None:
    """The COCO data set in a folder or of a JSON file; ``None`` if there is none."""
    if path.is_file():
        is_coco = path.suffix.lower() == ".json" and (_is_coco(path) or not _is_of_another_tool(path))
        return CocoFolder(path, {_split_of(path): path}) if is_coco else None
    files = _files_by_split(path) or _files_elsewhere(path)
    return CocoFolder(path, files) if files else None


def write_coco(out: Path, datasets: Mapping[str, CocoDataset], place: Placer) -> list[str]:
    """Write splits in COCO's official layout; returns no lines, because the format can store everything.

    ``annotations/instances_{split}.json`` with images in ``{split}/``; ids, areas and crowd flags are kept.
    """
    names = all_classes(datasets.values())
    first, *others = datasets.values()
    ids = list(first.category_ids)
    if 0 in ids or any((d.category_ids, d.class_names) != (first.category_ids, first.class_names) for d in others):
        ids = list(range(1, len(names) + 1))  # from 1 by convention, and the same in every split
    categories = [{"id": id_, "name": name} for id_, name in zip(ids, names, strict=True)]
    for split, dataset in datasets.items():
        images, annotations = [], []
        for record, name, boxes in placed(dataset, names, out / split, place):
            images.append({"id": record.id, "file_name": name, "width": record.width, "height": record.height})
            for box in boxes:
                annotation = {"id": box.id, "image_id": record.id, "category_id": ids[box.label]}
                annotation |= {"bbox": [box.x, box.y, box.width, box.height]}
                annotations.append(annotation | {"area": box.area, "iscrowd": int(box.is_crowd)})
        content = {"images": images, "annotations": annotations, "categories": categories}
        write_text(out / "annotations" / f"instances_{split}.json", json.dumps(content, ensure_ascii=False))
    return []


def _files_by_split(root: Path) -> dict[str, Path]:
    """The label files by split, in the layouts of `find_split`."""
    annotations = inner_folder(root, "annotations")
    official = sorted(files_ending(annotations, ".json")) if annotations else []
    files = [*sorted(root.glob(f"*/{_ROBOFLOW}")), *(file for file in official if file.name.startswith(_OFFICIAL))]
    return _by_name(root, {file: _split_of(file) for file in files if file.is_file()})


def _files_elsewhere(root: Path) -> dict[str, Path]:
    """COCO's files by split in the folder itself, in one for labels, or in the folder of each split."""
    inner = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    for folder in (root, *(folder for folder in inner if folder.name.lower() in _LABEL_FOLDERS)):
        if files := [file for file in sorted(files_ending(folder, ".json")) if _is_coco(file)]:
            return _by_name(root, {file: _split_of(file) for file in files})
    parts = [folder for folder in inner if folder.name.lower() in SPLIT_NAMES]
    return _by_name(root, {f: folder.name for folder in parts for f in files_ending(folder, ".json") if _is_coco(f)})


def _by_name(root: Path, files: Mapping[Path, str]) -> dict[str, Path]:
    """The files by their splits. Raises ``InputError`` if two of one split differ."""
    found: dict[str, Path] = {}
    for file, split in files.items():
        other = found.setdefault(split, file)
        if other != file and not same_content(other, file):
            what = f"two label files for {split}, {os.path.relpath(other, root)} and "
            what += f"{os.path.relpath(file, root)}, which differ"
            raise InputError(what, root, "move the one away that is not meant")
    return found


def _split_of(file: Path) -> str:
    return file.absolute().parent.name if file.name == _ROBOFLOW else file.stem.removeprefix(_OFFICIAL)


def _is_of_another_tool(file: Path) -> bool:
    return is_labelme(file) or is_label_studio(file) or foreign_format(file) is not None


def _is_coco(file: Path) -> bool:
    """Whether a JSON file looks like COCO's; `read_json` parses it."""
    if looks_like_labelme(file):  # may be one of many, each with an image inside
        return False
    try:
        content = file.read_bytes()
    except OSError:
        return False
    has_keys = all(key in content for key in (b'"images"', b'"annotations"', b'"categories"'))
    return has_keys and content[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _folder_of(file: Path, names: Sequence[str]) -> Path:
    """The folder with most of a label file's images: one named after its split, ``images``, or any beside it."""
    root, split = file.parent, _split_of(file)
    if root.name.lower() in _LABEL_FOLDERS:
        root = root.parent
    beside = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    ranks = [[root / split, root / "images" / split], [root / "images", root], beside]
    if root.name.lower() in SPLIT_NAMES:
        ranks.append([root.parent / "images" / root.name])
    folder = best_folder(ranks, names, file)
    if folder is None:
        below: dict[Path, ImageNames] = {}
        folder = best_folder(
            ranks, names, file, lambda place, name: below.setdefault(place, ImageNames(place)).find(name)
        )
    if folder is None:
        what, fix = f"its images, such as {names[0]}, are in no folder beside it", "put them into images/"
        if others := images_below(root):
            what += f"; {len(others)} images of other names are, such as {others[0]}"
            fix = "correct the names in 'file_name', or add the images"
        raise MissingSplit(what, file, fix)
    return folder
