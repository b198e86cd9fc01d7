"""Open exported files as functions of arrays, with ONNX Runtime or OpenVINO. It does not need torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from cornernet.errors import InputError
from cornernet.inference.metadata import KEY, ExportMetadata, read_metadata

Run = Callable[[np.ndarray], list[np.ndarray]]  # uint8 (B, 3, H, W) to the file's outputs


def open_onnx(path: Path, device: str | None, threads: int | None) -> tuple[ExportMetadata, Run]:
    """An ONNX file in ONNX Runtime; on the GPU if onnxruntime-gpu finds one, unless ``device`` is cpu."""
    ort = _import("onnxruntime", path)
    gpu = "CUDAExecutionProvider" in ort.get_available_providers()
    if device not in (None, "cpu", "cuda") or (device == "cuda" and not gpu):
        fix = "give cpu, or install onnxruntime-gpu"
        raise InputError("not usable with this onnxruntime", f"--device {device}", fix)
    options = ort.SessionOptions()
    options.log_severity_level = 3  # errors only
    options.intra_op_num_threads = threads or 0
    if os.environ.get("OMP_WAIT_POLICY", "").upper() != "ACTIVE":
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # docs/benchmarks.md
    providers = ["CUDAExecutionProvider"] if gpu and device != "cpu" else []
    try:
        session = ort.InferenceSession(path, options, providers=[*providers, "CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each fault
        raise _damaged(path, error) from None
    facts = read_metadata(session.get_modelmeta().custom_metadata_map.get(KEY), str(path))
    return facts, lambda images: session.run(None, {"images": images})


def open_openvino(path: Path, device: str | None, threads: int | None) -> tuple[ExportMetadata, Run]:
    """An OpenVINO file (.xml with .bin beside it), on the CPU unless ``device`` is another of OpenVINO's."""
    openvino = _import("openvino", path)
    core, place = openvino.Core(), (device or "cpu").upper()
    if place.split(".")[0] not in {name.split(".")[0] for name in core.available_devices}:
        fix = f"give {', '.join(core.available_devices)}"
        raise InputError("not usable with OpenVINO here", f"--device {device}", fix)
    if not path.with_suffix(".bin").is_file():
        raise InputError(f"its weights, {path.with_suffix('.bin').name}, are not beside it", path, "copy both files")
    settings: dict[str, Any] = {}
    if place == "CPU":
        settings["ENABLE_CPU_PINNING"] = False  # a pinned thread waits for a busy core
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
    try:
        model = core.read_model(path)
        facts = read_metadata(model.get_rt_info(KEY).astype(str) if model.has_rt_info(KEY) else None, str(path))
        # By default OpenVINO uses bfloat16 if the processor has it, except after the last convolution.
        settings["INFERENCE_PRECISION_HINT"] = "bf16" if facts.precision == "bf16" else "f32"
        compiled = core.compile_model(model, place, settings)
    except RuntimeError as error:
        raise _damaged(path, error) from None

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = compiled(images)
        return [found[output] for output in compiled.outputs]

    return facts, run


def _import(package: str, path: Path) -> Any:
    try:
        return import_module(package)
    except ImportError:
        raise InputError(f"needs {package}", path, f"pip install {package} brings it") from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(f"not a whole exported file ({reason})", path, "export the weights anew")
