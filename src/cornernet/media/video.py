"""Frames of videos and cameras, one after another, read by OpenCV."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg prints nothing on stderr: our errors say it

import cv2
import numpy as np

from cornernet.errors import InputError
from cornernet.media.images import Pixels

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv")
_USUAL_RATE = 25.0  # frames a second, for cameras that do not say
_ESTIMATE = 50  # a container's number of frames may be wrong by one in so many


class Video:
    """A video file, given by its path, or a camera, given by its number; ``place`` is its name in errors.

    ``rate`` is in frames per second; ``length`` in frames, ``None`` for a camera or if the file does not give it.
    Raises ``InputError`` if it cannot be opened.
    """

    def __init__(self, origin: str | int, place: str) -> None:
        self.origin, self.place = origin, place
        with self._opened() as capture:
            rate = capture.get(cv2.CAP_PROP_FPS)
            count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.rate = rate if math.isfinite(rate) and rate > 0 else _USUAL_RATE
        self.length = int(count) if self.is_file and math.isfinite(count) and count >= 1 else None

    @property
    def is_file(self) -> bool:
        return isinstance(self.origin, str)

    def frames(self) -> Iterator[Pixels | InputError]:
        """Frames (H, W, 3) RGB, upright; at the end an ``InputError`` if there are fewer than the file says."""
        count = 0
        with self._opened() as capture:
            while (found := capture.read())[0]:
                count += 1
                yield np.asarray(cv2.cvtColor(found[1], cv2.COLOR_BGR2RGB), np.uint8)
        if not count:
            yield InputError("no frame can be read", self.place, self._fix)
        elif self.length and self.length - count > self.length // _ESTIMATE:
            what = f"ends after {count} of {self.length} frames, truncated or damaged"
            yield InputError(what, self.place, "copy it again")

    @property
    def _fix(self) -> str:
        return "convert it to mp4, or copy it again" if self.is_file else "check that it is connected and free"

    @contextmanager
    def _opened(self) -> Iterator[cv2.VideoCapture]:
        logging = cv2.utils.logging
        level = logging.getLogLevel()
        logging.setLogLevel(0)
        try:
            if isinstance(self.origin, str):
                path = os.path.abspath(self.origin)  # for FFmpeg, text before a colon is a protocol
                capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)  # other backends read fewer formats and print errors
            else:
                capture = cv2.VideoCapture(self.origin)
        finally:
            logging.setLogLevel(level)
        try:
            if not capture.isOpened():
                what = "not a video that can be read" if self.is_file else "no camera there that can be opened"
                raise InputError(what, self.place, self._fix)
            yield capture
        finally:
            capture.release()
