"""Frames of videos, cameras and streams, one after another, with their times, read by OpenCV.

OpenCV's wheel has an LGPL FFmpeg and gives every frame's time. PyAV's wheels hold x264 and x265, which are GPL;
torchcodec needs an FFmpeg on the system.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlsplit

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg prints nothing on stderr: our errors say it

import cv2
import numpy as np

from cornernet.errors import InputError
from cornernet.media.address import is_address, is_web
from cornernet.media.container import damaged_at, missing_bytes
from cornernet.media.download import announced
from cornernet.media.images import Pixels
from cornernet.media.mp4 import Mp4Track, mp4_track
from cornernet.media.rtsp import why_refused
from cornernet.media.walk import IMAGE_SUFFIXES

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".mpg", ".mpeg", ".m1v", ".m2v",
    ".vob", ".ts", ".mts", ".m2ts", ".m2t", ".wmv", ".asf", ".flv", ".f4v", ".ogv", ".mxf", ".nut", ".ivf", ".y4m",
    ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc", ".dv",
)
# fmt: on
_PLAYLISTS = (".m3u8", ".mpd")
_STREAM_TYPES = ("video/", "multipart/x-mixed-replace", "application/vnd.apple.mpegurl", "application/x-mpegurl")
_USUAL_RATE = 25.0  # frames a second, for cameras that do not say
_FASTEST = 60.0  # frames a second, of videos whose frames have no constant rate
_LOOKED_AT = 100  # frames, to find a rate
_SAME = 1e-3  # seconds by which times may differ that are the same
_CLOSE = 0.05  # share by which a rate may differ from what is said
_TIMEOUT = 10_000  # milliseconds, to connect and for each frame
_PAUSES = (1, 2, 4, 8, 16)  # seconds before a broken stream is opened again
_STEADY = 60.0  # seconds: a stream that ran so long may break as often again


class VideoFrame(NamedTuple):
    """``pixels`` (H, W, 3) RGB, upright, their time in seconds since the first frame, and their number, from 0."""

    seconds: float
    pixels: Pixels
    number: int


class Video:
    """A video file, given by its path, a camera, given by its number, or a stream, given by its address.

    ``place`` is its name in errors. ``length`` is about its number of frames, as its header gives it; ``None`` if it
    does not, as for what is live: a camera, or a stream without end. Raises ``InputError`` if it cannot be opened.
    """

    def __init__(self, origin: str | int, place: str) -> None:
        self.origin, self.place = origin, place
        self._stopped = threading.Event()
        self._ready: cv2.VideoCapture | None = None
        self._times: array[float] = array("d")  # of a file's frames, as it says them
        self._packet_times: array[float] | None = None
        self._track = mp4_track(origin) if isinstance(origin, str) and self.is_file else Mp4Track()
        capture = self._open()
        rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.said_rate = rate if math.isfinite(rate) and rate > 0 else _USUAL_RATE
        self.length = int(count) if isinstance(origin, str) and math.isfinite(count) and count >= 1 else None
        self.is_live = not self.is_file and self.length is None and not self._has_end()
        if self.is_live and isinstance(origin, str):
            self._ready = capture  # connecting takes long, and some servers take one guest
        else:
            capture.release()

    @property
    def is_file(self) -> bool:
        return isinstance(self.origin, str) and "://" not in self.origin

    @cached_property
    def rate(self) -> float:
        """Frames per second, by the times of the first frames; the shortest usual interval counts if they vary."""
        plausible = self.said_rate if self.said_rate <= _FASTEST else _USUAL_RATE
        if not self.is_file:
            return plausible
        steps = np.diff(list(self._first_times()))
        if not len(steps) or steps.sum() <= 0:
            return plausible
        found = 1 / steps.mean(), 1 / max(np.percentile(steps, 20), 1 / _FASTEST)
        said = any(abs(self.said_rate / rate - 1) < _CLOSE for rate in found)
        return self.said_rate if said else float(found[1])

    def frames(self, every: int = 1) -> Iterator[VideoFrame | InputError]:
        """All frames in order; at the end an ``InputError`` if the file or the connection ended too early.

        Of ``every`` so many frames the first one is given, with its own time and number; the others are not made into
        pixels. A live stream that breaks is opened again a few times, after growing pauses.
        """
        self._stopped.clear()
        begin, last, pauses, count = math.inf, -1.0, list(_PAUSES), 0
        while True:
            opened = time.monotonic()
            try:
                offset = opened - begin if last >= 0 else 0.0
                for seconds, pixels in self._read_once(offset, last, count, every):
                    # The first frames of a stream come late, because FFmpeg looks at some before it gives any.
                    begin, last = min(begin, time.monotonic() - seconds), seconds
                    if pixels is not None:
                        yield VideoFrame(last, pixels, count)
                    count += 1
            except InputError as error:
                if last < 0 or not self.is_live:
                    yield error
                    return
            if not self.is_live or self._stopped.is_set():
                break
            if time.monotonic() - opened > _STEADY:
                pauses = list(_PAUSES)
            if not pauses:
                what = f"the stream broke after {last:.1f} s and could not be taken up again ({len(_PAUSES)} tries)"
                yield InputError(what, self.place, "check the camera and the network")
                return
            pause = pauses.pop(0)
            print(f"cornernet: {self.place}: the stream broke; opening it again in {pause} s", file=sys.stderr)
            if self._stopped.wait(pause):
                return
        if error := self._ending(last):
            yield error

    def stop(self) -> None:
        """End ``frames``, from another thread, also while they wait for a stream."""
        self._stopped.set()

    def _has_end(self) -> bool:
        """Whether an address is that of a file whose frames cannot be counted from afar."""
        return isinstance(self.origin, str) and is_web(self.origin) and announced(self.origin)[1] is not None

    def _read_once(self, offset: float, last: float, count: int, every: int) -> Iterator[tuple[float, Pixels | None]]:
        """Times and pixels until the end or a break; times begin at ``offset`` and grow from ``last`` on.

        ``count`` frames were read before; only every ``every``-th one has pixels.
        """
        with self._opened() as capture:
            is_turned = capture.get(cv2.CAP_PROP_ORIENTATION_META) % 180 != 0
            first: float | None = None
            self._times, failures = array("d"), 0
            while not self._stopped.is_set():
                is_wanted = count % every == 0
                found = capture.read() if is_wanted else (capture.grab(), None)
                if not found[0]:
                    failures += 1
                    if len(self._times) + failures > len(self._packets()):
                        break
                    continue  # behind a damaged frame there are more
                count += 1
                now = time.monotonic() if isinstance(self.origin, int) else capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                if self.is_file:
                    self._times.append(now)
                first = now if first is None else first
                seconds = offset + now - first if math.isfinite(now) else last
                if seconds <= last:  # raw streams have no times
                    seconds = last + 1 / self.said_rate
                last = seconds
                pixels = found[1]
                if pixels is not None and self._track.is_mirrored:  # OpenCV turns frames, and does not mirror them
                    pixels = cv2.flip(pixels, 1 if is_turned else 0)
                yield last, None if pixels is None else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)

    def _packets(self) -> Sequence[float]:
        """The times in a file of all its frames, also of those that cannot be decoded; none if as many as its header
        says were read."""
        if not self.is_file or len(self._times) == self.length:
            return ()
        if self._packet_times is None:
            self._packet_times = array("d")
            with self._opened() as capture:
                capture.set(cv2.CAP_PROP_FORMAT, -1)  # not decoded
                while capture.grab():
                    self._packet_times.append(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        return self._packet_times

    def _first_times(self) -> Iterator[float]:
        with self._opened() as capture:
            for _ in range(_LOOKED_AT):
                if not capture.grab():
                    return
                yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def _ending(self, last: float) -> InputError | None:
        """The error of a video whose last frame was at ``last``, unless that is its proper end."""
        missing = missing_bytes(self.origin) if isinstance(self.origin, str) and self.is_file else 0
        if last < 0:
            what = "truncated, and no frame can be read" if missing else "no frame can be read"
            return InputError(what, self.place, self._fix)
        if missing:
            what = f"ends after {last:.1f} s, truncated: {missing:,} bytes are missing"
            return InputError(what, self.place, "copy it again")
        if isinstance(self.origin, str) and self.is_file:
            if lost := lost_times(self._times, shown_times(self._packets(), self._track)):
                what = f"damaged: {len(lost)} of its frames cannot be read, the first at {lost[0]:.1f} s"
                return InputError(what, self.place, "copy it again")
            if (at := damaged_at(self.origin)) is not None:
                return InputError(f"damaged at byte {at:,}: frames are lost there", self.place, "copy it again")
        said = (self.length or 0) / self.said_rate
        if not self.is_file and self.length and last + 1 < (1 - _CLOSE) * said:
            what = f"the connection ended after {last:.1f} of {said:.1f} s"
            return InputError(what, self.place, "try again, or download it and give the file")
        return None

    @property
    def _fix(self) -> str:
        if self.is_file:
            return "convert it to mp4 (H.264), or copy it again"
        if isinstance(self.origin, int):
            return "check that it is connected and free"
        return "check the address" + (", or download it and give the file" if is_web(self.origin) else "")

    @contextmanager
    def _opened(self) -> Iterator[cv2.VideoCapture]:
        capture, self._ready = self._ready or self._open(), None
        try:
            yield capture
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        with quiet_opencv():
            if isinstance(self.origin, int):
                capture = cv2.VideoCapture(self.origin)
            else:
                # For FFmpeg, text before a colon is a protocol; other backends read fewer formats and print errors.
                path = os.path.abspath(self.origin) if self.is_file else self.origin
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _TIMEOUT, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _TIMEOUT]
                capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, limits)
        if not capture.isOpened():
            capture.release()
            raise InputError(self._why_closed(), self.place, self._fix)
        return capture

    def _why_closed(self) -> str:
        if isinstance(self.origin, int):
            return "no camera there that can be opened"
        if not self.is_file:
            refusal = why_refused(self.origin) if self.origin.lower().startswith("rtsp://") else ""
            return refusal or f"no video comes from there (waited up to {_TIMEOUT // 1000} s)"
        if not os.path.exists(self.origin):
            return "no such file"
        if not os.path.getsize(self.origin):
            return "the file is empty"
        if missing := missing_bytes(self.origin):
            return f"not a video that can be read: truncated, at least {missing:,} bytes are missing"
        return "not a video that can be read (sound alone, or an unknown format)"


def shown_times(packets: Sequence[float], track: Mp4Track) -> Sequence[float]:
    """The times of packets that are not cut off, since the first of them; none if it is not known which these are.

    ``packets`` are times since the first packet, in any order.
    """
    if not track.is_known:
        return ()
    times = np.sort(np.asarray(packets)) + track.first
    times = times[(times > -_SAME) & (times < track.end - _SAME)]
    return (times - times[0]).tolist() if len(times) else ()


def lost_times(frames: Sequence[float], packets: Sequence[float]) -> list[float]:
    """The times, since the first frame, of packets of which no frame came.

    Not of those before the first frame, which an edit list may cut off; of the last one alone; or of those that are
    near a frame: hidden frames and second fields.
    """
    if len(frames) < 2 or not len(packets):
        return []
    came = np.sort(np.asarray(frames))
    steps = np.diff(came)
    near = 0.75 * float(np.median(steps[steps > 0])) if (steps > 0).any() else np.inf
    asked = np.sort(np.asarray(packets))
    asked = asked[asked > came[0]]
    places = np.searchsorted(came, asked).clip(1, len(came) - 1)
    distance = np.minimum(abs(asked - came[places - 1]), abs(asked - came[places]))
    lost = asked[distance > near]
    is_last = len(lost) == 1 and lost[0] > came[-1]
    return [] if is_last else (lost - came[0]).tolist()


def is_video_address(place: str) -> bool:
    """Whether it is a stream's address, or one of the web that ends like a video's; the server is asked if need be."""
    if not is_web(place):
        return is_address(place)
    path = urlsplit(place).path.lower()
    if path.endswith(VIDEO_SUFFIXES + _PLAYLISTS):
        return True
    return not path.endswith(IMAGE_SUFFIXES) and announced(place)[0].startswith(_STREAM_TYPES)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV prints nothing: our errors say it."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(0)
    try:
        yield
    finally:
        logging.setLogLevel(level)
