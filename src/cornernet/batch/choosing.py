"""The detector of a job, tried on this machine before others open it."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from cornernet.batch.detector_choice import DetectorChoice
from cornernet.batch.weights_files import read_weights_files
from cornernet.errors import InputError
from cornernet.tasks.detectors import EXPORTED, Arithmetic, TestTime, open_detector

if TYPE_CHECKING:
    from cornernet.inference.api import BaseDetector


def choose_detector(
    weights: str,
    *,
    device: str | None = None,
    tta: TestTime = "none",
    precision: Arithmetic = "fp32",
    max_size: int | None = None,
    tile: str | None = None,
    batch_size: int = 1,
    threshold: float | None = None,
) -> tuple[DetectorChoice, BaseDetector]:
    """The choice, with the weights' content, and the detector that was opened to try it.

    ``threshold`` is by default that of the weights. A device of ``""`` in the choice is left to the cluster. Raises
    ``InputError`` for whatever a detector cannot be opened with.
    """
    if batch_size < 1:
        raise InputError("give a number above 0", f"--batch-size {batch_size}")
    exported = weights.lower().endswith(EXPORTED)
    detector = open_detector(weights, None if exported else "cpu", tta, precision, max_size, tile)
    choice = DetectorChoice(
        files=read_weights_files(weights),
        device=device or ("cpu" if exported else ""),
        tta=tta,
        precision=precision,
        max_size=max_size,
        tile=tile,
        threshold=detector.threshold if threshold is None else threshold,
        batch_size=batch_size,
        version=version("cornernet"),
    )
    return choice, detector
