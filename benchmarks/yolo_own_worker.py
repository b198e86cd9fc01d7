"""Times our detectors for ``yolo.py``: all engines in one process, in turns. Prints seconds as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import torch
from yolo_timing import time_in_turns

import cornernet


def main() -> None:
    """Run the job in the first argument."""
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    cv2.setNumThreads(job["threads"])
    folder, threads = Path(job["folder"]), job["threads"]
    whole: Any = {"device": "cpu", "max_size": max(job["sides"])}
    detectors: dict[str, Any] = {
        "torch-fp32": cornernet.load(job["weights"], **whole),
        "torch-bf16": cornernet.load(job["weights"], **whole, precision=torch.bfloat16),
    }
    for name in ("fp32.onnx", "fp32.xml", "bf16.xml", "int8.xml"):
        detectors[name] = cornernet.load(folder / name, **whole, threads=threads)
    print(json.dumps(time_in_turns(job, {f"{n} {side}": d for side in job["sides"] for n, d in detectors.items()})))


if __name__ == "__main__":
    main()
