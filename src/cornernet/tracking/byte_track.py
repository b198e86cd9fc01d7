"""ByteTrack (Zhang et al., ECCV 2022): boxes of one object are joined over frames, weak boxes included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cornernet.structures import Detections
from cornernet.tracking.assignment import assign
from cornernet.tracking.motion import BoxMotion, Numbers

_FIRST, _SECOND, _NEW = 0.2, 0.5, 0.3  # smallest IoU of a pair in each round of matching, the paper's
_SECONDS = 1.0  # an object that was out of sight for longer is another one
_LOOKS = 5  # ... but it may be missed in so many frames that were looked at, however far apart they are


@dataclass(eq=False)
class Track:
    """One object. ``number`` counts from 1, and is ``None`` until a second frame has shown the object.

    ``label`` is its class; ``age`` is the time since it was last seen, in frames; ``missed`` is the number of looks.
    The other two fields are for counting: whether it was counted, and its last centre (2,) clearly beside a line.
    """

    label: int
    motion: BoxMotion = field(repr=False)
    number: int | None = None
    age: float = 0.0
    missed: int = 0
    is_counted: bool = False
    beside: Numbers | None = field(default=None, repr=False)


class ByteTracker:
    """Gives the boxes of one video their objects, frame after frame.

    Boxes with scores of at least ``threshold`` are matched first, with all objects; then weaker ones, which may be
    objects half hidden or blurred, with the objects that are still in sight. Only the former begin a new object. Boxes
    are joined within their class: an object whose class changes becomes another one.

    ``rate`` is the video's usual number of frames a second: with the times of frames, motion and patience count in real
    time, also where frames are missing or come irregularly. ``first`` is the number of the first object.
    """

    def __init__(self, threshold: float, rate: float = 30.0, first: int = 1) -> None:
        self.threshold, self.rate, self.next_number = threshold, rate, first
        self.tracks: list[Track] = []
        self._seconds: float | None = None

    def update(self, detections: Detections, seconds: float | None = None) -> list[Track | None]:
        """The object of each detection of the next frame; ``None`` for weak ones that are of no known object.

        ``seconds`` is the frame's time; without it, frames follow each other at the video's rate. An object's
        ``number`` may come with the next frame: read it then. Give weak detections too, from scores of 0.1.
        """
        frames = self._frames_since(seconds)
        for track in self.tracks:
            track.motion.predict(frames, is_seen=not track.missed)
        found: list[Track | None] = [None] * len(detections)
        boxes, strong = detections.boxes.astype(np.float64), detections.scores >= self.threshold
        labels = detections.labels.tolist()

        def match(tracks: Sequence[Track], indices: Sequence[int], least: float) -> None:
            for row, column in _pairs(tracks, boxes[list(indices)], [labels[i] for i in indices], least):
                self._see(tracks[row], boxes[indices[column]])
                found[indices[column]] = tracks[row]

        known = [track for track in self.tracks if track.number is not None]
        match(known, np.flatnonzero(strong).tolist(), _FIRST)
        missing = [track for track in known if track not in found and not track.missed]
        match(missing, np.flatnonzero(~strong).tolist(), _SECOND)
        new = [track for track in self.tracks if track.number is None]
        match(new, [i for i in np.flatnonzero(strong).tolist() if found[i] is None], _NEW)
        for track in self.tracks:
            if track not in found:
                track.age, track.missed = track.age + frames, track.missed + 1
        for i in np.flatnonzero(strong).tolist():
            if found[i] is None:
                found[i] = Track(labels[i], BoxMotion(boxes[i]))
                self.tracks.append(found[i])  # type: ignore[arg-type]
        self.tracks = [track for track in self.tracks if self._is_waited_for(track)]
        return found

    def _frames_since(self, seconds: float | None) -> float:
        """How far the last frame is, in frames at the usual rate."""
        before, self._seconds = self._seconds, seconds
        if seconds is None or before is None:
            return 1.0
        return max(0.0, seconds - before) * self.rate

    def _see(self, track: Track, box: Numbers) -> None:
        track.motion.correct(box)
        track.age, track.missed = 0.0, 0
        if track.number is None:
            track.number = self.next_number
            self.next_number += 1

    def _is_waited_for(self, track: Track) -> bool:
        if not track.missed:
            return True
        is_near = track.age <= _SECONDS * self.rate or track.missed <= _LOOKS
        return track.number is not None and is_near


def _pairs(tracks: Sequence[Track], boxes: Numbers, labels: Sequence[int], least: float) -> list[tuple[int, int]]:
    """(track, box) pairs of one class with the largest overlaps, of more than the IoU ``least``."""
    if not tracks or not len(boxes):
        return []
    places = np.stack([track.motion.box for track in tracks])
    costs = 1 - iou(places, boxes)
    costs[np.array([track.label for track in tracks])[:, None] != np.array(labels)] = np.inf
    return assign(costs, 1 - least)


def iou(first: Numbers, second: Numbers) -> Numbers:
    """(N, M) intersection over union of boxes (N, 4) and (M, 4), x1 y1 x2 y2."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = [np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1) for boxes in (first, second)]
    return shared / np.maximum(areas[0][:, None] + areas[1] - shared, 1e-9)
