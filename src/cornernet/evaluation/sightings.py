"""Images with what is on them and what the network saw there: what a report is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cornernet.data.dataset import ImageRecord
from cornernet.data.prefetch import ahead
from cornernet.detector import Detector
from cornernet.structures import CornerPoints, Decoding, Detections


class Sighting(NamedTuple):
    """One image: its ground truth, what was detected, and the best corners of each kind, paired or not.

    ``decoding`` is how they were paired.
    """

    record: ImageRecord
    detections: Detections
    tl: CornerPoints
    br: CornerPoints
    decoding: Decoding = Decoding()


def look_at(
    detector: Detector, records: Sequence[ImageRecord], *, progress: Callable[[int, int], None] | None = None
) -> list[Sighting]:
    """Every image through the network once; ``progress(done, total)`` after each.

    Raises ``InputError`` for an image that cannot be read, and as ``Detector.explain`` does.
    """
    sightings = []
    images = ahead(ImageRecord.read, records, depth=3)
    for i, (record, image) in enumerate(zip(records, images, strict=True), start=1):
        seen = detector.explain(image)
        sightings.append(Sighting(record, seen.detections, seen.tl_corners, seen.br_corners, detector.decoding))
        if progress:
            progress(i, len(records))
    return sightings


def spread(records: Sequence[ImageRecord], count: int) -> list[ImageRecord]:
    """At most ``count`` of them, evenly spread."""
    places = np.linspace(0, len(records) - 1, min(count, len(records))).round().astype(int)
    return [records[place] for place in places]
