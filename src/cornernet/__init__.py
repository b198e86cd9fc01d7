"""CornerNet: objects as pairs of keypoints (Law and Deng, ECCV 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cornernet.errors import CornerNetError, DivergedError, InputError, InterruptedRun
from cornernet.structures import Candidates, Detections

if TYPE_CHECKING:
    from cornernet.detector import Detector, load

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


def __getattr__(name: str) -> Any:
    """``load`` and ``Detector`` import torch, which takes seconds: on first use."""
    if name in ("load", "Detector"):
        from cornernet import detector

        return getattr(detector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
