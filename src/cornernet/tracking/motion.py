"""Where a box will be: a Kalman filter with constant velocity for each of its numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_POSITION, _VELOCITY = (
    1 / 20,
    1 / 160,
)  # standard deviations in a frame, in units of the box's sides (Wojke et al. 2017)
_LEAST = 1e-3  # pixels: sides that shrink at a constant speed would become negative

Numbers = NDArray[np.float64]


class BoxMotion:
    """The centre and the sides of one box, their velocities, and how uncertain both are.

    Centre and sides move independently of each other, so the filter of eight numbers is four filters of two: a
    position and a velocity each. ``state`` (2, 4) has positions (centre x, centre y, width, height; pixels) and
    velocities (pixels a frame). The deviations are those of SORT's successors, with the width in place of the shape.
    """

    def __init__(self, box: Numbers) -> None:
        place = _centred(box)
        self.state = np.stack([place, np.zeros(4)])
        scale = _scale(place)
        self.variance = np.stack([(2 * _POSITION * scale) ** 2, np.zeros(4), (10 * _VELOCITY * scale) ** 2])

    @property
    def box(self) -> Numbers:
        """(4,) x1 y1 x2 y2; its sides never vanish."""
        centre, half = self.state[0, :2], np.maximum(self.state[0, 2:], _LEAST) / 2
        return np.concatenate([centre - half, centre + half])

    def predict(self, frames: float, *, is_seen: bool = True) -> None:
        """Go on by ``frames``, also parts of them. A box that is not seen keeps its size."""
        if not is_seen:
            self.state[1, 2:] = 0
        scale = _scale(self.state[0])
        self.state[0] += frames * self.state[1]
        place, joint, speed = self.variance
        place = place + 2 * frames * joint + frames**2 * speed + frames * (_POSITION * scale) ** 2
        self.variance = np.stack([place, joint + frames * speed, speed + frames * (_VELOCITY * scale) ** 2])

    def correct(self, box: Numbers) -> None:
        """Take in where the box was seen."""
        place, joint, speed = self.variance
        gain = np.stack([place, joint]) / (place + (_POSITION * _scale(self.state[0])) ** 2)
        self.state += gain * (_centred(box) - self.state[0])
        self.variance = np.stack([(1 - gain[0]) * place, (1 - gain[0]) * joint, speed - gain[1] * joint])


def _centred(box: Numbers) -> Numbers:
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])


def _scale(place: Numbers) -> Numbers:
    """(4,) the box's width and height, twice, at least a pixel."""
    return np.tile(np.maximum(place[2:], 1), 2)
