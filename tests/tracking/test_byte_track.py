"""Objects keep their numbers: crossing, hidden, weak, at odd times; and what is no object gets none."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from cornernet.structures import Detections
from cornernet.tracking.byte_track import ByteTracker
from cornernet.tracking.motion import BoxMotion

NAMES = ("person", "dog")


def detections(*found: tuple[float, float, float, int], side: float = 40) -> Detections:
    """Boxes of (centre x, centre y, score, label), in that order; scores must descend."""
    boxes = [[x - side / 2, y - side / 2, x + side / 2, y + side / 2] for x, y, _, _ in found]
    scores, labels = [score for *_, score, _ in found], [label for *_, label in found]
    return Detections(np.reshape(boxes, (-1, 4)), scores, labels, NAMES, (480, 640))


def follow(frames, tracker: ByteTracker | None = None, seconds=None) -> list[list[int | None]]:
    """The numbers of all frames' detections, as they are known in the end."""
    tracker = tracker or ByteTracker(0.5)
    times = [None] * len(frames) if seconds is None else seconds
    found = [tracker.update(frame, time) for frame, time in zip(frames, times, strict=True)]
    return [[track.number if track else None for track in tracks] for tracks in found]


def test_two_that_cross_keep_their_numbers():
    frames = [detections((100 + 6 * i, 200, 0.9, 0), (400 - 6 * i, 230, 0.8, 0)) for i in range(50)]
    assert follow(frames) == [[1, 2]] * 50


def test_a_number_comes_with_the_second_look_and_counts_for_the_first_too():
    frames = [detections((100, 100, 0.9, 0)), detections((103, 100, 0.9, 0)), detections((300, 300, 0.9, 0))]
    tracker = ByteTracker(0.5)
    (first,) = tracker.update(frames[0])
    assert first.number is None
    assert tracker.update(frames[1]) == [first]
    assert first.number == 1
    (flash,) = tracker.update(frames[2])
    tracker.update(detections())
    tracker.update(frames[2])
    assert flash.number is None  # it was gone in between


def test_a_weak_box_keeps_its_object_and_begins_none():
    moving = [(100 + 5 * i, 200, 0.9 if not 8 <= i < 16 else 0.2, 0) for i in range(25)]
    frames = [detections(*sorted([spot, (500, 400, 0.3, 0)], key=lambda found: -found[2])) for spot in moving]
    numbers = follow(frames)
    assert numbers == [[1, None]] * 8 + [[None, 1]] * 8 + [[1, None]] * 9


def test_without_weak_boxes_a_long_gap_and_a_turn_make_another_object():
    """What the weak boxes are for: in the gap the object goes round a corner, so that nobody can guess its place."""
    spots = [(300 + 100 * np.sin(i / 16), 200 - 100 * np.cos(i / 16)) for i in range(50)]
    both = [detections((x, y, 0.9 if not 10 <= i < 30 else 0.2, 0)) for i, (x, y) in enumerate(spots)]
    strong_alone = [frame.above(0.5) for frame in both]
    assert {number for numbers in follow(both) for number in numbers} == {1}
    assert {number for numbers in follow(strong_alone) for number in numbers} == {1, 2}


def test_an_object_behind_another_is_known_again_for_a_second():
    def frames(hidden: int) -> list[Detections]:
        return [detections() if 10 <= i < 10 + hidden else detections((100 + 4 * i, 200, 0.9, 0)) for i in range(60)]

    def distinct(hidden: int) -> int:
        return len({number for numbers in follow(frames(hidden)) for number in numbers})

    assert (distinct(20), distinct(29), distinct(33)) == (1, 1, 2)


def test_boxes_are_joined_within_their_class():
    frames = [detections((100, 100, 0.9, i % 2)) for i in range(6)]
    assert follow(frames) == [[None]] * 6
    frames = [detections((100, 100, 0.9, 0), (100, 100, 0.8, 1)) for i in range(3)]
    assert follow(frames) == [[1, 2]] * 3


def test_irregular_times_are_real_times():
    """A video that loses frames: with times each place of a steady object is foreseen, without them it is not."""
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 20, 21, 22, 30, 31]
    frames = [detections((50 + 12 * t, 200, 0.9, 0)) for t in times]
    assert follow(frames, seconds=[t / 30 for t in times]) == [[1]] * len(times)
    assert len({number for numbers in follow(frames) for number in numbers}) > 1


def test_patience_is_real_time_but_at_least_some_looks():
    seen, gone = detections((100, 100, 0.9, 0)), detections()
    for rate, pause, number in ((10, 9, 1), (10, 12, 2), (2, 4, 1), (2, 7, 2)):
        numbers = follow([seen] * 3 + [gone] * pause + [seen] * 3, ByteTracker(0.5, rate))
        assert numbers[-1] == [number], (rate, pause)


def test_a_crowd_with_noise_keeps_its_numbers():
    rng = np.random.default_rng(0)
    starts, speeds = rng.uniform(100, 500, (12, 2)), rng.uniform(-4, 4, (12, 2))
    labels = np.arange(12) % 2
    frames, truth = [], []
    for i in range(80):
        spots = starts + i * speeds + rng.normal(0, 1.0, (12, 2))
        order = rng.permutation(12)
        frames.append(detections(*((*spots[k], 0.9, int(labels[k])) for k in order), side=30))
        truth.append(order)
    found = follow(frames)
    owners: dict[int, list] = {}
    for numbers, order in zip(found, truth, strict=True):
        for number, k in zip(numbers, order, strict=True):
            owners.setdefault(k, []).append(number)
    switches = sum(a != b for numbers in owners.values() for a, b in pairwise(numbers))
    assert switches <= 6  # 12 objects in 80 frames, whose ways cross 30 times
    assert max(number for numbers in found for number in numbers if number) <= 16


def test_a_filter_of_two_numbers_is_the_filter_of_eight():
    """The textbook's Kalman filter with 8x8 matrices gives the same boxes."""
    rng = np.random.default_rng(1)
    boxes = [np.array([10, 20, 50, 80]) + 3.0 * i + rng.normal(0, 1, 4) for i in range(20)]
    motion = BoxMotion(boxes[0])

    def centred(box):
        return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])

    def spread(mean, weights):
        scale = np.tile(mean[2:4], 2)
        return np.diag(np.concatenate([weight * scale for weight in weights]) ** 2)

    mean, covariance = np.concatenate([centred(boxes[0]), np.zeros(4)]), None
    covariance = spread(mean, (2 / 20, 10 / 160))
    for step, box in zip(rng.uniform(0.5, 3, 19), boxes[1:], strict=True):
        motion.predict(step)
        forward = np.eye(8) + step * np.eye(8, k=4)
        noise = step * spread(mean, (1 / 20, 1 / 160))
        mean, covariance = forward @ mean, forward @ covariance @ forward.T + noise
        assert motion.box[:2] == pytest.approx(mean[:2] - mean[2:4] / 2)
        motion.correct(box)
        seen = covariance[:4, :4] + spread(mean, (1 / 20,))
        gain = covariance[:, :4] @ np.linalg.inv(seen)
        mean, covariance = mean + gain @ (centred(box) - mean[:4]), covariance - gain @ seen @ gain.T
        assert np.concatenate(motion.state) == pytest.approx(mean)
