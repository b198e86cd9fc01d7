"""Reads and writes CVAT's XML files, "CVAT for images 1.1"; reads "CVAT for video 1.1" where the frames are pictures.

One file has the labels of all images: ``annotations.xml``, with the images in ``images`` or ``images/SUBSET`` beside.
An image's ``subset`` is its split. Sides are positions in pixels, with fractions: a box from 0 to 10 is 10 pixels wide.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from cornernet.data.dataset import CocoDataset
from cornernet.data.sniff import files_by_folder, is_cvat, read_xml
from cornernet.data.tools import (
    ImageLabels,
    Labels,
    Shape,
    ToolFolder,
    box_around,
    ellipse_box,
    split_of_file,
    turned_box,
)
from cornernet.data.writing import (
    ILLEGAL,
    Placer,
    Rectangle,
    all_classes,
    as_text,
    lost_crowds,
    placed,
    rectangles,
    require_xml,
    write_text,
)
from cornernet.errors import InputError

_FILE = "annotations.xml"
_DIGITS = 6
_CUBOID = [f"{axis}{corner}{side}" for side in (1, 2) for corner in ("tl", "bl", "tr", "br") for axis in "xy"]


def find_cvat(path: Path) -> ToolFolder | None:
    """The CVAT data set in a folder or of an XML file; ``None`` if there is none.

    Raises ``InputError`` if the file is damaged.
    """
    files = files_by_folder(path, ".xml", is_cvat)
    if not files:
        return None
    reader = _Reader(path if path.is_dir() else path.parent)
    for folder, xmls in files.items():
        for file in xmls:
            reader.read_file(file, split_of_file(file, folder, len(xmls)))
    first = next(iter(files.values()))[0]
    labels = reader.labels()
    shown = str(first.relative_to(reader.root))
    return ToolFolder("cvat", "CVAT", path, shown, labels.images, lambda: labels, layout="corners")


def write_cvat(out: Path, datasets: Mapping[str, CocoDataset], place: Placer) -> list[str]:
    """Write splits as one ``annotations.xml``, each a subset with its images in ``images/{split}/``.

    Returns a line about what CVAT cannot store.
    """
    names = all_classes(datasets.values())
    require_xml("CVAT", names, datasets)
    parts, crowds = [], 0
    for split, dataset in datasets.items():
        for record, name, boxes in placed(dataset, names, out / "images" / split, place):
            found = rectangles(boxes, names)
            crowds += sum(box.is_crowd for box in found)
            parts.append(cvat_image(len(parts), name, (record.height, record.width), found, subset=split))
    write_text(out / _FILE, cvat_start(names, len(parts)) + "".join(parts) + CVAT_END)
    return lost_crowds(crowds, "CVAT")


CVAT_END = "</annotations>\n"


def cvat_start(class_names: Sequence[str], count: int | None = None) -> str:
    """The beginning of an XML file, up to its images."""
    task = ElementTree.Element("task")
    for key, value in (("name", "cornernet"), ("size", count), ("mode", "annotation")):
        if value is not None:
            ElementTree.SubElement(task, key).text = str(value)
    labels = ElementTree.SubElement(task, "labels")
    for name in class_names:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = ILLEGAL.sub("\ufffd", name)
        ElementTree.SubElement(label, "type").text = "rectangle"
        ElementTree.SubElement(label, "attributes")
    meta = ElementTree.Element("meta")
    meta.append(task)
    text = _text(meta)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n{text}'


def cvat_image(
    number: int,
    name: str,
    size: tuple[int, int],
    boxes: Iterable[Rectangle],
    *,
    subset: str = "",
    source: str = "manual",
) -> str:
    """An image of (height, width) with its boxes; ``source`` says who made them."""
    given = {"id": str(number), "name": ILLEGAL.sub("\ufffd", name)} | ({"subset": subset} if subset else {})
    image = ElementTree.Element("image", given | {"width": str(size[1]), "height": str(size[0])})
    for box in boxes:
        sides = {"xtl": box.x, "ytl": box.y, "xbr": box.x + box.width, "ybr": box.y + box.height}
        texts = {"label": ILLEGAL.sub("\ufffd", box.name), "source": source, "occluded": "0"}
        texts |= {key: as_text(side, _DIGITS) for key, side in sides.items()}
        ElementTree.SubElement(image, "box", texts | {"z_order": "0"})
    return _text(image)


def _text(element: ElementTree.Element) -> str:
    ElementTree.indent(element, level=1)
    return f"  {ElementTree.tostring(element, encoding='unicode')}\n"


class _Reader:
    """Collects the labels of a data set's files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.images: dict[str, list[ImageLabels]] = {}
        self.classes: dict[str, None] = {}
        self.notes: dict[str, list[str]] = {}
        self.not_boxes: dict[str, Counter[str]] = defaultdict(Counter)

    def labels(self) -> Labels:
        return Labels(self.images, list(self.classes), self.notes, self.not_boxes)

    def read_file(self, file: Path, split: str) -> None:
        """Add a file's images; those without a subset of their own to ``split``."""
        content = read_xml(file)
        for label in content.iterfind("meta//labels/label"):
            name = label.findtext("name")
            if name and not label.findtext("parent"):  # others are points of a skeleton
                self.classes[name] = None
        images, tracks = content.findall("image"), content.findall("track")
        has_subsets = any(image.get("subset") for image in images)
        for image in images:
            own = image.get("subset") or ("default" if has_subsets and split == "all" else split)
            self.images.setdefault(own, []).append(self._read_image(file, image, own))
        if tracks:
            self._read_video(file, content, tracks, split)
        if not images and not tracks:
            raise InputError("CVAT's file lists no image", file, "export the task again, or another one")

    def _read_image(self, file: Path, image: ElementTree.Element, split: str) -> ImageLabels:
        name = image.get("name") or ""
        where = f"{file} image {name!r}"
        height, width = _number(image.get("height")), _number(image.get("width"))
        size = (int(height), int(width)) if height >= 1 and width >= 1 else None
        labels = ImageLabels(where, [name], self._folders(file, split), size)
        counts: Counter[str] = Counter()
        for element in image:
            counts[element.tag] += 1
            self._add_shape(labels, element, f"{where} {element.tag} {counts[element.tag]}", split)
        return labels

    def _folders(self, file: Path, split: str) -> list[Path]:
        """The folders where a file's images may be, the usual one first."""
        bases = dict.fromkeys([file.parent, self.root])
        return [base / part for base in bases for part in (f"images/{split}", "images", split, ".")]

    def _add_shape(
        self, labels: ImageLabels, element: ElementTree.Element, where: str, split: str, label: str | None = None
    ) -> None:
        """Add an element's box to an image's labels, or count it if it has none."""
        bbox = _box(element)
        if bbox is None:
            if element.tag != "attribute":
                self.not_boxes[split][element.tag] += 1
            return
        crowd = any(a.get("name") == "is_crowd" and (a.text or "").lower() in ("true", "1") for a in element)
        labels.shapes.append(Shape(label or element.get("label"), bbox, where, crowd))

    def _read_video(
        self, file: Path, content: ElementTree.Element, tracks: Sequence[ElementTree.Element], split: str
    ) -> None:
        """Add the frames of a video that have pictures, ``frame_000000.png`` and so on, as CVAT exports them."""
        size = content.find("meta//original_size")
        height = _number(size.findtext("height") if size is not None else None)
        width = _number(size.findtext("width") if size is not None else None)
        frames: dict[int, ImageLabels] = {}
        folders = self._folders(file, split)
        pictures = [path for folder in folders if folder.is_dir() for path in folder.glob("frame_*.*")]
        if not pictures:
            what = "its labels are of a video, and there are no pictures of the frames, such as images/frame_000000.png"
            raise InputError(what, file, "export the task as 'CVAT for images 1.1', with its images")
        for track in tracks:
            name = track.get("label")
            for frame, element, where in _shapes_of_track(file, track):
                if frame not in frames:
                    picture = f"frame_{frame:06d}{pictures[0].suffix}"
                    entry = ImageLabels(f"{file} frame {frame}", [picture], folders)
                    entry.size = (int(height), int(width)) if height >= 1 and width >= 1 else None
                    frames[frame] = entry
                self._add_shape(frames[frame], element, where, split, name)
        self.images.setdefault(split, []).extend(frames[frame] for frame in sorted(frames))
        note = f"{file.name} has tracks of a video: read are the {len(frames)} frames in which something is"
        self.notes.setdefault(split, []).append(note)


def _shapes_of_track(file: Path, track: ElementTree.Element) -> Iterator[tuple[int, ElementTree.Element, str]]:
    """A track's shapes by frame, and their places; frames that are left out between two boxes lie between them."""
    last: tuple[int, ElementTree.Element] | None = None
    for number, element in enumerate((item for item in track if item.get("frame")), start=1):
        frame = int(_number(element.get("frame")))
        where = f"{file} track {track.get('id')} {element.tag} {number}"
        if last and element.tag == last[1].tag == "box":
            for between in range(last[0] + 1, frame):
                yield between, _between(last[1], element, (between - last[0]) / (frame - last[0])), where
        last = None if element.get("outside") == "1" else (frame, element)
        if last:
            yield frame, element, where


def _between(one: ElementTree.Element, two: ElementTree.Element, share: float) -> ElementTree.Element:
    """A box on the way from ``one`` to ``two``, as CVAT moves it."""
    texts = {}
    for side in ("xtl", "ytl", "xbr", "ybr", "rotation"):
        first, last = (_number(element.get(side, "0")) for element in (one, two))
        texts[side] = str(first + (last - first) * share)
    return ElementTree.Element("box", texts)


def _box(element: ElementTree.Element) -> list[float] | list[str | None] | None:
    """A shape's upright box x y width height, or its texts if they are no numbers; ``None`` if it has no area."""
    get = element.get
    if element.tag in ("polygon", "cuboid"):
        texts = re.split("[;,]", get("points") or "") if element.tag == "polygon" else list(map(get, _CUBOID))
        numbers = list(map(_number, texts))
        if not all(map(math.isfinite, numbers)) or len(numbers) % 2:
            return [text or "" for text in texts]
        return box_around(list(zip(numbers[::2], numbers[1::2], strict=True)))
    keys = {
        "box": ("xtl", "ytl", "xbr", "ybr"),
        "ellipse": ("cx", "cy", "rx", "ry"),
        "mask": ("left", "top", "width", "height"),
    }.get(element.tag)
    if not keys:
        return None
    a, b, c, d = numbers = [_number(get(key)) for key in keys]
    turn = _number(get("rotation", "0"))
    if not all(map(math.isfinite, [*numbers, turn])):
        return [get(key) for key in keys]
    if element.tag == "ellipse":
        return ellipse_box(a, b, c, d, turn)
    if element.tag == "mask":
        return numbers
    return turned_box([a, b, c - a, d - b], turn, ((a + c) / 2, (b + d) / 2))


def _number(text: str | None) -> float:
    """A number; NaN if it is none."""
    try:
        return float(text or "")
    except ValueError:
        return math.nan
