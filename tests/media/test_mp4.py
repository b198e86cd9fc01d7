"""What is cut off from an MP4 and how it is mirrored: files as OpenCV writes them, with a changed header."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_video import damage, write_video

from cornernet.errors import InputError
from cornernet.media.mp4 import Mp4Track, mp4_track
from cornernet.media.video import Video

MATRICES = {  # a b c d of the track's header, and what becomes of the mark in the upper left corner
    "as it is": ((1, 0, 0, 1), (0, 0)),
    "left to right": ((-1, 0, 0, 1), (0, 1)),
    "top to bottom": ((1, 0, 0, -1), (1, 0)),
    "quarter": ((0, 1, -1, 0), (0, 1)),
    "half": ((-1, 0, 0, -1), (1, 1)),
    "quarter back": ((0, -1, 1, 0), (1, 0)),
    "rows are columns": ((0, 1, 1, 0), (0, 0)),
    "rows are columns, from the end": ((0, -1, -1, 0), (1, 1)),
}


def edit(path: Path, begin: int, frames: int | None = None, *, speed: int = 1) -> Path:
    """Let an MP4 show only ``frames`` of its frames, from ``begin`` on."""
    data = bytearray(path.read_bytes())
    unit = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)[0]
    movie_unit = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)[0]
    place = data.index(b"elst") + 12
    duration, start = struct.unpack_from(">Ii", data, place)
    duration = duration if frames is None else round(movie_unit * frames / 29.97)
    struct.pack_into(">Iih", data, place, duration, start + round(unit * begin / 29.97), speed)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("begin", "frames", "expected"), [(24, None, 36), (0, 30, 30), (24, 20, 20)])
def test_a_trimmed_video_is_not_damaged(tmp_path, begin, frames, expected):
    path = edit(write_video(tmp_path / "a.mp4", 60, codec="mp4v"), begin, frames)
    seen = list(Video(str(path), "a.mp4").frames())
    assert [frame.number for frame in seen] == list(range(expected))
    assert [frame.seconds for frame in seen] == pytest.approx([i / 29.97 for i in range(expected)], abs=2e-3)
    assert [round(frame.pixels.mean() / 10 - 0.45) for frame in seen[:3]] == [begin % 24 + i for i in range(3)]


def test_a_trimmed_video_that_is_damaged_too(tmp_path):
    path = edit(damage(write_video(tmp_path / "a.mp4", 60, codec="mp4v"), 0.05), 12)
    *frames, error = Video(str(path), "a.mp4").frames()
    assert len(frames) < 48
    assert isinstance(error, InputError)
    assert "of its frames cannot be read, the first at 0." in str(error)


def test_parts_and_speeds_are_not_known(tmp_path):
    path = edit(write_video(tmp_path / "a.mp4", codec="mp4v"), 0, speed=2)
    assert not mp4_track(str(path)).is_known
    assert all(not isinstance(frame, InputError) for frame in Video(str(path), "a.mp4").frames())


@pytest.mark.parametrize("name", MATRICES)
def test_frames_are_turned_and_mirrored(tmp_path, name):
    path, ((a, b, c, d), corner) = tmp_path / "a.mp4", MATRICES[name]
    image = np.zeros((120, 160, 3), np.uint8)
    image[:30, :40] = 255
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 120))
    writer.write(image)
    writer.release()
    data = bytearray(path.read_bytes())
    one = 1 << 16
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    pixels = next(Video(str(path), "a.mp4").frames()).pixels
    assert pixels.shape[:2] == ((120, 160) if a else (160, 120))
    bright = [[half.mean() for half in np.array_split(rows, 2, axis=1)] for rows in np.array_split(pixels, 2)]
    assert np.unravel_index(np.argmax(bright), (2, 2)) == corner


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x10moov\0\0", b"\0\0\0\x08moov", b"no video" * 20])
def test_no_mp4(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    assert mp4_track(str(tmp_path / "a.mp4")) == (0, float("inf"), True, False)


def test_boxes_in_boxes_without_end(tmp_path):
    """A hostile header of 160 kB: each box holds nothing but the next one."""
    content = b""
    for _ in range(20_000):
        content = (len(content) + 8).to_bytes(4) + b"mdia" + content
    for name in (b"trak", b"moov"):
        content = (len(content) + 8).to_bytes(4) + name + content
    (tmp_path / "a.mp4").write_bytes(content)
    assert mp4_track(str(tmp_path / "a.mp4")) == Mp4Track()
