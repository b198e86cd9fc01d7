"""Run a detector over frames; the results are what writers take."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np

from cornernet.drawing.count_line import draw_count_line
from cornernet.drawing.draw import draw_detections
from cornernet.drawing.style import PLAIN, BoxStyle
from cornernet.errors import InputError
from cornernet.inference.api import BaseDetector
from cornernet.media.images import Pixels
from cornernet.media.sources import Frame
from cornernet.structures import Detections, Explanation
from cornernet.tracking.counts import TrackCounts


@dataclass
class Result:
    """One frame with its detections at or above the threshold, and its ``explanation`` if requested.

    Lines and texts of its picture fit the whole picture, or parts of ``side`` pixels; ``style`` is the user's choice.
    With tracking, ``tracks`` has the number of each detection's object, ``None`` if it was seen in this frame alone,
    and ``counts`` are those of its video so far.
    """

    frame: Frame
    image: Pixels
    detections: Detections
    explanation: Explanation | None = None
    side: int | None = None
    style: BoxStyle = PLAIN
    tracks: tuple[int | None, ...] | None = None
    counts: TrackCounts | None = None

    @cached_property
    def picture(self) -> Pixels:
        """The image with its boxes, (H, W, 3); drawn once for all writers."""
        picture = draw_detections(
            self.image, self.detections, threshold=0.0, side=self.side, style=self.style, tracks=self.tracks
        )
        return draw_count_line(picture, self.counts) if self.counts else picture


def detect(
    detector: BaseDetector,
    frames: Iterable[Frame],
    *,
    batch_size: int = 1,
    threshold: float = 0.0,
    classes: Collection[int] | None = None,
    explain: bool = False,
    side: int | None = None,
    style: BoxStyle = PLAIN,
) -> Iterator[Result | InputError]:
    """The result of every frame, or its error, in order. An error of one frame does not stop the others.

    Detections of other classes than ``classes``, indices of names, are left out; ``None`` keeps all.
    ``batch_size`` frames are read at a time; those of one padded size share a batch. ``explain`` takes single frames.
    """
    source = iter(frames)
    while group := list(islice(source, 1 if explain else batch_size)):
        readable = [(frame, frame.pixels) for frame in group if not isinstance(frame.pixels, InputError)]
        found = iter(_detect_group(detector, readable, batch_size, threshold, explain))
        for frame in group:
            result = frame.pixels if isinstance(frame.pixels, InputError) else next(found)
            if isinstance(result, InputError):
                yield result
            else:
                image, detections, explanation = result
                if classes is not None:
                    detections = detections[np.isin(detections.labels, list(classes))]
                    explanation = explanation and replace(explanation, detections=detections)
                yield Result(frame, image, detections.above(threshold), explanation, side, style)


def _detect_group(
    detector: BaseDetector, frames: list[tuple[Frame, Pixels]], batch_size: int, threshold: float, explain: bool
) -> list[tuple[Pixels, Detections, Explanation | None] | InputError]:
    """Each frame's image, detections and (if ``explain``) explanation, or its error."""
    images = [image for _, image in frames]
    try:
        if explain:
            return [(image, (told := detector.explain(image)).detections, told) for image in images]
        found = detector.stream(images, batch_size, min_score=threshold)
        return [(image, detections, None) for image, detections in zip(images, found, strict=True)]
    except InputError as error:
        if len(frames) == 1:
            return [error.at(frames[0][0].source)]
        # The memory may be enough for each frame alone.
        return [each for frame in frames for each in _detect_group(detector, [frame], batch_size, threshold, explain)]
