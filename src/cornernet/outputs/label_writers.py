"""Writers of boxes for other programs: our JSON, COCO, CSV, YOLO. Entries go to disk at once."""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cornernet.data.yolo import data_yaml
from cornernet.evaluation.ap import to_coco_results
from cornernet.files import atomic_file, atomic_write
from cornernet.inference.stream import Result
from cornernet.media.sources import Frame
from cornernet.outputs.image_folder import ImageFolder
from cornernet.outputs.one_image import coco_annotation, coco_categories, yolo_lines_of
from cornernet.outputs.writer import Scratch, Writer
from cornernet.tracking.counts import TrackCounts


class DetectionsFile(Writer):
    """detections.json: ``classes``, and under ``images`` each one's ``file``, ``height``, ``width``, ``detections``.

    Frames of a video or an animation have its path as ``file``, their number, from 0, as ``frame``, and their ``time``
    in seconds since the first; pages of a file have no time. Detections are those of ``Detections.as_dicts``. With
    tracking they have the number of their object as ``track``, ``counts`` are the numbers of objects by class, and
    ``videos`` has them for each file, with crossings.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.target, self.class_names = folder / "detections.json", list(class_names)
        self.images = JsonList(self.target)
        self.counts: dict[int, tuple[str, TrackCounts]] = {}  # the last ones of each sequence

    def add(self, result: Result) -> None:
        height, width = result.detections.image_size
        entry: dict[str, Any] = {"file": result.frame.source}
        if result.frame.index is not None:
            entry |= {"frame": result.frame.index} | _time(result.frame)
        found = result.detections.as_dicts()
        if result.tracks is not None:
            found = [each | {"track": track} for each, track in zip(found, result.tracks, strict=True)]
        if result.counts:
            self.counts[result.counts.sequence] = result.frame.source, result.counts
        self.images.append(entry | {"height": height, "width": width, "detections": found})

    def finish(self) -> None:
        content: dict[str, Any] = {"classes": self.class_names}
        if self.counts:
            total = Counter[str]()
            for _, counts in self.counts.values():
                total.update(counts.objects)
            content["counts"] = dict(sorted(total.items()))
            content["videos"] = [{"file": file} | counts.as_dict() for file, counts in self.counts.values()]
        _write_json(self.target, content | {"images": self.images})


class CocoFile(Writer):
    """coco.json: a COCO file whose annotations are the detections, with their ``score``.

    All ids count from 1, those of categories in the order of the classes. ``file_name`` is the image's path from this
    file: a link in ``images``, or where it is if it cannot be linked, or a frame of a video or a page, written there.
    ``source``, or for frames ``video``, is the path as the user gave it; frames and pages have their number as
    ``frame``, and frames their ``time`` in seconds. With tracking, ``track_id`` is the number of the annotation's
    object.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.target = folder / "coco.json"
        self.categories = coco_categories(class_names)
        self.image_folder = ImageFolder(folder)
        self.images, self.annotations = JsonList(self.target), JsonList(self.target)

    def add(self, result: Result) -> None:
        height, width = result.detections.image_size
        frame = result.frame
        name = self.image_folder.place(result, copy=False) or _relative(frame.source, self.target.parent)
        image: dict[str, Any] = {"id": self.images.count + 1, "file_name": name}
        image["source" if frame.seconds is None else "video"] = frame.source
        if frame.index is not None:
            image |= {"frame": frame.index} | _time(frame)
        self.images.append(image | {"height": height, "width": width})
        ids = [category["id"] for category in self.categories]
        tracks = result.tracks or [None] * len(result.detections)
        for found, track in zip(to_coco_results(result.detections, image["id"], ids), tracks, strict=True):
            found |= {} if track is None else {"track_id": track}
            self.annotations.append(coco_annotation(found, self.annotations.count + 1))

    def finish(self) -> None:
        content = {"images": self.images, "annotations": self.annotations, "categories": self.categories}
        _write_json(self.target, content)


class CsvFile(Writer):
    """detections.csv: one line per box, corners in pixels; ``frame`` and ``time``, in seconds, are empty for images.

    With ``tracks`` the last column has the number of the box's object.
    """

    def __init__(self, folder: Path, *, tracks: bool = False) -> None:
        self.target, self.has_tracks = folder / "detections.csv", tracks
        self.lines = Scratch(self.target)
        self._add_rows([["file", "frame", "class", "score", "x1", "y1", "x2", "y2", "time", *["track"] * tracks]])

    def add(self, result: Result) -> None:
        frame = result.frame
        first = [frame.source, "" if frame.index is None else frame.index]
        seconds = _time(frame).get("time", "")
        tracks = [[number] for number in result.tracks or ()] if self.has_tracks else [[]] * len(result.detections)
        found = zip(result.detections.as_dicts(), tracks, strict=True)
        self._add_rows([*first, d["class"], d["score"], *d["box"], seconds, *track] for d, track in found)

    def finish(self) -> None:
        with atomic_file(self.target) as file:
            self.lines.pour(file)

    def _add_rows(self, rows: Any) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.lines.add(text.getvalue())


class YoloFiles(Writer):
    """A data set to correct and to train on: data.yaml, images/NAME.jpg, labels/NAME.txt, and the names in classes.txt.

    One line per box: class, centre x and y, width and height as shares of the image's; the scores are in the other
    formats, because labelling tools refuse a sixth number. An image without boxes has an empty file.
    """

    def __init__(self, folder: Path, class_names: Sequence[str]) -> None:
        self.folder, self.class_names, self.is_begun = folder, class_names, False
        self.image_folder = ImageFolder(folder, "labels", "data.yaml")

    def add(self, result: Result) -> None:
        self.image_folder.place(result, copy=True)
        if not self.is_begun:
            write_names(self.folder / "classes.txt", self.class_names)
            atomic_write(self.folder / "data.yaml", data_yaml({"train": "images"}, self.class_names).encode())
            self.is_begun = True
        lines = yolo_lines_of(result.detections)
        atomic_write(self.folder / "labels" / f"{result.frame.stem}.txt", lines.encode())


def write_names(target: Path, class_names: Sequence[str]) -> None:
    """A text file with a class name on each line."""
    names = (" ".join(name.split()) + "\n" for name in class_names)
    atomic_write(target, "".join(names).encode())


class JsonList(Scratch):
    """A list of a JSON file, each entry on its own line, kept on disk."""

    count = 0

    def append(self, entry: dict[str, Any]) -> None:
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
        self.add(f",\n{text}" if self.count else f"\n{text}")
        self.count += 1


def _relative(place: str, folder: Path) -> str:
    """The path of a file relative to a folder; other places, such as addresses, as they are."""
    if not os.path.isfile(place):
        return place
    try:
        return Path(os.path.relpath(os.path.abspath(place), os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive
        return Path(place).absolute().as_posix()


def _time(frame: Frame) -> dict[str, float]:
    """The time of a frame, if it has one."""
    return {} if frame.seconds is None else {"time": round(frame.seconds, 3)}


def _write_json(target: Path, content: dict[str, Any]) -> None:
    with atomic_file(target) as file:
        for number, (key, value) in enumerate(content.items()):
            file.write(f"{', ' if number else '{'}{json.dumps(key)}: ".encode())
            if isinstance(value, JsonList):
                file.write(b"[")
                value.pour(file)
                file.write(b"\n]")
            else:
                file.write(json.dumps(value, ensure_ascii=False).encode())
        file.write(b"}\n")
