"""COCO's JSON in: checked, one record an image, boxes ready for training and a ground truth ready for evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.coco_tables import (
    Annotations,
    Table,
    few,
    integers,
    read_annotations,
    read_categories,
    read_json,
    short,
)
from cornernet.data.images import image_size
from cornernet.errors import InputError

_ROBOFLOW = "_annotations.coco.json"
_OUTSIDE = 1.0  # pixels by which a box may leave its image without being reported: rounding


@dataclass(slots=True, eq=False)
class ImageRecord:
    """One image and its boxes: ``boxes`` float32 (N, 4) x1 y1 x2 y2 in pixels, inside the image.

    ``labels`` int64 (N,) into the data set's class names; ``crowd`` bool (N,) marks groups, which training ignores and
    evaluation treats as COCO does; ``annotation_ids`` int64 (N,). ``height`` and ``width`` in pixels, upright.
    """

    id: int
    file_name: str
    path: Path
    height: int
    width: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    annotation_ids: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class CocoDataset:
    """A COCO label file: ``category_ids[label]`` and ``class_names[label]`` say what a label is.

    ``problems`` has a line for every box that was left out (``skipped`` of them) or clipped to its image.
    """

    name: str
    json_path: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: list[ImageRecord]
    problems: list[str]
    skipped: int
    _truth: Annotations = field(repr=False)

    def require_boxes(self) -> None:
        """Raise ``InputError`` where no image has a box to learn from."""
        if bool(self._truth.crowd.all()):
            left_out = f" ({self.skipped} unusable ones were left out)" if self.skipped else ""
            raise InputError(f"{self.json_path}: no box to learn from{left_out}; label some, or choose another split")

    def coco_dict(self) -> dict[str, Any]:
        """Ground truth for faster-coco-eval: boxes as the file has them (not clipped), its areas and crowd flags.

        Without segmentations, and without the boxes that were left out. Where the file uses annotation id 0, which
        the evaluator takes for "unmatched", annotations are numbered anew from 1.
        """
        truth = self._truth
        ids = np.arange(1, len(truth.ids) + 1) if 0 in truth.ids else truth.ids
        columns = (ids, truth.image_ids, truth.category_ids, truth.boxes, truth.areas, truth.crowd.astype(np.int64))
        keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
        return {
            "images": [
                {"id": image.id, "file_name": image.file_name, "height": image.height, "width": image.width}
                for image in self.images
            ],
            "annotations": [
                dict(zip(keys, row, strict=True)) for row in zip(*(c.tolist() for c in columns), strict=True)
            ],
            "categories": [
                {"id": id_, "name": name} for id_, name in zip(self.category_ids, self.class_names, strict=True)
            ],
        }


def load_coco(
    annotation_file: str | os.PathLike[str],
    image_dir: str | os.PathLike[str],
    *,
    strict: bool = False,
    class_names: Sequence[str] | None = None,
    check_files: bool = False,
) -> CocoDataset:
    """The data set of a COCO JSON file, images in the file's order, categories in the order of their ids.

    Boxes without four finite numbers or an area, or entirely outside their image, are left out; those that leave it by
    more than a pixel are clipped; both are listed in ``problems``, and refused where ``strict``. ``class_names`` (of
    trained weights) must be the file's names, and then gives their order. Images that lack a size have their header
    read. ``check_files`` looks whether every image file exists. Raises ``InputError``, one line, for all else.
    """
    path, folder = Path(annotation_file), Path(image_dir)
    raw = read_json(path)
    category_ids, names = read_categories(path, raw["categories"], class_names)
    images = _read_images(path, folder, raw["images"])
    if check_files:
        _check_files(path, folder, images)
    truth, shapeless = read_annotations(path, raw["annotations"])
    del raw  # the columns have it all, in far less memory

    rows = _positions(path, "image", truth, truth.image_ids, [image.id for image in images])
    labels = _positions(path, "category", truth, truth.category_ids, category_ids)
    sizes = np.array([(image.width, image.height) * 2 for image in images], np.float64)[rows]
    corners = np.concatenate([truth.boxes[:, :2], truth.boxes[:, :2] + truth.boxes[:, 2:]], axis=1)
    clipped = np.clip(corners, 0, sizes)
    with np.errstate(invalid="ignore"):
        is_finite = np.all(np.isfinite(corners), axis=1)
        has_area = np.all(truth.boxes[:, 2:] > 0, axis=1)
        # As float32, which training uses: there a sliver may lose its width.
        is_inside = np.all(clipped[:, 2:].astype(np.float32) > clipped[:, :2].astype(np.float32), axis=1)
        is_far_out = np.any(np.abs(corners - clipped) > _OUTSIDE, axis=1)
    is_usable = is_finite & has_area & is_inside

    problems = []
    for i in np.flatnonzero(~is_usable | is_far_out):
        image = images[rows[i]]
        box = shapeless.get(int(i), truth.boxes[i].tolist())
        if not is_finite[i]:
            what = "is not four finite numbers; left out"
        elif not has_area[i]:
            what = "has no width or no height; left out"
        elif not is_inside[i]:
            what = f"lies outside its {image.height}x{image.width} image; left out"
        else:
            what = f"reaches out of its {image.height}x{image.width} image; clipped"
        problems.append(f"annotation {truth.ids[i]} of {image.file_name}: bbox {short(box)} {what}")
    if strict and problems:
        raise InputError(f"{path}: {len(problems)} bad boxes: {few(problems)}; mend them, or load without strict")

    # Each image's boxes side by side, in the file's order, so that records are views of four arrays.
    order = np.flatnonzero(is_usable)
    order = order[np.argsort(rows[order], kind="stable")]
    bounds = np.searchsorted(rows[order], np.arange(len(images) + 1))
    boxes, labels = clipped[order].astype(np.float32), labels[order]
    kept = truth.take(order)
    for image, start, end in zip(images, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        image.boxes, image.labels = boxes[start:end], labels[start:end]
        image.crowd, image.annotation_ids = kept.crowd[start:end], kept.ids[start:end]
    name = path.parent.name if path.name == _ROBOFLOW else path.stem.removeprefix("instances_")
    return CocoDataset(name, path, names, category_ids, images, problems, int((~is_usable).sum()), kept)


def find_split(data_dir: str | os.PathLike[str], split: str) -> tuple[Path, Path]:
    """(annotation file, image folder) of a split, by the layouts that data sets come in.

    COCO's: ``annotations/instances_{split}.json`` with images in ``{split}/`` or ``images/{split}/``, where ``train``
    also stands for ``train2017``. Roboflow's: ``{split}/_annotations.coco.json`` beside the images, where ``val`` also
    stands for ``valid``. Raises ``InputError`` listing what was looked for and which splits there are.
    """
    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; give the folder that holds the data set")
    looked = []
    for name in (split, f"{split}2017"):
        file = root / "annotations" / f"instances_{name}.json"
        looked.append(file)
        if file.is_file():
            folders = [root / name, root / "images" / name]
            for folder in folders:
                if folder.is_dir():
                    return file, folder
            raise InputError(f"{file}: its images are neither in {folders[0]} nor in {folders[1]}; put them there")
    for name in (split, "valid") if split == "val" else (split,):
        file = root / name / _ROBOFLOW
        looked.append(file)
        if file.is_file():
            return file, file.parent
    splits = [file.stem.removeprefix("instances_") for file in root.glob("annotations/instances_*.json")]
    splits += [file.parent.name for file in root.glob(f"*/{_ROBOFLOW}")]
    raise InputError(
        f"{root}: no split {split!r}: looked for {', '.join(str(file.relative_to(root)) for file in looked)};"
        f" splits there: {', '.join(sorted(splits)) or 'none'}"
    )


def _read_images(path: Path, folder: Path, raw: Table) -> list[ImageRecord]:
    """Records without boxes."""
    ids = integers(path, "images", "id", raw, unique=True).tolist()
    records = []
    for i, (id_, item) in enumerate(zip(ids, raw, strict=True)):
        name = item.get("file_name")
        if not isinstance(name, str) or not name:
            raise InputError(f"{path}: images[{i}].file_name must be a text, not {short(name)} (image id {id_})")
        if name.startswith("/") or (".." in name and ".." in PurePosixPath(name).parts):
            raise InputError(
                f"{path}: images[{i}].file_name {name!r} leaves the image folder; make it relative to {folder}"
            )
        height, width = item.get("height"), item.get("width")
        if height is None or width is None:
            height, width = image_size(folder / name)
        if type(height) is not int or type(width) is not int or height < 1 or width < 1:
            size = f"{short(height)} and {short(width)}"
            raise InputError(f"{path}: height and width of image {id_} ({name}) must be whole pixels, not {size}")
        empty = np.zeros(0, np.int64)
        boxes = np.zeros((0, 4), np.float32)
        records.append(ImageRecord(id_, name, folder / name, height, width, boxes, empty, empty.astype(bool), empty))
    return records


def _check_files(path: Path, folder: Path, images: list[ImageRecord]) -> None:
    """One listing a folder: a hundred thousand single questions are slow on network disks."""
    present: set[str] = set()
    for parent in {os.path.dirname(image.path) for image in images}:
        if os.path.isdir(parent):
            with os.scandir(parent) as entries:
                present.update(entry.path for entry in entries)
    missing = [image.file_name for image in images if os.fspath(image.path) not in present]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(images)} images are not in {folder}, the first {missing[0]};"
            " give the folder they are in"
        )


def _positions(
    path: Path, what: str, truth: Annotations, wanted: NDArray[np.int64], ids: Sequence[int]
) -> NDArray[np.int64]:
    """Where each wanted id stands among ``ids``."""
    known = np.array(ids, np.int64)
    order = np.argsort(known)
    positions = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
    unknown = np.flatnonzero(known[positions] != wanted)
    if len(unknown):
        first = unknown[0]
        table = "images" if what == "image" else "categories"
        raise InputError(
            f"{path}: annotation {truth.ids[first]} has {what}_id {wanted[first]}, which is not in {table!r}"
            f" ({len(unknown)} such annotations); add it there, or remove them"
        )
    return positions
