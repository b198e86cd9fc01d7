"""Gives the results of videos their identities, and counts them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from cornernet.errors import InputError
from cornernet.inference.stream import Result
from cornernet.media.sources import Frame
from cornernet.tracking.byte_track import ByteTracker, Track
from cornernet.tracking.counts import CountLine, TrackCounter

WEAKEST = 0.1  # the lowest score that tracking uses, as in the paper


def track_results(
    results: Iterable[Result | InputError],
    threshold: float,
    *,
    line: CountLine | None = None,
    one_sequence: bool = False,
) -> Iterator[Result | InputError]:
    """Results with the objects of their detections, which are those of at least ``threshold``; errors as they are.

    ``results`` have weaker detections too, which only help to join the others. Each video, and each file with several
    pictures, has objects of its own, numbered on through all of them; ``one_sequence`` takes single images as the
    frames of one video. A result comes when the next one is known, because an object's number does. Raises
    ``InputError`` for pictures of one sequence that differ in size, and for a line outside them.
    """
    waiting: list[Result | InputError] = []
    tracks: Sequence[Track | None] = ()
    tracker, counter, name, size = ByteTracker(threshold), TrackCounter(line), None, (0, 0)

    def finished() -> Iterator[Result | InputError]:
        for each in waiting:
            yield each if isinstance(each, InputError) else _numbered(each, tracks, counter)
        waiting.clear()

    try:
        for result in results:
            if isinstance(result, InputError):
                waiting.append(result)
                continue
            if (new := _sequence(result.frame, one_sequence)) != name:
                yield from finished()
                rate = result.frame.video.rate if result.frame.video else 30.0
                tracker = ByteTracker(threshold, rate, tracker.next_number)
                counter = TrackCounter(line, counter.sequence + 1)
                name, size = new, result.image.shape[:2]
                if line:
                    line.check(*size)
            _check_size(result, size)
            found = tracker.update(result.detections, result.frame.seconds)
            yield from finished()
            shown = result.detections.above(threshold)
            tracks = found[: len(shown)]  # scores descend
            waiting.append(replace(result, detections=shown))
    except KeyboardInterrupt:  # the normal end of a camera
        yield from finished()
        raise
    yield from finished()


def _numbered(result: Result, tracks: Sequence[Track | None], counter: TrackCounter) -> Result:
    numbers = tuple(track.number if track else None for track in tracks)
    return replace(result, tracks=numbers, counts=counter.add(result.detections, tracks))


def _sequence(frame: Frame, one_sequence: bool) -> str:
    is_single = frame.video is None and frame.index is None
    return "" if is_single and one_sequence else frame.name


def _check_size(result: Result, size: tuple[int, ...]) -> None:
    height, width = result.image.shape[:2]
    if result.frame.video is None and (height, width) != size:
        what = f"has {width}x{height} pixels, and the frames before it {size[1]}x{size[0]}"
        raise InputError(what, result.frame.source, "--track needs frames of one size")
