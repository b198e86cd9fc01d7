"""Writers of boxes for other programs: our JSON, COCO, CSV, YOLO. Entries go to disk at once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cornernet.evaluation.ap import to_coco_results
from cornernet.files import atomic_file, atomic_write
from cornernet.inference.stream import Result
from cornernet.media.sources import Frame
from cornernet.outputs.writer import Scratch, Writer


class DetectionsFile(Writer):
    """detections.json: ``classes``, and under ``images`` each one's ``file``, ``height``, ``width``, ``detections``.

    Frames of a video have its path as ``file``, their number, from 0, as ``frame``, and their ``time`` in seconds since
    the first. Detections are those of ``Detections.as_dicts``.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.target, self.class_names = folder / "detections.json", list(class_names)
        self.images = _JsonList(self.target)

    def add(self, result: Result) -> None:
        height, width = result.detections.image_size
        entry: dict[str, Any] = {"file": result.frame.source}
        if result.frame.index is not None:
            entry |= {"frame": result.frame.index, "time": _time(result.frame)}
        self.images.append(entry | {"height": height, "width": width, "detections": result.detections.as_dicts()})

    def finish(self) -> None:
        _write_json(self.target, {"classes": self.class_names, "images": self.images})


class CocoFile(Writer):
    """coco.json: a COCO file whose annotations are the detections, with their ``score``.

    All ids count from 1, those of categories in the order of the classes. ``file_name`` is the path as the user gave
    it; for frames of a video ``video`` is that path, ``time`` in seconds, and ``file_name`` is the frame's picture.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.target = folder / "coco.json"
        self.categories = [{"id": i, "name": name} for i, name in enumerate(class_names, start=1)]
        self.images, self.annotations = _JsonList(self.target), _JsonList(self.target)

    def add(self, result: Result) -> None:
        height, width = result.detections.image_size
        image: dict[str, Any] = {"id": self.images.count + 1, "file_name": result.frame.source}
        if result.frame.index is not None:
            video = {"video": result.frame.source, "frame": result.frame.index, "time": _time(result.frame)}
            image |= {"file_name": f"{result.frame.stem}.jpg"} | video
        self.images.append(image | {"height": height, "width": width})
        ids = [category["id"] for category in self.categories]
        for found in to_coco_results(result.detections, image["id"], ids):
            area = round(found["bbox"][2] * found["bbox"][3], 3)
            self.annotations.append({"id": self.annotations.count + 1, **found, "area": area, "iscrowd": 0})

    def finish(self) -> None:
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        _write_json(self.target, content)


class CsvFile(Writer):
    """detections.csv: one line per box, corners in pixels; ``frame`` and ``time``, in seconds, are empty for images."""

    def __init__(self, folder: Path) -> None:
        self.target = folder / "detections.csv"
        self.lines = Scratch(self.target)
        self._add_rows([["file", "frame", "class", "score", "x1", "y1", "x2", "y2", "time"]])

    def add(self, result: Result) -> None:
        frame = result.frame
        first = [frame.source, "" if frame.index is None else frame.index]
        seconds = "" if frame.index is None else _time(frame)
        self._add_rows([*first, d["class"], d["score"], *d["box"], seconds] for d in result.detections.as_dicts())

    def finish(self) -> None:
        with atomic_file(self.target) as file:
            self.lines.pour(file)

    def _add_rows(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.lines.add(text.getvalue())


class YoloFiles(Writer):
    """labels/NAME.txt for every image, and classes.txt with one name per line.

    One line per box: class, centre x and y, width and height as shares of the image's, score. An image without boxes
    has an empty file.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.folder, self.class_names = folder, class_names

    def add(self, result: Result) -> None:
        height, width = result.detections.image_size
        boxes = result.detections.boxes.astype(float) / [width, height, width, height]
        lines = [
            f"{label} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f} {score:.5f}\n"
            for label, (x1, y1, x2, y2), score in zip(
                result.detections.labels, boxes, result.detections.scores, strict=True
            )
        ]
        atomic_write(self.folder / "labels" / f"{result.frame.stem}.txt", "".join(lines).encode())

    def finish(self) -> None:
        names = (" ".join(name.split()) + "\n" for name in self.class_names)
        atomic_write(self.folder / "classes.txt", "".join(names).encode())


class _JsonList(Scratch):
    """A list of a JSON file, each entry on its own line, kept on disk."""

    count = 0

    def append(self, entry: dict[str, Any]) -> None:
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        self.add(f",\n{text}" if self.count else f"\n{text}")
        self.count += 1


def _time(frame: Frame) -> float:
    return round(frame.seconds or 0.0, 3)


def _write_json(target: Path, content: dict[str, Any]) -> None:
    with atomic_file(target) as file:
        for number, (key, value) in enumerate(content.items()):
            file.write(f"{', ' if number else '{'}{json.dumps(key)}: ".encode())
            if isinstance(value, _JsonList):
                file.write(b"[")
                value.pour(file)
                file.write(b"\n]")
            else:
                file.write(json.dumps(value, ensure_ascii=False).encode())
        file.write(b"}\n")
