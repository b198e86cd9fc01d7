"""How well objects keep their numbers: HOTA, MOTA and IDF1 on drawn videos, beside Roboflow's ByteTrack.

``pip install --no-deps --target PEERS trackeval trackers supervision ...`` beside this environment, then
``python benchmarks/track.py --peers PEERS``. Without ``--peers`` nothing is measured: the figures are TrackEval's.
All trackers get the same detections of the bundled weights ``shapes``, with scores of at least 0.1, and the same
threshold; boxes above it that have a number count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
from moving_shapes import MovingFrame, draw_video

import cornernet
from cornernet.inference.tracked import WEAKEST
from cornernet.structures import Detections
from cornernet.tracking.byte_track import ByteTracker, iou

RATE = 30.0
Numbered = list[tuple[Detections, list[int | None]]]


def track(frames: Sequence[Detections], threshold: float, every: int) -> Numbered:
    """Ours: the boxes that ``cornernet predict --track`` writes."""
    tracker, found = ByteTracker(threshold, RATE), []
    for index, detections in enumerate(frames):
        tracks = tracker.update(detections, index * every / RATE)
        found.append((detections.above(threshold), tracks))
    return [(shown, [each.number if each else None for each in tracks[: len(shown)]]) for shown, tracks in found]


def track_peer(frames: Sequence[Detections], threshold: float, every: int) -> Numbered:
    """The package ``trackers``, each class with a tracker of its own, because it joins boxes of all classes."""
    import supervision as sv
    from trackers import ByteTrackTracker

    def make() -> Any:
        return ByteTrackTracker(
            frame_rate=RATE / every, track_activation_threshold=threshold, high_conf_det_threshold=threshold
        )

    peers, found = {}, []
    for detections in frames:
        numbers: list[int | None] = [None] * len(detections)
        for label in range(len(detections.class_names)):
            indices = np.flatnonzero(detections.labels == label)
            peer = peers.setdefault(label, make())
            given = sv.Detections(
                detections.boxes[indices], confidence=detections.scores[indices], data={"index": indices}
            )
            told = peer.update(given)
            for index, number in zip(told.data.get("index", ()), told.tracker_id, strict=False):
                numbers[int(index)] = None if number < 0 else int(number) * 100 + label
        shown = detections.above(threshold)
        found.append((shown, numbers[: len(shown)]))
    return found


def no_tracking(frames: Sequence[Detections], threshold: float, every: int) -> Numbered:
    """Every box is joined to the box of its class with the largest IoU in the frame before: a lower bound."""
    found, last, free = [], None, 1
    for detections in frames:
        shown, numbers = detections.above(threshold), []
        overlap = iou(shown.boxes.astype(float), last[0].boxes.astype(float)) if last else np.zeros((len(shown), 0))
        for row, label in zip(overlap, shown.labels, strict=True):
            best = int(row.argmax()) if len(row) else -1
            known = last[1][best] if last and best >= 0 and row[best] > 0 and last[0].labels[best] == label else None
            numbers.append(known if known is not None and known not in numbers else free)
            free += numbers[-1] == free
        last = shown, numbers
        found.append(last)
    return found


def figures(truth: Sequence[Sequence[MovingFrame]], found: Sequence[Numbered]) -> dict[str, float]:
    """TrackEval's HOTA, MOTA, IDF1 in percent and the number of identity switches, over all videos and classes."""
    from trackeval.metrics import CLEAR, HOTA, Identity

    with redirect_stdout(StringIO()):
        metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
        results: list[dict[str, Any]] = [{} for _ in metrics]
        for number, (frames, numbered) in enumerate(zip(truth, found, strict=True)):
            data = _as_trackeval(frames, numbered)
            for metric, result in zip(metrics, results, strict=True):
                result[str(number)] = metric.eval_sequence(data)
        hota, clear, identity = (m.combine_sequences(r) for m, r in zip(metrics, results, strict=True))
    shares = {"HOTA": hota["HOTA"].mean(), "AssA": hota["AssA"].mean(), "MOTA": clear["MOTA"], "IDF1": identity["IDF1"]}
    return {name: 100 * float(value) for name, value in shares.items()} | {"switches": float(clear["IDSW"])}


def _as_trackeval(frames: Sequence[MovingFrame], numbered: Numbered) -> dict[str, Any]:
    """One video as TrackEval has it; boxes of different classes are never similar."""
    real = [frame.numbers - 1 for frame in frames]
    kept = [[i for i, n in enumerate(numbers) if n is not None] for _, numbers in numbered]
    index = {n: i for i, n in enumerate(sorted({n for _, numbers in numbered for n in numbers if n is not None}))}
    ids = [np.array([index[numbers[i]] for i in keep], int) for (_, numbers), keep in zip(numbered, kept, strict=True)]
    similar = []
    for frame, (shown, _), keep in zip(frames, numbered, kept, strict=True):
        same = frame.labels[:, None] == shown.labels[keep] if len(frame.labels) else np.zeros((0, len(keep)), bool)
        similar.append(iou(frame.boxes.astype(float), shown.boxes[keep].astype(float)) * same)
    return {
        "gt_ids": real,
        "tracker_ids": ids,
        "similarity_scores": similar,
        "num_timesteps": len(frames),
        "num_gt_ids": int(max(map(np.max, filter(len, real)))) + 1,
        "num_tracker_ids": len(index),
        "num_gt_dets": sum(map(len, real)),
        "num_tracker_dets": sum(map(len, ids)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", required=True, help="folder with trackeval, trackers and supervision")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--objects", type=int, default=8)
    options = parser.parse_args()
    sys.path.append(options.peers)
    detector = cornernet.load("shapes")
    truth = [list(draw_video(1000 + i, options.frames, options.objects)) for i in range(options.videos)]
    begin = time.perf_counter()
    images = [[frame.image for frame in frames] for frames in truth]
    seen = [list(detector.stream(video, 4, min_score=WEAKEST)) for video in images]
    spent = (time.perf_counter() - begin) / (options.videos * options.frames)
    print(f"{options.videos} videos of {options.frames} frames, detection {1000 * spent:.0f} ms a frame")
    print("| tracker | every | HOTA | AssA | MOTA | IDF1 | identity switches | ms a frame |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    sides: dict[str, Callable[..., Numbered]] = {
        "cornernet": track,
        "trackers' ByteTrack": track_peer,
        "the box of the last frame": no_tracking,
    }
    for every in (1, 3):
        for name, follow in sides.items():
            begin = time.perf_counter()
            found = [follow(frames[::every], detector.threshold, every) for frames in seen]
            spent = 1000 * (time.perf_counter() - begin) / sum(map(len, found))
            row = figures([frames[::every] for frames in truth], found)
            texts = [f"{row[key]:.1f}" for key in ("HOTA", "AssA", "MOTA", "IDF1")]
            print(f"| {name} | {every} | {' | '.join(texts)} | {row['switches']:.0f} | {spent:.2f} |")


if __name__ == "__main__":
    main()
