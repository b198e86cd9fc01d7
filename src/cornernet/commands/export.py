"""``cornernet export``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cornernet.commands import options
from cornernet.data.formats import Format
from cornernet.errors import InputError
from cornernet.tasks.detectors import EXPORTED
from cornernet.tasks.notices import report_dataset
from cornernet.tasks.progress import ProgressBar

if TYPE_CHECKING:
    from cornernet.export.quantize import Calibration

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}


def export(
    *,
    weights: options.Weights,
    format: Literal["onnx", "openvino", "pt2"] = "onnx",
    out: str | None = None,
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32",
    data: str | None = None,
    data_format: options.Format = None,
    split: str = "train",
    raw_maps: bool = False,
    opset: int = 18,
    overwrite: bool = False,
) -> None:
    """Write a trained network as one file that runs anywhere: pixels in, boxes out.

    Args:
        format: onnx for ONNX Runtime, TensorRT and others, openvino (.xml and .bin), or pt2 for torch.export.load.
        out: The file to write. Default: the name of the weights, in this folder.
        precision: Arithmetic of the network; fp16 is for GPUs, bf16 and int8 are for OpenVINO on CPUs. Pairing and
            soft-NMS are always in fp32.
        data: Data set whose images int8 is calibrated on, at most 300 of them: its folder, or its JSON or YAML file.
        split: Split to draw them from.
        raw_maps: Leave pairing and soft-NMS out: the outputs are the six maps.
        opset: Version of ONNX's operators, 18 to 20.
        overwrite: Write over a file that is there.
    """
    if weights.lower().endswith(EXPORTED):
        raise InputError("is an exported file already", weights, "give the weights it was made from")
    path = Path(out or f"{Path(weights).stem}{SUFFIXES[format]}")
    if path.suffix != SUFFIXES[format]:
        raise InputError(f"--format {format} writes a file whose name ends in {SUFFIXES[format]}", f"--out {out}")
    if precision in ("bf16", "int8") and format != "openvino":
        raise InputError(f"--format {format} has none", f"--precision {precision}", "give --format openvino")
    if precision == "int8" and data is None:
        raise InputError("is calibrated on images", "--precision int8", "name a data set of yours with --data")
    if data is not None and precision != "int8":
        raise InputError("is for --precision int8 alone", f"--data {data}", "leave it out, or give that too")
    targets = [path, path.with_suffix(".bin")] if format == "openvino" else [path]
    for target in targets:
        if target.exists() and not overwrite:
            raise InputError("is there already", target, "give another name with --out, or --overwrite")
    try:
        from cornernet.export.write import OPSETS, to_onnx, write_onnx, write_openvino, write_program
    except ImportError as error:
        raise InputError(f"needs {error.name}", "export", "pip install 'cornernet[export]' brings it") from None
    if precision == "int8" and find_spec("nncf") is None:
        raise InputError("int8 needs nncf", "export", "pip install 'cornernet[int8]' brings it")
    from cornernet.weights.zoo import open_weights

    if opset not in OPSETS:
        raise InputError(f"give one of {', '.join(map(str, OPSETS))}", f"--opset {opset}")

    stored = open_weights(weights, progress=ProgressBar("fetching", "B"))
    images = _calibration(data, data_format, split, stored.preprocessing.max_size) if data is not None else None
    print("exporting: takes about a minute", file=sys.stderr)
    if format == "pt2":
        least = write_program(path, stored, precision="fp16" if precision == "fp16" else "fp32", raw_maps=raw_maps)
        print(f"{path}: takes images of {least} pixels a side and more", file=sys.stderr)
    else:
        proto = to_onnx(stored, precision="fp32" if precision == "int8" else precision, raw_maps=raw_maps, opset=opset)
        write_onnx(path, proto) if format == "onnx" else write_openvino(path, proto, images)
    size = sum(target.stat().st_size for target in targets) / 1e6
    print(f"{' and '.join(map(str, targets))}: {size:.1f} MB, {len(stored.class_names)} classes, {precision}")


def _calibration(data: str, format: Format | None, split: str, max_size: int | None) -> Calibration:
    from cornernet.data.find import find_data, load_split
    from cornernet.export.quantize import Calibration

    dataset = load_split(find_data(data, format, option="--data-format"), split)
    report_dataset(dataset)
    return Calibration(dataset, max_size, progress=ProgressBar("calibrating"))
