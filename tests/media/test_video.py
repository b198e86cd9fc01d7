"""Videos frame by frame: in order, at their rate, and honest about those that are broken."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cornernet.errors import InputError
from cornernet.media.images import read_image
from cornernet.media.video import Video


def write_video(path: Path, frames: int = 12, rate: float = 29.97, codec: str = "MJPG") -> Path:
    """Grey frames that brighten by 10 each, with noise, so that every frame takes its bytes."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (160, 120))
    noise = np.random.default_rng(0).integers(0, 10, (120, 160, 3), np.uint8)
    for i in range(frames):
        writer.write(noise + np.uint8(10 * i))
    writer.release()
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
    assert all(frame.shape == (120, 160, 3) and frame.dtype == np.uint8 for frame in frames)
    assert [round(frame.mean() / 10 - 0.45) for frame in frames] == list(range(12))


def test_frames_are_rgb(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[..., 0] = 200  # blue, as OpenCV writes it
    cv2.imwrite(str(tmp_path / "blue.png"), image)
    writer = cv2.VideoWriter(str(tmp_path / "blue.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    writer.write(image)
    writer.release()
    frame = next(Video(str(tmp_path / "blue.avi"), "blue.avi").frames())
    assert np.abs(frame.astype(int) - read_image(tmp_path / "blue.png")).max() < 12


def test_a_truncated_video_gives_its_frames_and_then_says_so(tmp_path):
    path = truncate(write_video(tmp_path / "cut.avi"), 0.6)
    *frames, error = Video(str(path), "cut.avi").frames()
    assert 1 < len(frames) < 10
    assert isinstance(error, InputError)
    assert str(error).startswith(f"cut.avi: ends after {len(frames)} of 12 frames")


def test_what_is_no_video(tmp_path, capfd):
    (tmp_path / "text.mp4").write_text("hello")
    headless = truncate(write_video(tmp_path / "cut.mp4", codec="mp4v"), 0.6)  # its index was at the end
    for path in (tmp_path / "text.mp4", headless):
        with pytest.raises(InputError, match=rf"{path.name}: not a video that can be read; convert"):
            Video(str(path), path.name)
    with pytest.raises(InputError, match=r"camera:97: no camera there that can be opened; check"):
        Video(97, "camera:97")
    assert capfd.readouterr().err == ""  # OpenCV and FFmpeg have nothing to add
