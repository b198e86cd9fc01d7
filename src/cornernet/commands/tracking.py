"""The words of ``cornernet predict --track``: what can be tracked, and the line that is counted at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.errors import InputError

if TYPE_CHECKING:
    from cornernet.media.sources import Source
    from cornernet.tracking.counts import CountLine, TrackCounts


def parse_count_line(text: str | None) -> CountLine | None:
    """``"0,240,640,240"`` as a line; ``InputError`` if these are not two points."""
    if text is None:
        return None
    from cornernet.tracking.counts import CountLine

    try:
        x1, y1, x2, y2 = map(float, text.split(","))
    except ValueError:
        x1 = y1 = x2 = y2 = 0.0
    if not abs(x1 - x2) + abs(y1 - y2) > 0 or not abs(x1) + abs(y1) + abs(x2) + abs(y2) < float("inf"):
        raise InputError("give two points in pixels, as x1,y1,x2,y2", f"--count-line {text}") from None
    return CountLine(x1, y1, x2, y2)


def counts_in_words(counts: TrackCounts) -> str:
    """For example "3 objects: 2 person, 1 dog; crossings to the left 1, to the right 0"."""
    names = ", ".join(f"{number} {name}" for name, number in sorted(counts.objects.items()))
    total = sum(counts.objects.values())
    text = f"{total} object{'' if total == 1 else 's'}{': ' if names else ''}{names}"
    if counts.line is None:
        return text
    left, right = (sum(crossings.values()) for crossings in (counts.to_left, counts.to_right))
    return f"{text}; crossings to the left {left}, to the right {right}"


def check_sequences(sources: Sequence[Source]) -> bool:
    """Whether the images among the sources are the frames of one video: numbered, in one folder, in order.

    Raises ``InputError`` if some of them are neither that nor files with several pictures, such as animations.
    """
    images = [source for source in sources if source.video is None and source.error is None]
    if not images or _are_numbered([Path(source.place) for source in images]):
        return bool(images)
    for source in images:
        if not has_many_pictures(source.place):
            what = "is one image, and only frames of one video have objects that stay"
            fix = "give a video, an animation, a camera, or a folder of frames with ascending numbers, as 0001.jpg"
            raise InputError(what, source.shown, f"leave --track out, or {fix}")
    return False


def _are_numbered(paths: Sequence[Path]) -> bool:
    found = [re.fullmatch(r"(.*?)(\d+)", path.stem) for path in paths]
    names = {(path.parent, path.suffix.lower(), match and match[1]) for path, match in zip(paths, found, strict=True)}
    numbers = [int(match[2]) for match in found if match]
    ascends = all(first < second for first, second in pairwise(numbers))
    return len(paths) > 1 and len(numbers) == len(paths) and len(names) == 1 and ascends


def has_many_pictures(place: str) -> bool:
    """Whether it is an image file with several pictures, such as an animation, or one that cannot be read."""
    from cornernet.media.images import read_header

    try:
        return Path(place).is_file() and read_header(place).pictures > 1
    except InputError:  # told when it is read
        return True
