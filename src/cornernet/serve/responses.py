"""Results as they are sent: JSON, an annotated JPEG, heatmaps as small pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import cv2
import numpy as np
from PIL import Image

from cornernet.drawing.draw import BOTTOM_RIGHT_COLOR, TOP_LEFT_COLOR, draw_detections
from cornernet.drawing.text import Color
from cornernet.inference.api import BaseDetector
from cornernet.media.images import Pixels
from cornernet.serve.limits import RequestError
from cornernet.structures import CornerPoints, Detections, Explanation, FloatArray, IntArray

_LONGEST_JPEG = 65_500  # pixels a side: libjpeg's limit
_SIDE = 400  # pixels of a heatmap's longer side: its width on the page


def detections_as_json(found: Detections, threshold: float) -> dict[str, Any]:
    """Detections of at least ``threshold``, with the image's size and the class names."""
    return _about(found, threshold) | {"detections": found.above(threshold).as_dicts()}


def detections_as_jpeg(image: Pixels, found: Detections, threshold: float) -> bytes:
    """An image (H, W, 3) with its boxes of at least ``threshold``. ``RequestError`` 413 if too large for JPEG."""
    height, width = image.shape[:2]
    if max(height, width) > _LONGEST_JPEG:
        what = f"a JPEG has {_LONGEST_JPEG} a side at most"
        raise RequestError(413, what, f"{height}x{width} pixels", "ask for format=json")
    picture = cv2.cvtColor(draw_detections(image, found, threshold), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def explanation_as_json(seen: Explanation, detector: BaseDetector) -> dict[str, Any]:
    """All detections with both corners, and both heatmaps.

    A corner has its position in pixels of the image, its score, and what it predicts of its object under that value's
    name (``PairingWords``); null where another view than the first found it.
    """
    found = seen.detections
    entries = [
        entry | _corners(seen, box, entry["label"]) for entry, box in zip(found.as_dicts(), found.boxes, strict=True)
    ]
    heatmaps = {
        "top_left": _picture(seen.tl_heatmap, seen, TOP_LEFT_COLOR),
        "bottom_right": _picture(seen.br_heatmap, seen, BOTTOM_RIGHT_COLOR),
    }
    words = seen.tl_corners.words
    pairing = {"name": words.name, "legend": words.legend, "differ": words.differ}
    about = _about(found, detector.threshold) | {"pairing": pairing}
    return about | {"detections": entries, "heatmaps": heatmaps}


def _about(found: Detections, threshold: float) -> dict[str, Any]:
    height, width = found.image_size
    return {"width": width, "height": height, "classes": found.class_names, "threshold": threshold}


def _corners(seen: Explanation, box: FloatArray, label: int) -> dict[str, Any]:
    """The two corners behind a detection, and their distance."""
    candidates = seen.candidates
    i, _ = candidates.nearest(box, label, seen.detections.image_size)
    tl = br = {seen.tl_corners.words.name: None}
    if candidates.views[i] == 0:
        tl = tl | _predicted(seen.tl_corners, label, candidates.tl_cells[i])
        br = br | _predicted(seen.br_corners, label, candidates.br_cells[i])
    return {
        "top_left": _corner(candidates.boxes[i, :2], candidates.tl_scores[i], tl),
        "bottom_right": _corner(candidates.boxes[i, 2:], candidates.br_scores[i], br),
        "distance": round(float(candidates.distances[i]), 4),
    }


def _predicted(corners: CornerPoints, label: int, cell: IntArray) -> dict[str, Any]:
    here = np.flatnonzero((corners.labels == label) & (corners.cells == cell).all(axis=1))
    return corners.as_dict(int(here[0]), digits=4) if len(here) else {}


def _corner(position: FloatArray, score: float, predicted: dict[str, Any]) -> dict[str, Any]:
    x, y = (round(float(v), 2) for v in position)
    return {"x": x, "y": y, "score": round(float(score), 5)} | predicted


def _picture(heatmap: FloatArray, seen: Explanation, color: Color) -> str:
    """The part of a heatmap (h, w) over the image: a PNG in a data address; opacity is the probability's root."""
    view_height, view_width = seen.view_size
    small = min(1.0, _SIDE / max(view_height, view_width))
    size = max(1, round(view_width * small)), max(1, round(view_height * small))
    # Pixel of the picture -> of the view -> of the padded input -> cell; centres are at halves in all of them.
    (top, left), (rows, columns) = seen.offset, heatmap.shape
    across, down = columns / seen.padded_size[1], rows / seen.padded_size[0]
    x_step, y_step = view_width / size[0], view_height / size[1]
    to_cells = np.array(
        [[x_step * across, 0, (x_step / 2 + left) * across - 0.5], [0, y_step * down, (y_step / 2 + top) * down - 0.5]]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    covered = cv2.warpAffine(heatmap.astype(np.float32), to_cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    alpha = np.rint(255 * np.sqrt(np.clip(covered, 0, 1))).astype(np.uint8)
    # One colour with 256 degrees of opacity: with a palette, each pixel is one byte.
    picture, file = Image.fromarray(alpha), io.BytesIO()
    picture.putpalette(bytes(color) * 256)
    picture.save(file, "PNG", transparency=bytes(range(256)), optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
