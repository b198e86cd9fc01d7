"""CornerNet: objects as pairs of keypoints (Law and Deng, ECCV 2018)."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cornernet.errors import CornerNetError, DivergedError, InputError, InterruptedRun
from cornernet.telemetry import disable_telemetry
from cornernet.waiting import limit_spinning

if TYPE_CHECKING:
    from cornernet.inference.detector import Detector
    from cornernet.inference.exported import ExportedDetector
    from cornernet.structures import Candidates, Detections

__all__ = [
    "Candidates",
    "CornerNetError",
    "Detections",
    "Detector",
    "DivergedError",
    "ExportedDetector",
    "InputError",
    "InterruptedRun",
    "load",
]

_MODULES = {
    "Candidates": "structures",
    "Detections": "structures",
    "Detector": "inference.detector",
    "ExportedDetector": "inference.exported",
}

limit_spinning()  # before torch is loaded
disable_telemetry()  # before OpenVINO is loaded


def load(weights: str | os.PathLike[str] = "photos", **options: Any) -> Detector | ExportedDetector:
    """A detector from a weights file of any dialect, a name, or a file that ``cornernet export`` wrote.

    Names: ``photos`` and ``shapes`` are bundled, a release is fetched on first use.
    ``options`` are those of ``inference.detector.load_detector``. An exported file (.onnx, .xml) runs without torch
    and takes those of ``inference.exported.load_exported``. Raises ``InputError`` if the file is absent, damaged or
    something else.
    """
    exported = os.fspath(weights).lower().endswith((".onnx", ".xml"))
    module, function = ("inference.exported", "load_exported") if exported else ("inference.detector", "load_detector")
    return getattr(import_module(f"cornernet.{module}"), function)(weights, **options)


def __getattr__(name: str) -> Any:
    """Import numpy and torch only on first use: that takes seconds."""
    if name in _MODULES:
        return getattr(import_module(f"cornernet.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
