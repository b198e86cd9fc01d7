"""A detector that runs an exported file, without torch."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cornernet.errors import InputError
from cornernet.inference.api import AnyImage, BaseDetector, all_pixels, group_neighbours
from cornernet.inference.engines import Run, open_onnx, open_openvino
from cornernet.inference.metadata import ExportMetadata
from cornernet.media.images import Pixels, require_memory
from cornernet.media.scaling import shrink, shrunk_size
from cornernet.structures import Detections, Explanation

ENGINES = {".onnx": open_onnx, ".xml": open_openvino}


class ExportedDetector(BaseDetector):
    """Call it with images, as a ``Detector``. ``max_size`` scales larger images down, by default as in training."""

    can_explain = False

    def __init__(
        self, facts: ExportMetadata, run: Run, *, max_size: int | None = None, threshold: float | None = None
    ) -> None:
        self.class_names, self.preprocessing = facts.class_names, facts.preprocessing
        self.threshold = facts.threshold if threshold is None else threshold
        self.facts, self.run, self.decoding = facts, run, facts.decoding
        self.max_size = facts.preprocessing.max_size if max_size is None else max_size

    def stream(
        self, images: Iterable[AnyImage], batch_size: int = 1, *, min_score: float = 0.0
    ) -> Iterator[Detections]:
        """Detections one after another, for any number of images; neighbours of one size share a batch.

        Detections below ``min_score`` are left out.
        """
        for batch in group_neighbours(all_pixels(images), batch_size, self.pass_key):
            for found in self._detect(batch):
                yield found.above(min_score)

    def explain(self, image: AnyImage) -> Explanation:
        """Always raises ``InputError``: an exported file gives boxes and no heatmaps."""
        raise InputError("an exported file gives boxes and no heatmaps", fix="use the weights it was made from")

    def pass_key(self, image: Pixels) -> Hashable:
        """The image's (height, width) after it was scaled down: an exported file takes images of one size."""
        return shrunk_size(image.shape[0], image.shape[1], self.max_size)

    def _detect(self, images: Sequence[Pixels]) -> Iterator[Detections]:
        small, shrunk = zip(*(shrink(image, self.max_size) for image in images), strict=True)
        height, width = small[0].shape[:2]
        if max(height, width) > self.facts.largest_side:
            size = f"{height}x{width} pixels (height x width)"
            what = f"{size} are more than the {self.facts.largest_side} a side that an exported file takes"
            raise InputError(what, "image", "scale it down with --max-size")
        padded = self.preprocessing.padded_size(height, width)
        require_memory(*padded, self.facts.bytes_per_pixel * len(images), "image")
        pixels = np.stack(small).transpose(0, 3, 1, 2)
        results = zip(images, shrunk, *self.run(np.ascontiguousarray(pixels)), strict=True)
        for image, scale, boxes, scores, labels, count in results:
            height, width = image.shape[:2]
            limits = np.array([width, height, width, height], np.float32)
            inside = (boxes[:count] / np.float32(scale)).clip(0, limits)
            yield Detections(inside, scores[:count], labels[:count], self.class_names, (height, width))


def load_exported(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    max_size: int | None = None,
    threads: int | None = None,
    threshold: float | None = None,
) -> ExportedDetector:
    """An ``ExportedDetector`` from a file that ``cornernet export`` wrote, on ``threads`` threads (default: all cores).

    ``threshold`` replaces the file's own.

    Raises ``InputError`` if the file is missing, damaged, not ours, of another format version or has only maps, and if
    the package that runs it is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", path, "cornernet export writes it")
    facts, run = ENGINES[path.suffix.lower()](path, device, threads)
    if facts.outputs != "detections":
        raise InputError("holds raw maps and gives no boxes", path, "export it without --raw-maps")
    return ExportedDetector(facts, run, max_size=max_size, threshold=threshold)
