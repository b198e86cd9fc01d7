"""CornerNet: objects as pairs of keypoints (Law and Deng, ECCV 2018)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cornernet.errors import CornerNetError, DivergedError, InputError, InterruptedRun

if TYPE_CHECKING:
    from cornernet.detector import Detector, load
    from cornernet.structures import Candidates, Detections

__all__ = [
    "Candidates",
    "CornerNetError",
    "Detections",
    "Detector",
    "DivergedError",
    "InputError",
    "InterruptedRun",
    "load",
]


_MODULES = {"Candidates": "structures", "Detections": "structures", "Detector": "detector", "load": "detector"}


def __getattr__(name: str) -> Any:
    """What needs numpy or torch, which take up to seconds to import: on first use."""
    if name in _MODULES:
        return getattr(import_module(f"cornernet.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
