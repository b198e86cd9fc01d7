"""Write weights as files that run without this program: ONNX, OpenVINO (from ONNX), PyTorch's exported programs."""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch.export import Dim
from torch.fx import GraphModule

from cornernet.errors import InputError
from cornernet.export.corner_pool_onnx import LONGEST, corner_pool_onnx
from cornernet.export.graph import BoxesGraph, MapsGraph
from cornernet.files import atomic_write
from cornernet.inference.metadata import KEY, ExportMetadata, read_metadata
from cornernet.model.corner_pool import cummax_pool
from cornernet.model.fuse import fuse
from cornernet.weights.store import Weights

if TYPE_CHECKING:
    from cornernet.export.quantize import Calibration

OPSETS = 18, 19, 20
_EXAMPLE = torch.zeros((2, 3, 192, 320), dtype=torch.uint8)
_POOL = torch.ops.cornernet.corner_pool.default
_LARGEST = 2**31 - 1  # bytes of one protobuf message


def to_onnx(
    weights: Weights, *, precision: Literal["fp32", "fp16", "bf16"] = "fp32", raw_maps: bool = False, opset: int = 18
) -> onnx.ModelProto:
    """One self-contained model of standard operators: ``export.graph.BoxesGraph``, or with ``raw_maps`` ``MapsGraph``.

    With ``fp16`` the network computes in float16; heatmaps, pairing and soft-NMS stay in float32. ``bf16`` gives the
    model of ``fp32``; its metadata ask for bfloat16, which only OpenVINO uses. The metadata are an ``ExportMetadata``.
    ``opset`` is one of ``OPSETS``. Raises ``InputError`` for weights that do not fit their network or exceed 2 GiB.
    """
    graph, facts = _graph(weights, precision, raw_maps)
    with _quiet():
        program = torch.onnx.export(
            graph,
            (_EXAMPLE,),
            dynamo=True,
            opset_version=opset,
            input_names=["images"],
            output_names=list(graph.outputs),
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            custom_translation_table={_POOL: corner_pool_onnx},
            verbose=False,
        )
    assert program is not None
    ClearMetadataAndDocStringPass()(program.model)  # stack traces have this machine's paths
    proto = program.model_proto
    onnx.helper.set_model_props(proto, {KEY: facts.to_json()})
    if proto.ByteSize() > _LARGEST:
        raise InputError("the network is above 2 GiB, more than one ONNX file holds", fix="use --precision fp16")
    return proto


def write_program(
    path: Path, weights: Weights, *, precision: Literal["fp32", "fp16"] = "fp32", raw_maps: bool = False
) -> int:
    """Write one program of PyTorch's own operators for ``torch.export.load``, completely or not at all.

    Its extra file ``cornernet`` is the ``ExportMetadata``. Returns the shortest side of an image, in pixels, that the
    program takes: PyTorch's exporter needs at least two cells on the innermost map.
    """
    graph, facts = _graph(weights, precision, raw_maps)
    with _quiet():
        sizes = dict.fromkeys((0, 2, 3), Dim.DYNAMIC)
        program = torch.export.export(graph, (_EXAMPLE,), dynamic_shapes=(sizes,))
        program = program.run_decompositions({_POOL: cummax_pool})
        for part in program.graph_module.modules():
            for node in part.graph.nodes if isinstance(part, GraphModule) else ():
                node.meta.pop("stack_trace", None)  # has this machine's paths
        content = io.BytesIO()
        torch.export.save(program, content, extra_files={KEY: facts.to_json()})
    atomic_write(path, content.getvalue())
    return max(int(limits.lower) for limits in program.range_constraints.values())


def write_onnx(path: Path, proto: onnx.ModelProto) -> None:
    """Write one file, completely or not at all."""
    atomic_write(path, proto.SerializeToString())


def write_openvino(path: Path, proto: onnx.ModelProto, images: Calibration | None = None) -> None:
    """Write OpenVINO's two files: ``path``, .xml, and its weights, .bin, in the same folder.

    With ``images`` the network is in int8 (``export.quantize``).
    """
    import openvino

    facts = next(p.value for p in proto.metadata_props if p.key == KEY)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "model.xml"
        model = openvino.Core().read_model(proto.SerializeToString(), b"")
        if images is not None:
            from cornernet.export.quantize import quantize

            model = quantize(model, images)
            facts = replace(read_metadata(facts, str(path)), precision="int8").to_json()
        model.set_rt_info(facts, KEY)
        openvino.save_model(model, made, compress_to_fp16=False)
        atomic_write(path.with_suffix(".bin"), made.with_suffix(".bin").read_bytes())
        atomic_write(path, made.read_bytes())


def _graph(
    weights: Weights, precision: Literal["fp32", "fp16", "bf16"], raw_maps: bool
) -> tuple[MapsGraph | BoxesGraph, ExportMetadata]:
    """The module that exporters trace, and the metadata of the file."""
    model = weights.build()
    facts = ExportMetadata(
        tuple(weights.class_names),
        weights.threshold,
        weights.preprocessing,
        weights.decoding,
        precision,
        "maps" if raw_maps else "detections",
        LONGEST * model.backbone.stride - (weights.preprocessing.pad_multiple or weights.preprocessing.pad_mask),
        model.bytes_per_pixel,
    )
    model = fuse(model, torch.float16 if precision == "fp16" else torch.float32, portable=True)
    if raw_maps:
        return MapsGraph(model, weights.preprocessing).eval(), facts
    return BoxesGraph(model, weights.preprocessing, weights.decoding).eval(), facts


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch off the exporter's warnings about torchvision and about its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
