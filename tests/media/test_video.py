"""Videos frame by frame: in order, at their rate, and honest about those that are broken."""

from __future__ import annotations

import re
import struct
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from cornernet.errors import InputError
from cornernet.media.images import read_image
from cornernet.media.sources import find_sources, read_frames, total_frames
from cornernet.media.video import Video, lost_times

VARIABLE = [0, 0.1, 0.2, 0.7, 1.2, 1.3, 2.0, 2.1, 3.0, 3.1, 3.2, 4.0]


def write_video(path: Path, frames: int = 12, rate: float = 29.97, codec: str = "MJPG") -> Path:
    """Grey frames that brighten by 10 each, with noise, so that every frame takes its bytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (160, 120))
    noise = np.random.default_rng(0).integers(0, 10, (120, 160, 3), np.uint8)
    for i in range(frames):
        writer.write(noise + np.uint8(10 * (i % 24)))
    writer.release()
    return path


def write_matroska(path: Path, times: list[float], frame_seconds: float = 0.001) -> Path:
    """An MKV of JPEG frames at these times, whose header says that each takes ``frame_seconds``."""

    def element(name: str, *content: bytes) -> bytes:
        return bytes.fromhex(name) + (1 << 56 | len(b"".join(content))).to_bytes(8, "big") + b"".join(content)

    def number(name: str, value: int) -> bytes:
        return element(name, value.to_bytes(8, "big"))

    head = element("1a45dfa3", element("4282", b"matroska"), number("4287", 4), number("4285", 2))
    info = element("1549a966", number("2ad7b1", 1_000_000), element("4489", struct.pack(">d", 1000 * times[-1] + 1)))
    size = element("e0", number("b0", 160), number("ba", 120))
    named = number("d7", 1), number("73c5", 1), number("83", 1), element("86", b"V_MJPEG")
    track = element("1654ae6b", element("ae", *named, number("23e383", int(1e9 * frame_seconds)), size))
    blocks = []
    for i, seconds in enumerate(times):
        jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), 10 * i, np.uint8))[1].tobytes()
        blocks.append(element("a3", b"\x81", int(1000 * seconds).to_bytes(2, "big"), b"\x80", jpeg))
    path.write_bytes(head + element("18538067", info, track, element("1f43b675", number("e7", 0), *blocks)))
    return path


def truncate(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v")])
def test_frames_come_in_order_with_rate_and_length(tmp_path, name, codec):
    video = Video(str(write_video(tmp_path / name, codec=codec)), name)
    assert (video.length, video.rate, video.is_file) == (12, pytest.approx(29.97), True)
    frames = list(video.frames())
    assert all(frame.pixels.shape == (120, 160, 3) and frame.pixels.dtype == np.uint8 for frame in frames)
    assert [round(frame.pixels.mean() / 10 - 0.45) for frame in frames] == list(range(12))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 29.97 for i in range(12)], abs=2e-3)


def test_frames_are_rgb(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = 200  # blue, as OpenCV writes it
    cv2.imwrite(str(tmp_path / "blue.png"), image)
    writer = cv2.VideoWriter(str(tmp_path / "blue.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(image)
    writer.release()
    frame = next(Video(str(tmp_path / "blue.avi"), "blue.avi").frames()).pixels
    assert np.abs(frame.astype(int) - read_image(tmp_path / "blue.png")).max() < 12


@pytest.mark.parametrize(
    ("name", "codec"), [("cut.avi", "MJPG"), ("cut.webm", "VP80"), ("cut.mkv", "MJPG"), ("cut.flv", "FLV1")]
)
def test_a_truncated_video_gives_its_frames_and_then_says_so(tmp_path, name, codec):
    whole = write_video(tmp_path / name, 60, codec=codec)
    assert len(list(Video(str(whole), name).frames())) == 60
    missing = whole.stat().st_size
    path = truncate(whole, 0.6)
    missing -= path.stat().st_size
    *frames, error = Video(str(path), name).frames()
    assert 20 < len(frames) < 50
    assert isinstance(error, InputError)
    told = int(
        re.fullmatch(rf"{name}: ends after \d\.\d s, truncated: ([\d,]+) bytes .*", str(error))[1].replace(",", "")
    )
    assert told in (missing, missing - 1) or (name == "cut.flv" and 0 < told <= missing)


def damage(path: Path, share: float, seed: int | None = 0) -> Path:
    """Overwrite a part of the file, from its middle on, with noise or (without ``seed``) zeros; its size stays."""
    data = bytearray(path.read_bytes())
    middle, count = len(data) // 2, int(share * len(data))
    noise = bytes(count) if seed is None else np.random.default_rng(seed).bytes(count)
    data[middle : middle + count] = noise
    path.write_bytes(data)
    return path


DAMAGED = [
    ("a.avi", "MJPG"),
    ("x.avi", "XVID"),
    ("a.mp4", "mp4v"),
    ("m.mp4", "MJPG"),
    ("a.webm", "VP80"),
    ("a.mkv", "MJPG"),
    ("a.flv", "FLV1"),
    ("a.ts", "MPG2"),
    ("a.mpg", "MPG1"),
]


@pytest.mark.parametrize(("name", "codec"), DAMAGED)
@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_a_video_with_a_damaged_middle_gives_its_other_frames_and_then_says_so(tmp_path, name, codec, share, seed):
    path = write_video(tmp_path / name, 60, codec=codec)
    assert len(list(Video(str(path), name).frames())) == 60
    *frames, error = Video(str(damage(path, share, seed)), name).frames()
    assert 20 < len(frames) < 60
    said = r"damaged(: \d+ of its frames cannot be read, the first at 1\.\d s| at byte [\d,]+: frames are lost there)"
    assert re.fullmatch(rf"{name}: {said}; copy it again", str(error))


@pytest.mark.parametrize("codec", ["mp4v", "MJPG"])
def test_frames_behind_a_damaged_one_are_read(tmp_path, codec):
    path = damage(write_video(tmp_path / "a.mp4", 60, codec=codec), 0.05)
    *frames, error = Video(str(path), "a.mp4").frames()
    assert str(error).startswith("a.mp4: damaged: 3 of its frames cannot be read, the first at 1.")
    assert len(frames) == 57
    assert frames[-1].seconds == pytest.approx(59 / 29.97, abs=2e-3)


@pytest.mark.parametrize(
    ("frames", "packets", "lost"),
    [
        ([0, 0.1, 0.2, 0.3], [0, 0.1, 0.2, 0.3], []),
        ([0, 0.1, 0.3, 0.4], [0, 0.1, 0.2, 0.3, 0.4], [0.2]),
        ([0, 0.1], [0, 0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4]),
        ([0, 0.1, 0.2], [0, 0.1, 0.2, 0.3], []),  # the last one alone may be half a frame
        ([1, 1.1, 1.2], [0.8, 0.9, 1, 1.1, 1.2], []),  # before an edit list's begin
        ([0, 0.1, 0.2], [0, 0.05, 0.1, 0.15, 0.2], []),  # second fields
        ([0, 0.1, 0.2], [0, 0.1, 0.101, 0.2], []),  # a hidden frame of VP8
        ([0, 0, 0], [0, 0, 0, 0], []),  # a raw stream has no times
        ([], [0, 0.1], []),
    ],
)
def test_lost_times(frames, packets, lost):
    assert lost_times(frames, packets) == pytest.approx(lost)


def test_the_rate_and_the_end_are_those_of_the_frames_not_of_the_header(tmp_path):
    """12 frames in 4 s in a file that promises 1000 frames a second for 4 s."""
    path = write_matroska(tmp_path / "a.mkv", VARIABLE)
    video = Video(str(path), "a.mkv")
    assert (video.said_rate, video.rate) == (1000, pytest.approx(10))
    frames = list(video.frames())
    assert [frame.seconds for frame in frames] == pytest.approx(VARIABLE)


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "variable")])
def test_frames_that_are_not_looked_at_keep_their_numbers_and_times(tmp_path, name, codec):
    path = tmp_path / name
    write_matroska(path, VARIABLE) if codec == "variable" else write_video(path, codec=codec)
    (source,) = find_sources([str(path)])
    all_frames = list(read_frames([source], depth=2))
    for every in (2, 5, 12, 100):
        some = list(read_frames([source], depth=2, every=every))
        assert [frame.index for frame in some] == list(range(0, 12, every))
        assert codec == "variable" or len(some) == total_frames([source], every)
        for frame in some:
            assert frame.seconds == all_frames[frame.index].seconds
            assert np.array_equal(frame.pixels, all_frames[frame.index].pixels)


def test_frames_that_are_not_looked_at_are_not_made_into_pixels(tmp_path, monkeypatch):
    video, read, real = Video(str(write_video(tmp_path / "a.avi")), "a.avi"), [], cv2.VideoCapture

    class Counting:  # a subclass of OpenCV's would crash Python
        def __init__(self, *words):
            self.capture = real(*words)

        def read(self):
            read.append(1)
            return self.capture.read()

        def __getattr__(self, name):
            return getattr(self.capture, name)

    monkeypatch.setattr("cornernet.media.video.cv2.VideoCapture", Counting)
    assert len(list(video.frames(every=6))) == 2
    assert len(read) <= 3  # and one that finds the end


def test_the_end_of_a_video_is_found_where_its_last_frames_are_not_looked_at(tmp_path):
    path = truncate(write_video(tmp_path / "cut.avi", 60), 0.6)
    *some, error = Video(str(path), "cut.avi").frames(every=50)
    *every, same = Video(str(path), "cut.avi").frames()
    assert (len(some), str(error)) == (1, str(same))
    assert len(every) > 20


def test_a_video_is_one_by_its_content(tmp_path):
    for name in ("clip", "clip.bin"):
        write_video(tmp_path / "a.avi", 5).rename(tmp_path / name)
        assert find_sources([str(tmp_path / name)])[0].length == 5
    (tmp_path / "notes").write_text("nothing to look at\n" * 50)
    (tmp_path / "app.ts").write_text("import {a} from 'b'\n" * 50)
    (tmp_path / "clip.MTS").write_bytes((tmp_path / "clip").read_bytes())
    (frame,) = read_frames(find_sources([str(tmp_path / "notes")]), 1)
    assert "not an image that can be read" in str(frame.pixels)
    assert [source.name for source in find_sources([str(tmp_path)])] == ["clip"]


def test_what_is_no_video(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("hello")
    headless = truncate(write_video(tmp_path / "cut.mp4", codec="mp4v"), 0.6)  # its index was at the end
    (tmp_path / "empty.mp4").touch()
    for name, why in (
        ("text.mp4", r"not a video that can be read \(sound alone, or an unknown format\); convert"),
        (headless.name, "not a video that can be read: truncated, at least [0-9,]+ bytes are missing; convert"),
        ("empty.mp4", "the file is empty"),
        ("gone.mp4", "no such file"),
    ):
        with pytest.raises(InputError, match=f"{name}: {why}"):
            Video(str(tmp_path / name), name)
    with pytest.raises(InputError, match=r"camera:97: no camera there that can be opened; check"):
        Video(97, "camera:97")
    assert capfd.readouterr().err == ""  # OpenCV and FFmpeg have nothing to add


def test_a_break_of_a_stream_is_in_the_times(monkeypatch):
    """FFmpeg holds the first frames back for 3 s, twice; the second time 7 s are lost between them."""
    clock = [0.0]
    monkeypatch.setattr("cornernet.media.video.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("cornernet.media.video._PAUSES", (0,))
    live, sessions = Video.__new__(Video), [0.0, 12.0]
    live.origin, live.place, live.is_live, live._stopped = "rtsp://cam/x", "rtsp://cam/x", True, threading.Event()

    def read_once(offset, last, count, every):
        start = sessions.pop(0)
        for i in range(50):
            clock[0] = start + max(3.0, 0.1 * i)
            yield offset + 0.1 * i, np.zeros((2, 2, 3), np.uint8)
        clock[0] = sessions[0] if sessions else clock[0]

    monkeypatch.setattr(live, "_read_once", read_once)
    *frames, _ = live.frames()
    assert [frame.seconds for frame in frames[48:52]] == pytest.approx([4.8, 4.9, 12.0, 12.1])
