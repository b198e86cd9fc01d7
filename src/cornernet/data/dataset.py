"""A checked data set in memory: one record per image, boxes to train on and a ground truth to evaluate on.

It uses COCO's terms: every label format is read into COCO's tables, and these become the data set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cornernet.data.causes import Cause
from cornernet.data.coco_tables import Annotations
from cornernet.data.tables import Problem
from cornernet.errors import InputError
from cornernet.media.images import Pixels, read_image, turn_boxes

_FIXES = "take the rotation out of the files (exiftool -Orientation= FILE)", "exchange width and height in the labels"


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

    def read(self) -> Pixels:
        """Its pixels (H, W, 3), in the orientation of the labels. Raises ``InputError`` as `read_image` does."""
        return read_image(self.path, size=(self.height, self.width))


@dataclass(slots=True, eq=False)
class CocoDataset:
    """One split: a label has the id ``category_ids[label]`` and the name ``class_names[label]``.

    ``json_path`` is COCO's label file, YOLO's YAML file or VOC's folder, depending on ``format``. ``problems`` has one
    entry for every image and box that was left out (``skipped_images`` and ``skipped``) or clipped to its image.
    ``notes`` are remarks about the whole split, one line each. ``unsure`` has the ids of images with an EXIF rotation
    whose labels may be those of the picture before or after it. Image file names are relative to ``folder``. ``cause``
    may explain boxes that look wrong; it is not sure, because `build_dataset` refuses those that are. ``is_numbered``:
    the ids are ours, not those of the label file.
    """

    name: str
    format: str
    json_path: Path
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    images: list[ImageRecord]
    problems: list[Problem]
    _annotations: Annotations = field(repr=False)
    notes: tuple[str, ...] = ()
    unsure: frozenset[int] = frozenset()
    cause: Cause | None = None
    folder: Path = Path()
    is_numbered: bool = False

    def __str__(self) -> str:
        counts = f"{len(self.images)} images, {len(self._annotations.ids)} boxes, {len(self.class_names)} classes"
        return f"{self.name}: {counts} ({self.format}, {self.json_path})"

    @property
    def skipped(self) -> int:
        """How many boxes were left out."""
        return sum(problem.outcome == "left out" for problem in self.problems)

    @property
    def skipped_images(self) -> int:
        """How many images were left out, with all their boxes."""
        return sum(problem.outcome == "image left out" for problem in self.problems)

    @property
    def has_boxes(self) -> bool:
        """Whether there is a box, not of a crowd, to learn from and to measure on."""
        return not bool(self._annotations.crowd.all())

    def require_boxes(self) -> None:
        """Raise ``InputError`` if no image has a box to learn from."""
        if not self.has_boxes:
            self.refuse_losses(share=1.0)
            left_out = f" ({self.skipped} unusable ones were left out)" if self.skipped else ""
            raise InputError(f"no box to learn from{left_out}", self.json_path, "label some, or choose another split")

    def refuse_losses(self, share: float = 0.1) -> None:
        """Raise ``InputError`` if more than this share of the images or of the boxes was left out, or every box.

        A single image or box may be any share.
        """
        kept = len(self._annotations.ids)
        images, boxes = self.skipped_images, self.skipped
        too_many = images > max(1, share * (images + len(self.images))) or boxes > max(1, share * (boxes + kept))
        if not too_many and (kept or not boxes):
            return
        counts = Counter(problem.kind for problem in self.problems if problem.outcome.endswith("left out"))
        kind, count = counts.most_common(1)[0]
        first = next(problem for problem in self.problems if problem.kind == kind)
        lost = [f"{boxes} of {boxes + kept} boxes"] * bool(boxes)
        lost += [f"{images} of {images + len(self.images)} images"] * bool(images)
        what = (
            f"{' and '.join(lost)} of {self.name} cannot be used: {count} {kind}, such as {first.where}, {first.what}"
        )
        fix = "correct them, or write a copy without them: cornernet data check DATA --fix NEW_FOLDER"
        raise InputError(what, self.json_path, fix)

    def without(self, image_ids: AbstractSet[int], annotation_ids: AbstractSet[int]) -> CocoDataset:
        """The data set without these images (and their boxes) and without these boxes."""
        annotations = self._annotations
        gone = np.isin(annotations.ids, list(annotation_ids)) | np.isin(annotations.image_ids, list(image_ids))
        images = [image for image in self.images if image.id not in image_ids]
        for i, image in enumerate(images):
            if not annotation_ids.isdisjoint(image.annotation_ids.tolist()):
                keep = ~np.isin(image.annotation_ids, list(annotation_ids))
                boxes, labels, crowd = image.boxes[keep], image.labels[keep], image.crowd[keep]
                ids = image.annotation_ids[keep]
                images[i] = replace(image, boxes=boxes, labels=labels, crowd=crowd, annotation_ids=ids)
        return replace(self, images=images, _annotations=annotations.take(~gone))

    def with_unsure(self, image_ids: Mapping[int, bool]) -> CocoDataset:
        """The data set with those of these images that have boxes as ``unsure``, and notes about them.

        The value says whether an image is read as stored, because only that has the size of its labels.
        """
        notes = list(self.notes)
        unsure = [image for image in self.images if image.id in image_ids and len(image.boxes)]
        for as_stored, told, fix in (
            (False, "do not tell whether they were made before or after it; read as after", _FIXES[0]),
            (True, "have the size before it; read as before, so not turned", _FIXES[1]),
        ):
            if images := [image for image in unsure if image_ids[image.id] == as_stored]:
                what = f"{len(images)} images, such as {images[0].path}, have an EXIF rotation, and their labels {told}"
                notes.append(f"{what}: look at mosaic.jpg of cornernet data check, and if boxes lie wrong there, {fix}")
        return replace(self, notes=tuple(notes), unsure=frozenset(image.id for image in unsure))

    def upright(self, orientations: Mapping[int, int]) -> CocoDataset:
        """The data set with these images, by id each one's EXIF orientation, and their boxes turned upright.

        For images whose labels are those of the picture as stored; their files stay as they are.
        """
        annotations = self._annotations.take(np.arange(len(self._annotations.ids)))
        images = []
        for image in self.images:
            if turn := orientations.get(image.id):
                rows, size = annotations.image_ids == image.id, (image.height, image.width)
                corners = np.tile(annotations.boxes[rows, :2], 2)
                corners[:, 2:] += annotations.boxes[rows, 2:]
                corners = turn_boxes(corners, turn, *size)
                annotations.boxes[rows] = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
                height, width = size[::-1] if turn >= 5 else size
                image = replace(image, height=height, width=width, boxes=turn_boxes(image.boxes, turn, *size))
            images.append(image)
        return replace(self, images=images, _annotations=annotations)

    def coco_dict(self) -> dict[str, Any]:
        """Ground truth for faster-coco-eval, without boxes that were left out: the file's boxes, areas and crowd flags.

        Boxes are not clipped, and there are no segmentations. For the evaluator annotation id 0 means "unmatched": if
        the file uses it, annotations are numbered from 1.
        """
        table = self._annotations
        ids = np.arange(1, len(table.ids) + 1) if 0 in table.ids else table.ids
        columns = (ids, table.image_ids, table.category_ids, table.boxes, table.areas, table.crowd.astype(np.int64))
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
