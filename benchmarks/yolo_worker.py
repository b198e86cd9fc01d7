"""YOLOv5n (package yolov5, AGPL-3.0), exported and timed for ``yolo.py`` in its own environment, with its own python.

Letterbox, NMS, network and ONNX export are the package's. Prints seconds as JSON.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import openvino
import torch
import yolov5
from yolo_timing import time_in_turns
from yolov5.export import export_onnx
from yolov5.models.yolo import DetectionModel
from yolov5.utils.augmentations import letterbox
from yolov5.utils.general import non_max_suppression, scale_boxes


def load(job: dict[str, Any]) -> Any:
    """The network with batch normalisation folded, of ``job["peer_weights"]`` or of random weights."""
    if job["peer_weights"]:
        return yolov5.load(job["peer_weights"], device="cpu", autoshape=False).model.model.float().fuse().eval()
    torch.manual_seed(0)
    return DetectionModel(str(Path(yolov5.__path__[0]) / "models" / "yolov5n.yaml")).fuse().eval()


def export(job: dict[str, Any]) -> None:
    """``yolov5n-SIDE.onnx`` and ``.xml`` of each size of image, unless they are there."""
    model = load(job)
    head = model.model[-1]
    head.inplace, head.dynamic, head.export = False, False, True
    torch.onnx.export = functools.partial(torch.onnx.export, dynamo=False)  # the exporter that yolov5 was made for
    for side in job["sides"]:
        path = Path(job["folder"]) / f"yolov5n-{side}.pt"
        if not path.with_suffix(".xml").is_file():
            images = torch.zeros(1, 3, side, side)
            model(images)
            export_onnx(model, images, path, 17, False, False)
            openvino.save_model(
                openvino.convert_model(path.with_suffix(".onnx")), path.with_suffix(".xml"), compress_to_fp16=False
            )


def detector(run: Callable[[np.ndarray], Any]) -> Callable[[Any], object]:
    """From an image (H, W, 3) RGB to boxes, as the package's ``detect.py``; ``run`` maps (1, 3, H, W) to candidates."""

    def detect(pixels: Any) -> object:
        squared, _, _ = letterbox(pixels, max(pixels.shape[:2]), auto=False)
        images = np.ascontiguousarray(squared.transpose(2, 0, 1)[None], dtype=np.float32) / 255
        found = non_max_suppression(torch.as_tensor(run(images)))[0]
        found[:, :4] = scale_boxes(images.shape[2:], found[:, :4], pixels.shape).round()
        return found

    return detect


def detectors(job: dict[str, Any]) -> dict[str, Callable[[Any], object]]:
    """Every engine for every size of image."""
    model, found = load(job).to(memory_format=torch.channels_last), {}

    def in_torch(images: np.ndarray, bf16: bool) -> Any:
        tensor = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(tensor)[0].float()

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    for side in job["sides"]:
        path = Path(job["folder"]) / f"yolov5n-{side}.onnx"
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        found[f"torch-fp32 {side}"] = detector(functools.partial(in_torch, bf16=False))
        found[f"torch-bf16 {side}"] = detector(functools.partial(in_torch, bf16=True))
        found[f"{side}.onnx {side}"] = detector(lambda images, run=session.run: run(None, {"images": images})[0])
        for hint, name in (("f32", f"{side}.xml"), ("bf16", f"{side}.xml, bf16")):
            settings = {"INFERENCE_NUM_THREADS": job["threads"], "INFERENCE_PRECISION_HINT": hint}
            settings["ENABLE_CPU_PINNING"] = False
            compiled = openvino.Core().compile_model(path.with_suffix(".xml"), "CPU", settings)
            found[f"{name} {side}"] = detector(lambda images, run=compiled: run(images)[0])
    return found


def main() -> None:
    """Run the job in the first argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(job["threads"])
    if job["task"] == "export":
        export(job)
        print("{}")
    else:
        print(json.dumps(time_in_turns(job, detectors(job))))


if __name__ == "__main__":
    main()
