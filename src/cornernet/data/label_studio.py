"""Reads and writes Label Studio's JSON: tasks with annotations or predictions; reads its short form, JSON_MIN, too.

A file is a list of tasks, each with the address of an image. Images are never fetched: they are found beside the file,
by their names. Positions are percent of the image's sides. ``label_config.xml`` beside the file is the labelling
configuration of the project, which lists the classes.
"""

from __future__ import annotations

import base64
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from cornernet.data.causes import Unit
from cornernet.data.dataset import CocoDataset
from cornernet.data.label_studio_brush import brush_box
from cornernet.data.sniff import files_by_folder, is_label_studio, load_json, read_xml
from cornernet.data.tools import (
    ImageLabels,
    Labels,
    Shape,
    ToolFolder,
    box_around,
    ellipse_box,
    size_of,
    split_of_file,
    turned_box,
)
from cornernet.data.writing import (
    ILLEGAL,
    Placer,
    Rectangle,
    all_classes,
    json_lines,
    lost_crowds,
    placed,
    rectangles,
    require_xml,
    write_text,
)
from cornernet.errors import InputError
from cornernet.media.walk import IMAGE_SUFFIXES

CONFIG = "label_config.xml"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the names of uploaded files
_LOCAL = "/data/local-files/?d="
_HOW = """ Paste this into Settings, Labeling Interface, Code. Images are shown if Label Studio runs with
LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=this folder. """


def find_label_studio(path: Path) -> ToolFolder | None:
    """The Label Studio data set in a folder or of a JSON file; ``None`` if there is none.

    Raises ``InputError`` if the file is damaged.
    """
    files = files_by_folder(path, ".json", is_label_studio)
    if not files:
        return None
    root = path if path.is_dir() else path.parent
    splits: dict[str, list[Path]] = defaultdict(list)
    for folder, exports in files.items():
        for file in exports:
            splits[split_of_file(file, folder, len(exports))].append(file)
    first = next(iter(splits.values()))[0]
    title = str(first.relative_to(root))
    unit: Unit = "percent of the image"
    return ToolFolder("labelstudio", "Label Studio", path, title, splits, lambda: _read(root, splits), unit)


def write_label_studio(out: Path, datasets: Mapping[str, CocoDataset], place: Placer) -> list[str]:
    """Write splits as ``{split}.json`` with images in ``images/{split}/``, and ``label_config.xml``.

    Returns a line about what the format cannot store.
    """
    names = all_classes(datasets.values())
    require_xml("Label Studio's configuration", names, {})
    crowds = 0
    for split, dataset in datasets.items():
        tasks = []
        for record, name, boxes in placed(dataset, names, out / "images" / split, place, by_stem=True):
            found = rectangles(boxes, names)
            crowds += sum(box.is_crowd for box in found)
            image, size = f"images/{split}/{name}", (record.height, record.width)
            tasks.append(label_studio_task(len(tasks) + 1, image, size, found))
        write_text(out / f"{split}.json", json_lines(tasks))
    write_text(out / CONFIG, label_config(names))
    return lost_crowds(crowds, "Label Studio")


def label_studio_task(
    number: int, image: str, size: tuple[int, int], boxes: Sequence[Rectangle], *, model: str | None = None
) -> dict[str, Any]:
    """A task to import: an image of (height, width) and its boxes, as annotations or ``model``'s predictions."""
    height, width = size
    result = [
        {
            "id": f"box{count}",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "x": 100 * box.x / width,
                "y": 100 * box.y / height,
                "width": 100 * box.width / width,
                "height": 100 * box.height / height,
                "rotation": 0,
                "rectanglelabels": [box.name],
            },
        }
        | ({} if box.score is None else {"score": round(box.score, 5)})
        for count, box in enumerate(boxes, start=1)
    ]
    scores = [box.score for box in boxes if box.score is not None]
    task: dict[str, Any] = {"id": number, "data": {"image": _LOCAL + quote(image)}}
    if model is None:
        return task | {"annotations": [{"id": number, "result": result}]}
    mean = round(sum(scores) / len(scores), 5) if scores else 0
    return task | {"predictions": [{"model_version": model, "score": mean, "result": result}]}


def label_config(class_names: Sequence[str]) -> str:
    """A project's labelling configuration."""
    view = ElementTree.Element("View")
    view.append(ElementTree.Comment(_HOW))
    ElementTree.SubElement(view, "Image", name="image", value="$image")
    labels = ElementTree.SubElement(view, "RectangleLabels", name="label", toName="image")
    for name in class_names:
        ElementTree.SubElement(labels, "Label", value=ILLEGAL.sub("\ufffd", name))
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _classes(root: Path) -> list[str]:
    file = root / CONFIG
    if not file.is_file():
        return []
    labels = (label.get("value") for label in read_xml(file).iter("Label"))
    return [name for name in labels if name]


class _Remarks:
    """What is counted while a split's files are read."""

    def __init__(self) -> None:
        self.not_boxes: Counter[str] = Counter()
        self.predicted = self.several = 0


def _read(root: Path, splits: Mapping[str, Sequence[Path]]) -> Labels:
    """All labels of a data set."""
    images: dict[str, list[ImageLabels]] = {}
    remarks: dict[str, _Remarks] = defaultdict(_Remarks)
    notes: dict[str, list[str]] = {}
    for split, files in splits.items():
        images[split] = [item for file in files for item in _read_file(root, file, split, remarks[split])]
        found, notes[split] = remarks[split], []
        if found.predicted:
            what = f"nobody has annotated any of {found.predicted} tasks: their predictions are read as labels"
            notes[split].append(what)
        if found.several:
            what = f"{found.several} tasks have several annotations: read is the ground truth, or else the first"
            notes[split].append(what)
    not_boxes = {split: found.not_boxes for split, found in remarks.items()}
    return Labels(images, _classes(root), notes, not_boxes)


def _read_file(root: Path, file: Path, split: str, remarks: _Remarks) -> Iterator[ImageLabels]:
    content = load_json(file)
    tasks = content if isinstance(content, list) else [content]
    annotated = [isinstance(task, dict) and any(_usable(task, "annotations", "completions")) for task in tasks]
    folders = [base / part for base in (file.parent, root) for part in (f"images/{split}", "images", split, ".")]
    done: dict[object, int] = {}
    for number, task in enumerate(tasks):
        where = f"{file} task {task.get('id', number)}" if isinstance(task, dict) else f"{file} entry {number}"
        try:
            if not isinstance(task, dict):
                raise InputError("must be an object", "", "export it again")
            address = _address(task)
            if "data" not in task:
                if (key := task.get("id")) is not None and key in done:  # of another person
                    remarks.several += done[key] == 1
                    done[key] += 1
                    continue
                done[key] = 1
                result = _short_form(task)
            else:
                result = _result(task, any(annotated), remarks)
            item = ImageLabels(where, _names(address, task.get("file_upload")), folders)
            _add_shapes(item, result, where, remarks.not_boxes)
        except InputError as error:
            item = ImageLabels(where, [where], [], error=error)
        yield item


def _address(task: Mapping[str, Any]) -> str:
    """The address of a task's image."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    likely = [texts[key] for key in ("image", "img", "ocr", "url", "image_url") if key in texts]
    likely += [text for text in texts.values() if urlsplit(text).path.lower().endswith(IMAGE_SUFFIXES)]
    if not likely:
        raise InputError(f"names no image (its data: {', '.join(data) or 'none'})", "", "leave the task out")
    if likely[0].startswith("data:"):
        raise InputError("its image is inside the file, as data:", "", "save it as a file, and give the task its name")
    return likely[0]


def _names(address: str, uploaded: object) -> list[str]:
    """The names that the file of an address may have; an uploaded one's with and without the code before it."""
    address = address.replace("\\", "/")
    if "fileuri=" in address:  # of a cloud storage, encoded
        with suppress(ValueError):
            address = base64.b64decode(unquote(address.partition("fileuri=")[2]).partition("&")[0] + "==").decode()
    _, has_path, path = address.partition("?d=")
    path = (path if has_path else urlsplit(address).path or address).lstrip("/")
    paths = dict.fromkeys([unquote(path), path])
    names = [*paths, *(name.rpartition("/")[2] for name in paths)]
    if isinstance(uploaded, str):
        names.append(uploaded)
    names += [_UPLOADED.sub("", name) for name in names]
    return list(dict.fromkeys(name for name in names if name))


def _usable(task: Mapping[str, Any], *keys: str) -> list[dict[str, Any]]:
    """The annotations of a task that were not cancelled, ground truth first."""
    lists = [task[key] for key in keys if isinstance(task.get(key), list)]
    found = [item for items in lists for item in items if isinstance(item, dict) and not item.get("was_cancelled")]
    return sorted(found, key=lambda item: item.get("ground_truth") is not True)


def _result(task: Mapping[str, Any], are_annotated: bool, remarks: _Remarks) -> list[Any]:
    """The regions of a task's annotation, or of its prediction if no task of the file is annotated."""
    found = _usable(task, "annotations", "completions")
    remarks.several += len(found) > 1
    if not are_annotated:
        found = _usable(task, "predictions")
        remarks.predicted += bool(found)
    if not found:
        raise InputError("nobody has annotated it", "", "annotate the task, or leave it out of the export")
    result = found[0].get("result")
    return result if isinstance(result, list) else []


def _short_form(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The regions of a task in JSON_MIN, as those of the long form."""
    regions = [item for value in task.values() if isinstance(value, list) for item in value if isinstance(item, dict)]
    keys = ("original_width", "original_height", "image_rotation")
    return [{"value": region} | {key: region[key] for key in keys if key in region} for region in regions]


def _add_shapes(item: ImageLabels, result: Sequence[Any], where: str, not_boxes: Counter[str]) -> None:
    """Add a result's boxes to an image's labels. A region's geometry and classes may stand in several entries."""
    regions: dict[str, list[dict[str, Any]]] = {}
    for number, entry in enumerate(result):
        if isinstance(entry, dict) and isinstance(entry.get("value"), dict):
            regions.setdefault(str(entry.get("id", number)), []).append(entry)
    for number, entries in enumerate(regions.values(), start=1):
        boxes = [(entry, _box(entry)) for entry in entries]
        entry, box = next(((entry, box) for entry, box in boxes if box is not None), (entries[0], None))
        if box is None:
            not_boxes[_kind(entry)] += 1
            continue
        place = f"{where} region {number}"
        if entry.get("image_rotation"):
            what = f"region {number} was drawn on the image turned by {entry['image_rotation']} degrees"
            raise InputError(what, "", "turn the image back in Label Studio, or in its file, and label it again")
        size = _size(entry)
        if size is None:
            item.in_percent = True
        elif item.size not in (None, size):
            raise InputError(f"region {number} is of an image of another size than those before it", "", "correct it")
        item.size = item.size or size
        names = list(dict.fromkeys(name for entry in entries for name in _labels(entry["value"])))
        item.shapes += [Shape(name, list(box), place) for name in names or [None]]
    if item.in_percent and item.size:
        raise InputError("only some of its regions have original_width and original_height", "", "export it again")


def _kind(entry: Mapping[str, Any]) -> str:
    """The name of a region's type; JSON_MIN has only the key of its classes."""
    return str(entry.get("type") or next((key for key in entry["value"] if key.endswith("labels")), "unknown"))


def _labels(value: Mapping[str, Any]) -> Iterable[str]:
    lists = [value[key] for key in value if key.endswith("labels") and isinstance(value[key], list)]
    return [name for names in lists for name in names if isinstance(name, str)]


def _size(entry: Mapping[str, Any]) -> tuple[int, int] | None:
    return size_of(entry.get("original_height"), entry.get("original_width"))


def _box(entry: Mapping[str, Any]) -> list[Any] | None:
    """A region's upright box x y width height, or its values if they are no numbers; ``None`` if it has no area.

    In pixels if the region says the image's size, else in percent of its sides.
    """
    value, (height, width) = entry["value"], _size(entry) or (100, 100)

    def pixels(*keys: str) -> list[float] | None:
        sides = (height if key in ("y", "height", "radiusY") else width for key in keys)
        found = [value.get(key) for key in keys]
        is_known = all(type(number) in (int, float) for number in found)
        return [n * side / 100 for n, side in zip(found, sides, strict=True)] if is_known else None

    turn = value.get("rotation") or 0
    if type(turn) not in (int, float):
        return [turn]
    if turn and _size(entry) is None:
        raise InputError("a turned region has no original_width and original_height", "", "export it again")
    if "rle" in value:
        return brush_box(value["rle"], height, width)
    if isinstance(points := value.get("points"), list):
        try:
            return box_around([(float(x) * width / 100, float(y) * height / 100) for x, y in points])
        except (TypeError, ValueError):
            return [points]
    if "radiusX" in value:
        if ellipse := pixels("x", "y", "radiusX", "radiusY"):
            x, y, x_radius, y_radius = ellipse
            return ellipse_box(x, y, x_radius, y_radius, turn)
        return [value.get(key) for key in ("x", "y", "radiusX", "radiusY")]
    if "width" not in value or _kind(entry).startswith("keypoint"):
        return None
    box = pixels("x", "y", "width", "height")
    return turned_box(box, turn, (box[0], box[1])) if box else [value.get(k) for k in ("x", "y", "width", "height")]
