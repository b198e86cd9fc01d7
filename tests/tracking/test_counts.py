"""Objects and crossings are counted once each, in the direction in which somebody looks at the line."""

from __future__ import annotations

import numpy as np
import pytest

from cornernet.errors import InputError
from cornernet.structures import Detections
from cornernet.tracking.byte_track import Track
from cornernet.tracking.counts import CountLine, TrackCounter
from cornernet.tracking.motion import BoxMotion

DOWN = CountLine(100, 0, 100, 200)  # who walks down the picture has its right side on the left hand


def count(line: CountLine, *ways: list[tuple[float, float]]):
    """The counts after objects of 20x20 pixels went along these ways."""
    counter, tracks = TrackCounter(line), [Track(0, BoxMotion(np.zeros(4)), number) for number, _ in enumerate(ways, 1)]
    for spots in zip(*ways, strict=True):
        boxes = [[x - 10, y - 10, x + 10, y + 10] for x, y in spots]
        counts = counter.add(Detections(boxes, [0.9] * len(boxes), [0] * len(boxes), ("cat",), (200, 200)), tracks)
    return counts.objects.get("cat", 0), counts.to_left.get("cat", 0), counts.to_right.get("cat", 0)


@pytest.mark.parametrize(
    ("way", "to_left", "to_right"),
    [
        ([(80, 50), (90, 50), (110, 50), (130, 50)], 1, 0),
        ([(130, 50), (110, 50), (90, 50), (80, 50)], 0, 1),
        ([(80, 50), (130, 60), (80, 70), (130, 80)], 2, 1),
        ([(80, 50), (100, 50), (100.5, 50), (99.5, 50), (100.5, 50), (100, 50), (80, 50)], 0, 0),
        ([(80, 50), (99.5, 50), (100.5, 50), (99.5, 50), (120, 50)], 1, 0),
        ([(80, 250), (130, 250)], 0, 0),  # past the end
        ([(80, 190), (120, 215)], 0, 0),
        ([(80, 180), (120, 190)], 1, 0),
        ([(80, 50), (80, 150)], 0, 0),
    ],
)
def test_crossings(way, to_left, to_right):
    assert count(DOWN, way) == (1, to_left, to_right)
    other_way = CountLine(DOWN.x2, DOWN.y2, DOWN.x1, DOWN.y1)
    assert count(other_way, way) == (1, to_right, to_left)


def test_a_slanted_line_and_two_objects():
    slanted = CountLine(0, 0, 200, 200)
    assert count(slanted, [(50, 100), (100, 50)], [(150, 100), (100, 150)]) == (2, 1, 1)


def test_a_line_beside_the_picture_is_refused():
    DOWN.check(200, 100)
    CountLine(-50, 100, 300, 100).check(200, 200)
    with pytest.raises(InputError, match="--count-line 100,0,100,200: lies outside the picture, which has 50x200 pix"):
        DOWN.check(200, 50)
