"""How many objects a video shows, and how many of them crossed a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cornernet.errors import InputError
from cornernet.structures import Detections
from cornernet.tracking.byte_track import Numbers, Track

_CLEAR = 0.05  # a box has left the line if its centre is so far away, in units of its shorter side


@dataclass(frozen=True)
class CountLine:
    """A line from (x1, y1) to (x2, y2), in pixels. Left and right are those of somebody who walks along it."""

    x1: float
    y1: float
    x2: float
    y2: float

    def side(self, point: Numbers) -> float:
        """How far a point (2,) is from the endless line, in pixels; above 0 on its right."""
        way = np.array([self.x2 - self.x1, self.y2 - self.y1])
        x, y = point - [self.x1, self.y1]
        return float((way[0] * y - way[1] * x) / np.hypot(*way))

    def is_crossed(self, before: Numbers, after: Numbers) -> bool:
        """Whether the way between two points (2,) on different sides leads through the line, not past its ends."""
        a, b = abs(self.side(before)), abs(self.side(after))
        x, y = before + (after - before) * a / (a + b)
        way = np.array([self.x2 - self.x1, self.y2 - self.y1])
        return bool(0 <= np.dot([x - self.x1, y - self.y1], way) <= np.dot(way, way))

    def check(self, height: int, width: int) -> None:
        """Raise ``InputError`` if the line lies beside a picture of this size, in pixels."""
        sides = ((self.x1, self.x2, width), (self.y1, self.y2, height))
        if any(max(a, b) < 0 or min(a, b) > size for a, b, size in sides):
            text = ",".join(f"{value:g}" for value in (self.x1, self.y1, self.x2, self.y2))
            what = f"lies outside the picture, which has {width}x{height} pixels"
            raise InputError(what, f"--count-line {text}", "give points in it")


@dataclass(frozen=True)
class TrackCounts:
    """Numbers of a video up to one of its frames, by class: objects, and crossings of ``line`` to the left, right.

    ``sequence`` is the video's own number among those of one call.
    """

    objects: Mapping[str, int] = field(default_factory=dict)
    to_left: Mapping[str, int] = field(default_factory=dict)
    to_right: Mapping[str, int] = field(default_factory=dict)
    line: CountLine | None = None
    sequence: int = 0

    def as_dict(self) -> dict[str, object]:
        """For JSON: ``counts``, and with a line ``crossings``."""
        found: dict[str, object] = {"counts": dict(sorted(self.objects.items()))}
        if self.line:
            both = sorted({*self.to_left, *self.to_right})
            found["crossings"] = {
                name: {"to_left": self.to_left.get(name, 0), "to_right": self.to_right.get(name, 0)} for name in both
            }
        return found


class TrackCounter:
    """TrackCounts the objects of one video. An object that stands on the line, or shakes, is not counted again."""

    def __init__(self, line: CountLine | None = None, sequence: int = 0) -> None:
        self.line, self.sequence = line, sequence
        self.objects, self.to_left, self.to_right = Counter[str](), Counter[str](), Counter[str]()

    def add(self, detections: Detections, tracks: Sequence[Track | None]) -> TrackCounts:
        """The numbers after one more frame; ``tracks`` are the objects of its detections."""
        boxes, labels = detections.boxes.astype(float), detections.labels.tolist()
        for box, label, track in zip(boxes, labels, tracks, strict=True):
            if track is None or track.number is None:
                continue
            name = str(detections.class_names[label])
            self.objects[name] += not track.is_counted
            track.is_counted = True
            if self.line:
                self._follow(track, box, name, self.line)
        return TrackCounts(dict(self.objects), dict(self.to_left), dict(self.to_right), self.line, self.sequence)

    def _follow(self, track: Track, box: Numbers, name: str, line: CountLine) -> None:
        centre = (box[:2] + box[2:]) / 2
        side = line.side(centre)
        if abs(side) <= _CLEAR * min(box[2:] - box[:2]):
            return
        before, track.beside = track.beside, centre
        if before is not None and side * line.side(before) < 0 and line.is_crossed(before, centre):
            (self.to_right if side > 0 else self.to_left)[name] += 1
