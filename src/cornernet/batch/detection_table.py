"""Detections as rows of Parquet, one for each image."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cornernet.batch.storage import storage_of
from cornernet.errors import InputError
from cornernet.structures import Detections

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = ("images", "errors", "boxes")
_KEY = b"cornernet"


def detection_fields() -> list[pa.Field]:
    """The columns of what was found in an image.

    ``width`` and ``height`` in pixels; ``boxes`` x1 y1 x2 y2 in pixels of the image, ``scores`` descending, ``labels``
    and ``names`` of their classes. ``error`` is the line about an image that cannot be used, whose other columns are
    null.
    """
    import pyarrow as pa

    return [
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("boxes", pa.list_(pa.list_(pa.float32()))),
        pa.field("scores", pa.list_(pa.float32())),
        pa.field("labels", pa.list_(pa.int32())),
        pa.field("names", pa.list_(pa.string())),
        pa.field("error", pa.string()),
    ]


def detection_columns(found: Iterable[Detections | InputError]) -> dict[str, pa.Array]:
    """The columns of `detection_fields`, a row for each image's detections or its error."""
    import pyarrow as pa

    rows: list[dict[str, Any]] = []
    for each in found:
        if isinstance(each, InputError):
            rows.append({"error": str(each)})
            continue
        height, width = each.image_size
        names = [each.class_names[label] for label in each.labels]
        row = {"width": width, "height": height, "boxes": list(each.boxes), "scores": each.scores}
        rows.append(row | {"labels": each.labels, "names": names})
    fields = detection_fields()
    return {field.name: pa.array([row.get(field.name) for row in rows], field.type) for field in fields}


class PartRows:
    """The rows of a part, while they are found."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.pictures: list[int | None] = []
        self.found: list[Detections | InputError] = []

    def add(self, name: str, picture: int | None, found: Detections | InputError) -> None:
        """A row; ``picture`` counts from 0 those of a file that holds several."""
        self.names.append(name)
        self.pictures.append(picture)
        self.found.append(found)

    @property
    def counts(self) -> dict[str, int]:
        """How many images were looked at, how many have an error, and the boxes in all."""
        errors = sum(isinstance(each, InputError) for each in self.found)
        boxes = sum(len(each) for each in self.found if isinstance(each, Detections))
        return {"images": len(self.found) - errors, "errors": errors, "boxes": boxes}

    def to_parquet(self, about: dict[str, Any]) -> bytes:
        """A Parquet file of the rows; ``about`` is stored in it, for `read_about`."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"image": pa.array(self.names, pa.string()), "picture": pa.array(self.pictures, pa.int32())}
        table = pa.table(columns | detection_columns(self.found))
        table = table.replace_schema_metadata({_KEY: json.dumps(about)})
        data = io.BytesIO()
        pq.write_table(table, data, compression="zstd")
        return data.getvalue()


def read_about(place: str) -> dict[str, Any]:
    """What was stored in a part's file. Raises ``InputError`` if it is no whole part."""
    from cornernet.batch.parquet_images import open_parquet

    with open_parquet(place) as file:
        stored = (file.schema_arrow.metadata or {}).get(_KEY)
    if stored is None:
        raise InputError("no part of detections", place, "give another folder with --out")
    return json.loads(stored)


def read_part(place: str, class_names: Sequence[str]) -> list[Detections | InputError]:
    """A part's detections, and the errors of its images, in order."""
    import pyarrow.parquet as pq

    with storage_of(place).open(place) as stream:
        rows = pq.read_table(io.BytesIO(stream.read())).to_pylist()
    return [_detections(row, class_names) for row in rows]


def _detections(row: dict[str, Any], class_names: Sequence[str]) -> Detections | InputError:
    if row["error"] is not None:
        return InputError(row["error"])
    boxes = np.array(row["boxes"], np.float32).reshape(-1, 4)
    scores, labels = np.array(row["scores"], np.float32), np.array(row["labels"], np.int64)
    return Detections(boxes, scores, labels, class_names, (row["height"], row["width"]))
