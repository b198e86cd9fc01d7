"""An OpenVINO model's convolutions in int8, calibrated on images (post-training quantisation).

Only the network's convolutions and the additions to their results are quantised. The heatmaps' last convolution,
everything after it, and the branches for pairing values and offsets stay in float32: scores of 0.001 count, and a box
is only as exact as its offsets.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import nncf
import numpy as np
import openvino

from cornernet.data.dataset import CocoDataset
from cornernet.errors import InputError
from cornernet.media.images import Pixels
from cornernet.media.scaling import shrink

MOST_IMAGES = 300  # more images hardly change the ranges
_IN_INT8 = {"Convolution", "Add", "Interpolate"}  # not Maximum: corner pooling would round in each step


class Calibration:
    """Up to ``count`` evenly spaced images of a data set as input of the exported file: uint8 (1, 3, H, W) RGB."""

    def __init__(
        self,
        dataset: CocoDataset,
        max_size: int | None,
        *,
        count: int = MOST_IMAGES,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if not dataset.images:
            raise InputError(f"no image to calibrate on in {dataset.name}", dataset.json_path, "choose another split")
        count = min(count, len(dataset.images))
        self.records = [dataset.images[i * len(dataset.images) // count] for i in range(count)]
        self.max_size, self.progress = max_size, progress

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Pixels]:
        for done, record in enumerate(self.records, start=1):
            pixels, _ = shrink(record.read(), self.max_size)
            yield np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
            if self.progress:
                self.progress(done, len(self.records))


def quantize(model: openvino.Model, images: Calibration) -> openvino.Model:
    """``model``, a graph of ``export.graph`` read from ONNX, with its network in int8."""
    model = model.clone()  # a clone has no unused nodes, which the ONNX reader leaves and nncf cannot read
    kept = nncf.IgnoredScope(names=float_operations(model))
    with _quiet():
        return nncf.quantize(model, nncf.Dataset(images), subset_size=len(images), ignored_scope=kept)


def float_operations(model: openvino.Model) -> list[str]:
    """Names of the operations that stay in float32."""
    operations = model.get_ordered_ops()
    convolutions = [each for each in operations if each.get_type_name() == "Convolution"]
    inner = _before(convolutions)
    last = [each for each in convolutions if each.get_name() not in inner]
    raw = _before(output.node for output in model.outputs if output.any_name.endswith("heatmap"))
    if raw:  # other maps' convolutions are last too
        last = [each for each in last if each.get_name() in raw]
    network = _before(last)
    return [
        each.get_friendly_name()
        for each in operations
        if each.get_name() not in network or each.get_type_name() not in _IN_INT8
    ]


def _before(operations: Iterable[Any]) -> set[str]:
    """Names of all operations that are inputs of these, directly or not."""
    found: set[str] = set()
    waiting = list(operations)
    while waiting:
        for source in waiting.pop().input_values():
            node = source.get_node()
            if node.get_name() not in found:
                found.add(node.get_name())
                waiting.append(node)
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off nncf's messages and progress bars on standard output."""
    level = logging.getLogger("nncf").level
    nncf.set_log_level(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        nncf.set_log_level(level)
