"""Writers of detections for labelling tools, where people correct boxes instead of drawing them.

All of them need the images, which are put into the folder ``images`` beside the labels.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from cornernet.data.cvat import CVAT_END, cvat_image, cvat_start
from cornernet.data.label_studio import CONFIG, label_config, label_studio_task
from cornernet.data.labelme import labelme_json
from cornernet.data.writing import Rectangle
from cornernet.errors import InputError
from cornernet.files import atomic_file, atomic_write
from cornernet.inference.stream import Result
from cornernet.outputs.image_folder import ImageFolder
from cornernet.outputs.label_writers import JsonList, write_names
from cornernet.outputs.writer import Scratch, Writer
from cornernet.structures import Detections

_MODEL = "cornernet"
_DIGITS = 3  # decimals of a pixel


class CvatFile(Writer):
    """annotations.xml, for "Upload annotations" as "CVAT 1.1" to a task that has the images of ``images``."""

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.target, self.class_names, self.count = folder / "annotations.xml", class_names, 0
        self.image_folder = ImageFolder(folder)
        self.images = Scratch(self.target)

    def add(self, result: Result) -> None:
        name = PurePosixPath(_place(self.image_folder, result)).relative_to("images")
        found = result.detections
        self.images.add(cvat_image(self.count, str(name), found.image_size, _boxes(found), source="auto"))
        self.count += 1

    def finish(self) -> None:
        with atomic_file(self.target) as file:
            file.write(cvat_start(self.class_names, self.count).encode())
            self.images.pour(file)
            file.write(CVAT_END.encode())


class LabelmeFiles(Writer):
    """images/NAME.json beside each image, and labels.txt, which LabelMe takes with ``--labels``.

    LabelMe saves corrections into these files, so ``InputError`` is raised if the folder has some.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.folder, self.class_names = folder, class_names
        self.image_folder = ImageFolder(folder)
        if there := next((folder / "images").rglob("*.json"), None):
            raise InputError("is there, and may have been corrected", there, "choose another --out")

    def add(self, result: Result) -> None:
        image = self.folder / _place(self.image_folder, result)
        content = labelme_json(image.name, result.detections.image_size, _boxes(result.detections))
        text = json.dumps(content, ensure_ascii=False, indent=2)
        atomic_write(image.with_suffix(".json"), text.encode(errors="backslashreplace"))

    def finish(self) -> None:
        write_names(self.folder / "labels.txt", self.class_names)


class LabelStudioFile(Writer):
    """label_studio.json, tasks with predictions to import, and the configuration of a project for them."""

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.target, self.class_names = folder / "label_studio.json", class_names
        self.image_folder = ImageFolder(folder)
        self.tasks = JsonList(self.target)

    def add(self, result: Result) -> None:
        image, found = _place(self.image_folder, result), result.detections
        task = label_studio_task(self.tasks.count + 1, image, found.image_size, _boxes(found), model=_MODEL)
        self.tasks.append(task)

    def finish(self) -> None:
        with atomic_file(self.target) as file:
            file.write(b"[")
            self.tasks.pour(file)
            file.write(b"\n]\n")
        atomic_write(self.target.with_name(CONFIG), label_config(self.class_names).encode())


def _place(images: ImageFolder, result: Result) -> str:
    """Put a result's image into the folder; its path from the output folder."""
    name = images.place(result, copy=True)
    assert name is not None
    return name


def _boxes(found: Detections) -> list[Rectangle]:
    corners = found.boxes.astype(float).round(_DIGITS).tolist()
    rows = zip(found.labels.tolist(), corners, found.scores.tolist(), strict=True)
    return [
        Rectangle(found.class_names[int(label)], x1, y1, x2 - x1, y2 - y1, score=score)
        for label, (x1, y1, x2, y2), score in rows
    ]
