"""Questions to packages, each in its own process: a package that crashes on import does not end the report."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

_SECONDS = 180


def ask(*words: str) -> dict[str, Any]:
    """The answer of ``_QUESTIONS[words[0]]``, or ``{"error": one line}``; never raises.

    This file is run by its path and without the current folder, which may contain another ``torch.py``.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", __file__, *words], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"error": " ".join(str(error).split())}
    if done.returncode < 0:
        return {"error": f"crashed with {signal.Signals(-done.returncode).name}"}
    with suppress(ValueError, IndexError):
        if isinstance(answer := json.loads(done.stdout.splitlines()[-1]), dict):
            return answer
    return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}


def _torch() -> dict[str, Any]:
    """Torch's build, its threads, its GPUs, and its warnings while it looked for them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import torch

        from cornernet.waiting import find_libgomp

        available = torch.cuda.is_available()
        devices = [_gpu(torch, i) for i in range(torch.cuda.device_count())] if available else []
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda or torch.version.hip,
        "threads": torch.get_num_threads(),
        "libgomp": find_libgomp() is not None,
        "devices": devices,
        "warnings": [" ".join(str(warning.message).split()) for warning in caught if "CUDA" in str(warning.message)],
    }


def _gpu(torch: Any, index: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": torch.cuda.get_device_name(index)}
    try:
        facts["free"], facts["total"] = torch.cuda.mem_get_info(index)
        torch.ones(8, device=f"cuda:{index}").sum().item()
    except RuntimeError as error:
        facts["error"] = str(error).splitlines()[0]
    return facts


def _package(name: str) -> dict[str, Any]:
    return {"version": getattr(import_module(name), "__version__", "")}


def _weights(source: str) -> dict[str, Any]:
    """Opens weights, if they need no download, and detects in a grey image."""
    import time

    import numpy as np

    from cornernet.errors import InputError
    from cornernet.files import cache_folder
    from cornernet.inference.detector import load_detector
    from cornernet.weights.zoo import find_release

    release = find_release(source)
    if release and not (cache_folder() / release.file).is_file():
        return {"absent": release.alias}
    try:
        detector = load_detector(source)
    except InputError as error:
        return {"error": str(InputError(error.what, error.where)), "fix": error.fix}
    image = np.full((256, 256, 3), 128, np.uint8)
    detector(image)
    start = time.perf_counter()
    detector(image)
    return {"classes": len(detector.class_names), "seconds": time.perf_counter() - start}


_QUESTIONS = {"torch": _torch, "package": _package, "weights": _weights}

if __name__ == "__main__":
    try:
        print(json.dumps(_QUESTIONS[sys.argv[1]](*sys.argv[2:])))
    except Exception as error:  # a broken package raises anything
        print(json.dumps({"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}))
