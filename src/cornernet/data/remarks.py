"""What commands say about splits that can be read: boxes that stand twice, classes that are none or not learnt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from cornernet.data.coco_tables import few
from cornernet.data.dataset import CocoDataset, ImageRecord
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
_NO_BOX = "no box in it, so no figure can be measured"
_DIGITS = 2  # decimals of a pixel that are compared: boxes that agree in them are the same


def split_remarks(dataset: CocoDataset, tables: Tables) -> Iterator[str]:
    """Lines about what a split holds, and about boxes that stand twice."""
    yield from content_remarks(dataset)
    repeated = [(image, id_) for image in _with_like_boxes(dataset) for id_ in repeated_boxes(dataset, image)]
    if repeated:
        image, id_ = repeated[0]
        where = tables.place_of(id_, image.file_name)
        yield f"boxes that their image has twice: {len(repeated)}, such as {where}; cornernet data check lists all"


def content_remarks(dataset: CocoDataset) -> Iterator[str]:
    """Lines about a split without boxes, or with boxes of a class whose name means that it is none."""
    if not dataset.has_boxes:
        yield _NO_BOX
    for name, count in zip(dataset.class_names, _boxes_of_classes(dataset), strict=True):
        if count and name.strip().strip("_").casefold() in ("", *_NO_CLASS):
            yield f"the class {name!r} of {count} boxes is learnt as a class of objects; remove its boxes if it is none"


def training_remarks(training: CocoDataset) -> Iterator[str]:
    """A line about the classes of a training split that have no box."""
    counts = _boxes_of_classes(training)
    empty = [name for name, count in zip(training.class_names, counts, strict=True) if not count]
    if empty:
        what = f"{len(empty)} of {len(counts)} classes have no box here and are not learnt: {few(empty, ', ')}"
        is_group = training.category_ids[0] == 0 and not counts[0] and "Roboflow" in training.format
        yield what + (f" ({training.class_names[0]} is how Roboflow names the project)" if is_group else "")


def _boxes_of_classes(dataset: CocoDataset) -> list[int]:
    counts = np.zeros(len(dataset.class_names), np.int64)
    for image in dataset.images:
        np.add.at(counts, image.labels, 1)
    return counts.tolist()


def validation_notes(training: CocoDataset, validation: CocoDataset) -> Iterator[str]:
    """The notes of a validation split, also about what it cannot say of the training."""
    for note in validation.notes:
        yield f"{note}; best.safetensors will be the weights of the last validation" if note == _NO_BOX else note
    learnt = {training.class_names[label] for image in training.images for label in set(image.labels.tolist())}
    seen = {validation.class_names[label] for image in validation.images for label in set(image.labels.tolist())}
    if unknown := sorted(seen - learnt):
        what = f"classes with boxes here and none in {training.name}: {few(unknown, ', ')}"
        yield f"{what}; their AP will be 0"


def box_keys(dataset: CocoDataset, image: ImageRecord) -> list[tuple[Any, ...]]:
    """A key of each box, comparable between splits; two boxes with the same key are the same box."""
    columns = np.round(image.boxes.astype(np.float64), _DIGITS).tolist(), image.labels.tolist(), image.crowd.tolist()
    return [(*box, dataset.class_names[label], crowd) for box, label, crowd in zip(*columns, strict=True)]


def repeated_boxes(dataset: CocoDataset, image: ImageRecord) -> list[int]:
    """Ids of boxes that repeat an earlier box of their image."""
    seen = set()
    keys = zip(box_keys(dataset, image), image.annotation_ids.tolist(), strict=True)
    return [id_ for key, id_ in keys if key in seen or seen.add(key)]


def _with_like_boxes(dataset: CocoDataset) -> list[ImageRecord]:
    """The images in which boxes have the same hash: `repeated_boxes` of all images would take seconds."""
    images = np.repeat(np.arange(len(dataset.images)), [len(image.boxes) for image in dataset.images])
    boxes = np.concatenate([image.boxes for image in dataset.images]).astype(np.float64)
    columns = [images, *np.round(boxes * 10**_DIGITS).astype(np.int64).T]
    columns += [np.concatenate([image.labels for image in dataset.images])]
    columns += [np.concatenate([image.crowd for image in dataset.images])]
    keys = np.zeros(len(boxes), np.uint64)
    for column in columns:
        keys = (keys ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    order = np.argsort(keys, kind="stable")
    again = order[1:][keys[order[1:]] == keys[order[:-1]]]
    return [dataset.images[i] for i in np.unique(images[again])]
