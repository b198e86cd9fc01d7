"""Arguments of Python programs: their names and values are checked before anything is read or written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cornernet.config import Size
from cornernet.data.formats import Format
from cornernet.errors import InputError, nearest
from cornernet.tasks.detectors import EXPORTED, Arithmetic, TestTime, parse_precision, parse_tile, parse_tta
from cornernet.typed import convert

if TYPE_CHECKING:
    from cornernet.inference.api import BaseDetector

_TYPES: dict[str, Any] = {
    "backbone": str | None,
    "batch_size": int,
    "checkpoint_seconds": float,
    "device": str | None,
    "devices": int | None,
    "flip": bool,
    "format": Format | None,
    "max_size": int | None,
    "minutes": float | None,
    "oracle": str | None,
    "precision": Arithmetic,
    "report": bool,
    "scales": tuple[float, ...],
    "size": Size | None,
    "split": str,
    "strict": bool,
    "threads": int | None,
    "threshold": float | None,
    "tile_overlap": int | None,
    "train_split": str,
    "tta": TestTime,
    "val_share": float | None,
    "val_split": str,
}
_ABOVE_0 = ("batch_size", "checkpoint_seconds", "max_size", "threads")
_OF_NETWORKS = ("device", "flip", "max_size", "precision", "scales", "threshold", "tile", "tile_overlap", "tta")
_OF_EXPORTED = ("device", "max_size", "threads", "threshold")


def checked(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options whose type is known, as that type; the others as they are.

    Raises ``InputError`` with the option's name for a value of another type or range.
    """
    values = {
        name: convert(_TYPES[name], os.fspath(value) if isinstance(value, os.PathLike) else value, where, name)
        if name in _TYPES
        else value
        for name, value in options.items()
    }
    for name in _ABOVE_0:
        if (number := values.get(name)) is not None and not number > 0:
            raise InputError(f"{name} must be above 0, not {number}", where)
    return values


def tile_words(tile: int | str | Sequence[int]) -> str:
    """A tile's size, or its size and overlap, as the command line has them: ``"1024,256"``."""
    return ",".join(map(str, tile)) if isinstance(tile, (tuple, list)) else str(tile)


def open_by_keywords(weights: str | os.PathLike[str], **options: Any) -> BaseDetector:
    """See ``cornernet.load``."""
    name = os.fspath(weights)
    known: Sequence[str] = _OF_EXPORTED if name.lower().endswith(EXPORTED) else _OF_NETWORKS
    for option in options:
        if option not in known:
            kind = "an exported file" if known is _OF_EXPORTED else "weights"
            raise InputError(f"is no option of {kind}", option, nearest(option, known, f"there are {', '.join(known)}"))
    given = checked(options, "load")
    if known is _OF_EXPORTED:
        from cornernet.inference.exported import load_exported

        return load_exported(name, **given)
    from cornernet.inference.detector import load_detector

    tta, tile = given.pop("tta", None), given.pop("tile", None)
    if tta and ("flip" in given or "scales" in given):
        raise InputError("is flip and scales together", f"tta {tta}", "give one of them")
    if tta:
        given["flip"], given["scales"] = parse_tta(tta)
    if tile is not None:
        size, overlap = parse_tile(tile_words(tile))
        given |= {"tile": size, "tile_overlap": given.get("tile_overlap", overlap)}
    given["precision"] = parse_precision(given.get("precision", "fp32"))
    return load_detector(name, **given)
