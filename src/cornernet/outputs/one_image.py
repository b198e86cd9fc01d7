"""Detections of one image, drawn, saved and shown from Python."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2

from cornernet.drawing.draw import draw_detections, save_image
from cornernet.drawing.style import BoxStyle
from cornernet.errors import InputError
from cornernet.evaluation.ap import to_coco_results
from cornernet.files import atomic_write
from cornernet.inference.api import to_pixels
from cornernet.media.images import Pixels
from cornernet.media.scaling import shrink
from cornernet.structures import Detections

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
_SHOWN_SIDE, _SHOWN_ROWS = 640, 20  # of the picture in pixels, and of the table


def draw_on(
    detections: Detections,
    image: Any = None,
    line_width: int | None = None,
    labels: bool = True,
    scores: bool = True,
) -> Pixels:
    """The image, by default the one that was detected in, with all boxes; see ``Detections.draw``."""
    image = detections.image if image is None else image
    if image is None:
        raise InputError("these detections do not know their image", "image", "give it: a path, an array, a PIL image")
    pixels = to_pixels(image)
    if pixels.shape[:2] != tuple(detections.image_size):
        (height, width), (own_height, own_width) = pixels.shape[:2], detections.image_size
        what = f"has {width}x{height} pixels, and the boxes are of one of {own_width}x{own_height}"
        raise InputError(what, "image", "give the image that was detected in")
    return draw_detections(pixels, detections, threshold=0.0, style=BoxStyle(line_width, labels, scores))


def save_detections(
    detections: Detections, path: Path, image: Any = None, format: str | None = None, **style: Any
) -> Path:
    """Write one image's detections; see ``Detections.save``."""
    suffix = path.suffix.lower()
    if format not in (None, "coco"):
        raise InputError("no such format", f"format {format}", "leave it out, or choose coco")
    if format == "coco" and suffix != ".json":
        raise InputError("a COCO file is JSON", path, "give a name that ends in .json")
    if suffix in PICTURE_SUFFIXES:
        return save_image(path, draw_on(detections, image, **style))
    if suffix == ".txt":
        return atomic_write(path, yolo_lines_of(detections).encode())
    if suffix != ".json":
        raise InputError("no such kind of file", path, f"end it in {', '.join(PICTURE_SUFFIXES)}, .json or .txt")
    image = detections.image if image is None else image
    file = os.fspath(image) if isinstance(image, (str, os.PathLike)) else ""
    height, width = detections.image_size
    if format == "coco":
        categories = coco_categories(detections.class_names)
        results = to_coco_results(detections, 1, [category["id"] for category in categories])
        annotations = [coco_annotation(found, i) for i, found in enumerate(results, start=1)]
        images = [{"id": 1, "file_name": file, "height": height, "width": width}]
        content: dict[str, Any] = {"images": images, "annotations": annotations, "categories": categories}
    else:
        entry = {"file": file, "height": height, "width": width, "detections": detections.as_dicts()}
        content = {"classes": list(detections.class_names), "images": [entry]}
    return atomic_write(path, json.dumps(content, ensure_ascii=False, allow_nan=False).encode())


def coco_categories(class_names: Sequence[str]) -> list[dict[str, Any]]:
    """A COCO file's categories: the ids count from 1."""
    return [{"id": i, "name": name} for i, name in enumerate(class_names, start=1)]


def coco_annotation(result: dict[str, Any], number: int) -> dict[str, Any]:
    """A COCO result as the annotation ``number`` of a COCO file."""
    area = round(result["bbox"][2] * result["bbox"][3], 3)
    return {"id": number, **result, "area": area, "iscrowd": 0}


def yolo_lines_of(detections: Detections) -> str:
    """A line a box: class, centre x and y, width and height as shares of the image's."""
    height, width = detections.image_size
    boxes = detections.boxes.astype(float) / [width, height, width, height]
    lines = [
        f"{label} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}\n"
        for label, (x1, y1, x2, y2) in zip(detections.labels, boxes, strict=True)
    ]
    return "".join(lines)


def as_html(detections: Detections) -> str:
    """A picture of at most 640 pixels a side, if the image is known and still there, and the best 20 rows."""
    parts = [f"<p>{escape(repr(detections))}</p>"]
    try:
        picture = draw_on(detections) if detections.image is not None else None
    except InputError as error:
        picture = None
        parts.append(f"<p>{escape(str(error))}</p>")
    if picture is not None:
        small, _ = shrink(picture, _SHOWN_SIDE)
        _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        parts.append(f'<img alt="boxes" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">')
    rows = [
        f"<tr><td>{escape(name)}</td><td>{score:.2f}</td>" + "".join(f"<td>{v:.1f}</td>" for v in box) + "</tr>"
        for box, score, _, name in detections[:_SHOWN_ROWS]
    ]
    head = "".join(f"<th>{name}</th>" for name in ("class", "score", "x1", "y1", "x2", "y2"))
    parts.append(f"<table><tr>{head}</tr>{''.join(rows)}</table>" if rows else "")
    if len(detections) > _SHOWN_ROWS:
        parts.append(f"<p>and {len(detections) - _SHOWN_ROWS} more</p>")
    return "".join(parts)
