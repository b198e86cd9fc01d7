"""Weights as bytes, to be opened on other machines."""

from __future__ import annotations

from pathlib import Path

from cornernet.tasks.detectors import EXPORTED
from cornernet.weights.zoo import find_weights_file


def read_weights_files(weights: str) -> tuple[tuple[str, bytes], ...]:
    """Names and content of the files of weights, the first is the one to open. Raises as `find_weights_file`."""
    if weights.lower().endswith(EXPORTED):
        path = Path(weights)
        beside = [path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else []
        return tuple((each.name, each.read_bytes()) for each in (path, *beside))
    path = find_weights_file(weights)
    return ((path.name, path.read_bytes()),)
