"""Frames through a detector, one after another: what every way of writing results takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from cornernet.drawing.draw import draw_detections
from cornernet.errors import InputError
from cornernet.inference.api import BaseDetector
from cornernet.media.images import Pixels
from cornernet.media.sources import Frame
from cornernet.structures import Detections, Explanation


@dataclass
class Result:
    """One frame and what was found in it, at or above the threshold; ``explanation`` where it was asked for.

    Pictures of it are drawn to be looked at whole, or in parts of ``side`` pixels.
    """

    frame: Frame
    image: Pixels
    detections: Detections
    explanation: Explanation | None = None
    side: int | None = None

    @cached_property
    def picture(self) -> Pixels:
        """The image with its boxes, (H, W, 3): drawn once for all who write it."""
        return draw_detections(self.image, self.detections, threshold=0.0, side=self.side)


def detect(
    detector: BaseDetector,
    frames: Iterable[Frame],
    *,
    batch_size: int = 1,
    threshold: float = 0.0,
    explain: bool = False,
    side: int | None = None,
) -> Iterator[Result | InputError]:
    """The result of every frame, in order, or the error that one has: it does not cost the others theirs.

    ``batch_size`` frames are taken at a time; those of one padded size share a pass. ``explain`` takes them singly.
    """
    source = iter(frames)
    while group := list(islice(source, 1 if explain else batch_size)):
        readable = [(frame, frame.pixels) for frame in group if not isinstance(frame.pixels, InputError)]
        found = iter(_look(detector, readable, batch_size, threshold, explain))
        for frame in group:
            seen = frame.pixels if isinstance(frame.pixels, InputError) else next(found)
            if isinstance(seen, InputError):
                yield seen
            else:
                image, detections, explanation = seen
                yield Result(frame, image, detections.above(threshold), explanation, side)


_Seen = tuple[Pixels, Detections, "Explanation | None"]


def _look(
    detector: BaseDetector, frames: list[tuple[Frame, Pixels]], batch_size: int, threshold: float, explain: bool
) -> list[_Seen | InputError]:
    """Each frame's image with its detections, and where asked its explanation, or its error."""
    images = [image for _, image in frames]
    try:
        if explain:
            return [(image, (seen := detector.explain(image)).detections, seen) for image in images]
        found = detector.stream(images, batch_size, min_score=threshold)
        return [(image, detections, None) for image, detections in zip(images, found, strict=True)]
    except InputError as error:
        if len(frames) == 1:
            return [error.at(frames[0][0].source)]
        # Too much memory for all, perhaps not for each.
        return [seen for frame in frames for seen in _look(detector, [frame], batch_size, threshold, explain)]
