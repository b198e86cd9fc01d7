"""The metadata of an exported file, as JSON: everything that is needed to use it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cornernet.config import Decoding, Preprocessing
from cornernet.errors import InputError
from cornernet.typed import build

KEY, VERSION = "cornernet", 1


@dataclass(frozen=True)
class ExportMetadata:
    """An exported network's class names, settings and limits.

    ``outputs``: the file gives boxes or only maps. ``largest_side`` is the longest side of an image, in pixels, for
    which corner pooling is correct; ``bytes_per_pixel`` is about the memory that a pixel needs. The file pads and
    normalises by ``preprocessing``; the caller must scale images down to its ``max_size``.
    """

    class_names: tuple[str, ...]
    threshold: float
    preprocessing: Preprocessing
    decoding: Decoding
    precision: Literal["fp32", "fp16", "bf16", "int8"]
    outputs: Literal["detections", "maps"]
    largest_side: int
    bytes_per_pixel: float

    def to_json(self) -> str:
        """As JSON text, with the version of this format."""
        return json.dumps({"version": VERSION} | asdict(self))


def read_metadata(text: str | None, where: str) -> ExportMetadata:
    """``ExportMetadata`` of the file ``where``. Raises ``InputError`` for files of other programs or versions."""
    if text is None:
        raise InputError("says nothing of its classes", where, "only files that cornernet export wrote will do")
    try:
        content: dict[str, Any] = json.loads(text)
        version = content.pop("version")
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"its metadata is damaged ({error!r})", where, "export the weights anew") from None
    if version != VERSION:
        raise InputError(
            f"exported in format {version}, this program reads {VERSION}", where, "export the weights anew"
        )
    return build(ExportMetadata, content, f"{where}: its metadata is damaged")
