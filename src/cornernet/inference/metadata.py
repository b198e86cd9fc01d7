"""The metadata of an exported file, as JSON: everything that is needed to use it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cornernet.config import Decoding, Preprocessing
from cornernet.errors import InputError

KEY, VERSION = "cornernet", 1


@dataclass(frozen=True)
class ExportMetadata:
    """An exported network's class names, settings and limits.

    ``outputs`` says whether the file gives boxes or only maps. ``largest_side`` is the longest side of an image, in
    pixels, for which corner pooling is right; ``bytes_per_pixel`` is about the memory that a pixel needs. The file
    itself pads and normalises by ``preprocessing``; the caller must scale images down to its ``max_size``.
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
    """``ExportMetadata`` of the file ``where``; ``InputError`` for another program's file, or another version."""
    if text is None:
        raise InputError("says nothing of its classes", where, "only files that cornernet export wrote will do")
    try:
        content: dict[str, Any] = json.loads(text)
        if content["version"] != VERSION:
            what = f"exported in format {content['version']}, this program reads {VERSION}"
            raise InputError(what, where, "export the weights anew")
        content["preprocessing"] |= {name: tuple(content["preprocessing"][name]) for name in ("mean", "std")}
        return ExportMetadata(
            tuple(str(name) for name in content["class_names"]),
            float(content["threshold"]),
            Preprocessing(**content["preprocessing"]),
            Decoding(**content["decoding"]),
            content["precision"],
            content["outputs"],
            int(content["largest_side"]),
            float(content["bytes_per_pixel"]),
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"its metadata is damaged ({error!r})", where, "export the weights anew") from None
