"""The drawn videos of the tracking benchmark: their truth is that of their pixels, and perfect boxes are followed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cornernet.data.shapes import CLASS_NAMES
from cornernet.structures import Detections

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)
from moving_shapes import draw_video  # noqa: E402
from track import no_tracking, track  # noqa: E402

sys.path.remove(BENCHMARKS)  # it has names of tests' folders


@pytest.fixture(scope="module")
def video():
    return list(draw_video(0, 60, objects=6))


def test_frames_are_the_same_each_time_and_move(video):
    again = next(draw_video(0, 60, objects=6))
    assert np.array_equal(again.boxes, video[0].boxes)
    assert video[0].image.shape == (320, 320, 3)
    assert video[0].image.dtype == np.uint8
    both = sorted({*video[0].numbers} & {*video[9].numbers})
    assert len(both) > 2
    moved = [video[9].boxes[video[9].numbers == n] - video[0].boxes[video[0].numbers == n] for n in both]
    assert all(np.abs(each).max() > 3 for each in moved)


def test_boxes_lie_where_the_objects_are(video):
    """Between two frames, pixels change a lot only in and near the boxes."""
    changes = np.abs(video[30].image.astype(int) - video[27].image).max(axis=2) > 60
    near = np.zeros_like(changes)
    for frame in (video[27], video[30]):
        for x1, y1, x2, y2 in frame.boxes.astype(int):
            near[max(0, y1 - 2) : y2 + 2, max(0, x1 - 2) : x2 + 2] = True
    assert changes[near].sum() > 20 * changes[~near].sum()


def test_perfect_boxes_are_followed_better_than_by_the_last_frame():
    video, found = list(draw_video(1, 100, objects=12)), []
    for frame in video:
        scores = np.full(len(frame.boxes), 0.9)
        found.append(Detections(frame.boxes, scores, frame.labels, CLASS_NAMES, (320, 320)))
    ours, simple = (switches(video, follow(found, 0.5, 1)) for follow in (track, no_tracking))
    assert ours < simple


def switches(video, numbered) -> int:
    """How often an object's number is another one than before."""
    last: dict[int, int | None] = {}
    count = 0
    for frame, (_, numbers) in zip(video, numbered, strict=True):
        for real, number in zip(frame.numbers.tolist(), numbers, strict=True):
            count += real in last and last[real] != number
            last[real] = number
    return count
