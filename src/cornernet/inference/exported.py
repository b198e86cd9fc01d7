"""An exported file behind the interface of ``detector.Detector``, without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL.Image import Image

from cornernet.errors import InputError
from cornernet.inference.batching import group_neighbours
from cornernet.inference.engines import Run, open_onnx, open_openvino
from cornernet.inference.metadata import ExportMetadata
from cornernet.media.images import read_image, require_memory, shrink, to_rgb
from cornernet.structures import Detections

ENGINES = {".onnx": open_onnx, ".xml": open_openvino}


class ExportedDetector:
    """Call it with images, as a ``Detector``. ``max_size`` scales larger images down, by default as in training."""

    def __init__(self, facts: ExportMetadata, run: Run, *, max_size: int | None = None) -> None:
        self.class_names, self.threshold, self.preprocessing = facts.class_names, facts.threshold, facts.preprocessing
        self.facts, self.run, self.max_size = facts, run, max_size or facts.preprocessing.max_size

    @overload
    def __call__(self, images: list[Any]) -> list[Detections]: ...
    @overload
    def __call__(self, images: str | os.PathLike[str] | np.ndarray | Image) -> Detections: ...
    def __call__(self, images: Any) -> Any:
        """Detections of one image, or a list of them for a list: paths, PIL images or arrays, as in ``Detector``."""
        if isinstance(images, list):
            return list(self.stream(images))
        return next(self.stream([images]))

    def stream(self, images: Iterable[Any], batch_size: int = 1) -> Iterator[Detections]:
        """Detections one after another, for any number of images; neighbours of one size share a batch."""
        for batch in group_neighbours(map(self._shrunk, images), batch_size, lambda each: each[0].shape):
            yield from self._detect(batch)

    def explain(self, image: Any) -> Any:
        """Always raises ``InputError``: an exported file gives boxes and no heatmaps."""
        fix = "use the weights it was made from"
        raise InputError("an exported file gives boxes and no heatmaps", fix=fix)

    def _shrunk(self, item: Any) -> tuple[np.ndarray, float, tuple[int, int]]:
        """An image's pixels as the file gets them, their scale, and the image's (height, width)."""
        image = read_image(item) if isinstance(item, (str, os.PathLike)) else to_rgb(item)
        return *shrink(image, self.max_size), image.shape[:2]

    def _detect(self, batch: list[tuple[np.ndarray, float, tuple[int, int]]]) -> Iterator[Detections]:
        height, width = batch[0][0].shape[:2]
        if max(height, width) > self.facts.largest_side:
            raise InputError(
                f"{height}x{width} pixels (height x width) are more than the {self.facts.largest_side} a side"
                " that an exported file takes",
                "image",
                "scale it down with --max-size",
            )
        padded = self.preprocessing.padded_size(height, width)
        require_memory(*padded, self.facts.bytes_per_pixel * len(batch), "image")
        pixels = np.stack([image for image, _, _ in batch]).transpose(0, 3, 1, 2)
        results = zip(batch, *self.run(np.ascontiguousarray(pixels)), strict=True)
        for (_, scale, size), boxes, scores, labels, count in results:
            limits = np.array([size[1], size[0], size[1], size[0]], np.float32)
            inside = (boxes[:count] / np.float32(scale)).clip(0, limits)
            yield Detections(inside, scores[:count], labels[:count], self.class_names, size)


def load_exported(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    max_size: int | None = None,
    threads: int | None = None,
) -> ExportedDetector:
    """An ``ExportedDetector`` from a file that ``cornernet export`` wrote, on ``threads`` threads (default: all cores).

    Raises ``InputError`` if the file is missing, damaged, not ours, of another format version or has only maps, and if
    the package that runs it is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", path, "cornernet export writes it")
    facts, run = ENGINES[path.suffix.lower()](path, device, threads)
    if facts.outputs != "detections":
        raise InputError("holds raw maps and gives no boxes", path, "export it without --raw-maps")
    return ExportedDetector(facts, run, max_size=max_size)
