"""cornernet and mmdetection's CornerNet side by side on the CPU: a training iteration, and detecting in one image.

Both have the network, batch, crop, optimiser and threads of recipe deeppcb-small, weights from scratch, and read
their batches from the same folder in the training process. Each measurement is a process of its own, nothing else
runs meanwhile, and the candidates take turns, round after round. The peer is timed in both memory layouts; the
faster one counts. Close other programs first: what else runs is measured too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from cornernet.data.coco import find_split
from cornernet.errors import InputError
from cornernet.files import atomic_write_json
from cornernet.recipe import load_recipe

RECIPE, WARMUP = "deeppcb-small", 3
HERE = Path(__file__).parent
OWN, PEER = ("32-true", "bf16-mixed"), ("contiguous", "channels_last")
TITLES = {
    "32-true": "cornernet, float32",
    "bf16-mixed": "cornernet, bfloat16",
    "contiguous": "mmdetection, float32",
    "channels_last": "mmdetection, float32, channels-last",
}
OWN_VERSIONS = ("torch", "lightning", "numpy")
PEER_VERSIONS = ("torch", "mmdet", "mmcv", "mmengine", "numpy")
PEER_HINT = "make an environment with mmdet 3.3.0, mmcv 2.1.0 (with its compiled operators) and mmengine 0.10.7"


def cpu_model() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def run(command: list[str], threads: int) -> Any:
    """The JSON in the last line that a command prints; ``InputError`` with the end of its errors where it fails."""
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise InputError(f"{' '.join(command[:2])} failed ({done.returncode}):\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    """Versions of packages in a python's environment, all of which must import."""
    code = f"import json; from importlib import import_module as i; print(json.dumps({{n: i(n).__version__ for n in {names!r}}}))"  # noqa: E501
    return {"python": platform.python_version() if python == sys.executable else _python(python)} | run(
        [python, "-c", code], 1
    )
