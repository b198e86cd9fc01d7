"""Detectors with the options of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from cornernet.devices import find_device
from cornernet.errors import InputError
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    import torch

    from cornernet.inference.api import BaseDetector
    from cornernet.inference.detector import Detector

TestTime = Literal["none", "flip", "multiscale"]
Arithmetic = Literal["fp32", "bf16", "fp16"]

MULTISCALE = (0.5, 0.75, 1.0, 1.25, 1.5)  # the authors' configuration
EXPORTED = (".onnx", ".xml")  # what cornernet export writes and load runs


def parse_tile(text: str | None) -> tuple[int, int] | tuple[None, None]:
    """``"1024"`` or ``"1024,256"`` as a tile's size and overlap in pixels; ``InputError`` if these make no tiles."""
    if text is None:
        return None, None
    from cornernet.inference.views import make_tiling

    try:
        tiling = make_tiling(*map(int, text.split(",")))
    except (TypeError, ValueError):
        raise InputError("give a size and an overlap in pixels, as 1024,256 or 1024 alone", f"--tile {text}") from None
    return tiling.size, tiling.overlap


def parse_tta(tta: TestTime) -> tuple[bool, tuple[float, ...]]:
    """Whether to detect in mirror images too, and the scales."""
    return tta != "none", MULTISCALE if tta == "multiscale" else (1.0,)


def parse_precision(precision: Arithmetic) -> torch.dtype | None:
    """The type that the network computes in; ``None`` is its own, float32."""
    import torch

    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def open_detector(
    weights: str,
    device: str | None,
    tta: TestTime,
    precision: Arithmetic,
    max_size: int | None,
    tile: str | None = None,
    *,
    threads: int | None = None,
) -> BaseDetector:
    """``cornernet.load`` with a command's options, for weights or an exported file, which cannot explain.

    ``threads`` are those of an exported file; weights compute with those of torch.
    Raises ``InputError`` for a device that cannot be used, and for an option that an exported file does not have.
    """
    if not weights.lower().endswith(EXPORTED):
        return open_network(weights, device, tta, precision, max_size, tile)
    from cornernet.inference.exported import load_exported

    given = {"--tta": tta != "none", "--precision": precision != "fp32", "--tile": tile is not None}
    for name in filter(given.get, given):
        what = f"{name} cannot be chosen for an exported file"
        raise InputError(what, weights, "use the weights it was made from")
    _check_max_size(max_size)
    return load_exported(weights, device=device, max_size=max_size, threads=threads)


def open_network(
    weights: str,
    device: str | None,
    tta: TestTime,
    precision: Arithmetic,
    max_size: int | None,
    tile: str | None = None,
) -> Detector:
    """``open_detector`` for weights only: commands that need the network."""
    _check_max_size(max_size)
    from cornernet.inference.detector import load_detector

    size, overlap = parse_tile(tile)
    flip, scales = parse_tta(tta)
    return load_detector(
        weights,
        device=find_device(device),
        flip=flip,
        scales=scales,
        max_size=max_size,
        tile=size,
        tile_overlap=overlap,
        precision=parse_precision(precision),
        progress=ProgressBar("fetching", "B"),
    )


def _check_max_size(max_size: int | None) -> None:
    if max_size is not None and max_size < 1:
        raise InputError("give a number of pixels above 0", f"--max-size {max_size}")
