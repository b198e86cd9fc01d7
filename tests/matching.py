"""Detections compared one to one."""

import numpy as np

from cornernet.structures import Detections


def assert_same(found: Detections, expected: Detections, *, box: float = 0.05, score: float = 1e-4) -> None:
    """As many, each with one of its class, score and box (in pixels), whatever the order of near-equal scores."""
    assert len(found) == len(expected)
    assert found.image_size == expected.image_size
    free = np.ones(len(found), bool)
    for b, s, label in zip(expected.boxes, expected.scores, expected.labels, strict=True):
        fits = free & (found.labels == label) & (np.abs(found.scores - s) < score)
        fits &= np.abs(found.boxes - b).max(axis=1) < box
        assert fits.any(), (b, s, label)
        free[np.flatnonzero(fits)[0]] = False
