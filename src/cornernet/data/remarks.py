"""What commands say about splits that can be read: boxes that stand twice, classes that are none or not learnt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cornernet.data.coco_tables import few
from cornernet.data.dataset import CocoDataset
from cornernet.data.tables import Tables

_NO_CLASS = (
    "none",
    "null",
    "nan",
    "n/a",
    "undefined",
    "unlabeled",
    "background",
    "bg",
    "nothing",
    "no class",
    "ignore",
)
_DIGITS = 2  # decimals of a pixel: boxes that agree in them are the same


def split_remarks(dataset: CocoDataset, tables: Tables) -> Iterator[str]:
    """Lines about a split without boxes, or with boxes that stand twice."""
    if not any((~image.crowd).any() for image in dataset.images):
        yield "no box in it, so no figure can be measured"
    rows = _repeated(dataset)
    if len(rows):
        ids = np.concatenate([image.annotation_ids for image in dataset.images])
        ends = np.cumsum([len(image.boxes) for image in dataset.images])
        image = dataset.images[int(np.searchsorted(ends, rows[0], side="right"))]
        where = tables.place_of(int(ids[rows[0]]), image.file_name)
        yield f"boxes that their image has twice: {len(rows)}, such as {where}; cornernet data check lists all"


def training_remarks(training: CocoDataset) -> Iterator[str]:
    """Lines about the classes of a training split: those without a box, and those whose name means that it is none."""
    counts = np.zeros(len(training.class_names), np.int64)
    for image in training.images:
        np.add.at(counts, image.labels, 1)
    empty = [name for name, count in zip(training.class_names, counts.tolist(), strict=True) if not count]
    if empty:
        what = f"{len(empty)} of {len(counts)} classes have no box here and are not learnt: {few(empty, ', ')}"
        is_group = training.category_ids[0] == 0 and not counts[0] and "Roboflow" in training.format
        yield what + (f" ({training.class_names[0]} is how Roboflow names the project)" if is_group else "")
    for name, count in zip(training.class_names, counts.tolist(), strict=True):
        if count and name.strip().strip("_").casefold() in ("", *_NO_CLASS):
            yield f"the class {name!r} of {count} boxes is learnt as a class of objects; remove its boxes if it is none"


def validation_remarks(training: CocoDataset, validation: CocoDataset) -> Iterator[str]:
    """Lines about a validation split that cannot say how good the training is."""
    if not any((~image.crowd).any() for image in validation.images):
        yield "without boxes there is no AP, and best.safetensors will be the weights of the last validation"
    learnt = {training.class_names[label] for image in training.images for label in set(image.labels.tolist())}
    seen = {validation.class_names[label] for image in validation.images for label in set(image.labels.tolist())}
    if unknown := sorted(seen - learnt):
        what = f"classes with boxes here and none in {training.name}: {few(unknown, ', ')}"
        yield f"{what}; their AP will be 0"


def _repeated(dataset: CocoDataset) -> NDArray[np.int64]:
    """The rows, over all images, of boxes that repeat an earlier one of their image and class."""
    counts = [len(image.boxes) for image in dataset.images]
    boxes = np.concatenate([image.boxes for image in dataset.images]).astype(np.float64)
    columns = [np.repeat(np.arange(len(counts)), counts), *np.round(boxes * 10**_DIGITS).astype(np.int64).T]
    columns += [np.concatenate([image.labels for image in dataset.images])]
    columns += [np.concatenate([image.crowd for image in dataset.images])]
    keys = np.zeros(len(boxes), np.uint64)
    for column in columns:  # a hash of 64 bits each: sorting rows takes ten times as long
        keys = (keys ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    ordered = np.sort(keys)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.zeros(0, np.int64)
    _, first = np.unique(keys, return_index=True)
    return np.setdiff1d(np.arange(len(keys)), first)
