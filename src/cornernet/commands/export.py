"""``cornernet export``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from cornernet.commands.common import EXPORTED, Bar
from cornernet.errors import InputError

SUFFIXES = dict(zip(("onnx", "openvino"), EXPORTED, strict=True))


def export(
    *,
    weights: str,
    format: Literal["onnx", "openvino"] = "onnx",
    out: str | None = None,
    precision: Literal["fp32", "fp16"] = "fp32",
    raw_maps: bool = False,
    opset: int = 18,
    overwrite: bool = False,
) -> None:
    """Write a trained network as one file that runs anywhere: pixels in, boxes out.

    Args:
        weights: Weights file of any dialect, shapes (bundled), or the name of a release, fetched on first use.
        format: onnx for ONNX Runtime, TensorRT and others, or openvino (.xml and .bin).
        out: The file to write. Default: the name of the weights, in this folder.
        precision: Arithmetic of the network; fp16 is for GPUs. Pairing and soft-NMS are always in fp32.
        raw_maps: Leave pairing and soft-NMS out: the outputs are the six maps.
        opset: Version of ONNX's operators, 18 to 20.
        overwrite: Write over a file that is there.
    """
    if weights.lower().endswith(EXPORTED):
        raise InputError(f"{weights}: is an exported file already; give the weights it was made from")
    path = Path(out or f"{Path(weights).stem}{SUFFIXES[format]}")
    if path.suffix != SUFFIXES[format]:
        raise InputError(f"--out {out}: --format {format} writes a file whose name ends in {SUFFIXES[format]}")
    targets = [path] if format == "onnx" else [path, path.with_suffix(".bin")]
    for target in targets:
        if target.exists() and not overwrite:
            raise InputError(f"{target}: is there already; give another name with --out, or --overwrite")
    try:
        from cornernet.export.write import OPSETS, to_onnx, write_onnx, write_openvino
    except ImportError as error:
        raise InputError(f"export: needs {error.name}; pip install 'cornernet[export]' brings it") from None
    from cornernet.weights.zoo import open_weights

    if opset not in OPSETS:
        raise InputError(f"--opset {opset}: give one of {', '.join(map(str, OPSETS))}")

    stored = open_weights(weights, progress=Bar("fetching", "B"))
    print("exporting: takes about a minute", file=sys.stderr)
    proto = to_onnx(stored, precision=precision, raw_maps=raw_maps, opset=opset)
    (write_onnx if format == "onnx" else write_openvino)(path, proto)
    size = sum(target.stat().st_size for target in targets) / 1e6
    print(f"{' and '.join(map(str, targets))}: {size:.1f} MB, {len(stored.class_names)} classes, {precision}")
