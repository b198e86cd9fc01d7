"""Animations: their frames have times, and become a video that lasts as long."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from cornernet.errors import InputError
from cornernet.inference.stream import Result
from cornernet.media.animation import Animation, is_animation
from cornernet.media.sources import find_sources, read_frames
from cornernet.media.video import Video
from cornernet.outputs.choice import make_writers, parse_kinds
from cornernet.outputs.writer import WriteBehind
from cornernet.structures import Detections

NAMES = ["a.gif", "a.png", "a.webp", "a.avif"]
SHADES = [30, 90, 150, 210]


def write_animation(path: Path, durations: list[int], **options: object) -> Path:
    """Grey frames, each darker than the next one; milliseconds."""
    if path.suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow does not write AVIF")
    first, *others = (Image.new("RGB", (64, 48), (shade,) * 3) for shade in SHADES[: len(durations)])
    first.save(path, save_all=True, append_images=others, duration=durations, **options)
    return path


def write(path: Path, out: Path, save: str | None) -> set[str]:
    out.mkdir()
    with WriteBehind(make_writers(parse_kinds(save), out, ["x"], 0.3, all_frames=bool(save), heatmaps=False)) as to:
        for frame in read_frames(find_sources([str(path)]), depth=2):
            assert not isinstance(frame.pixels, InputError)
            box = Detections([[10, 20, 30, 40]], [0.5], [0], ["x"], frame.pixels.shape[:2])
            to.add(Result(frame, frame.pixels, box))
    return {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_frames_have_their_times(tmp_path, name):
    path = write_animation(tmp_path / name, [100, 200, 300, 400])
    assert is_animation(str(path))
    frames = list(read_frames(find_sources([str(path)]), depth=2))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.6])
    assert [frame.stem for frame in frames] == [f"a/00000{i}" for i in range(4)]
    assert [int(np.median(frame.pixels)) for frame in frames] == pytest.approx(SHADES, abs=2)
    assert frames[0].video.rate == pytest.approx(10)


@pytest.mark.parametrize("name", NAMES)
def test_an_animation_becomes_a_video_that_lasts_as_long(tmp_path, name):
    path = write_animation(tmp_path / name, [100, 200, 300, 400])
    assert write(path, tmp_path / "out", None) == {"detections.json", "a.webm"}
    frames = list(Video(str(tmp_path / "out" / "a.webm"), "").frames())
    assert [frame.seconds for frame in frames] == pytest.approx([i / 10 for i in range(10)])
    shown = [int(np.median(frame.pixels)) for frame in frames]
    assert shown == pytest.approx([shade for i, shade in enumerate(SHADES) for _ in range(i + 1)], abs=8)


def test_times_in_tables(tmp_path):
    path = write_animation(tmp_path / "a.gif", [150, 250])
    files = write(path, tmp_path / "out", "json,csv,coco,pictures")
    assert {"a/000000.jpg", "a/000001.jpg"} <= files
    for name in ("detections.json", "coco.json"):
        images = json.loads((tmp_path / "out" / name).read_text())["images"]
        assert [(image["frame"], image["time"]) for image in images] == [(0, 0.0), (1, 0.15)]
    with (tmp_path / "out/detections.csv").open(newline="") as file:
        assert [(row["frame"], row["time"]) for row in csv.DictReader(file)] == [("0", "0.0"), ("1", "0.15")]


def test_pages_have_no_time_and_no_video(tmp_path):
    path = write_animation(tmp_path / "a.tif", [100, 100])
    assert write(path, tmp_path / "out", None) == {"detections.json", "a/000000.jpg", "a/000001.jpg"}
    images = json.loads((tmp_path / "out/detections.json").read_text())["images"]
    assert [(image["frame"], image.get("time")) for image in images] == [(0, None), (1, None)]
    write(path, tmp_path / "tables", "csv,coco")
    images = json.loads((tmp_path / "tables/coco.json").read_text())["images"]
    assert not any("time" in image for image in images)
    with (tmp_path / "tables/detections.csv").open(newline="") as file:
        assert [(row["frame"], row["time"]) for row in csv.DictReader(file)] == [("0", ""), ("1", "")]


@pytest.mark.parametrize(
    ("durations", "rate"),
    [
        ([40, 40, 40], 25),
        ([700, 1300], 10),
        ([30, 40, 40], 1 / 0.03),  # the common step of 10 ms would be 100 frames a second
        ([5000, 5000], 1),  # each shown five times
        ([1500, 3000], 4 / 3),
        ([0, 0], 10),  # as browsers show it
        ([60_000, 20], 50),
        ([60_000, 61_010], 1),
    ],
)
def test_the_rate_comes_from_the_durations(tmp_path, durations, rate):
    path = write_animation(tmp_path / "a.gif", durations)
    assert Animation(str(path)).rate == pytest.approx(rate)
    assert Animation(path.read_bytes()).rate == pytest.approx(rate)


@pytest.mark.parametrize(("size", "written"), [((1, 1), (16, 16)), ((200, 3), (200, 16)), ((33, 17), (32, 16))])
def test_animations_of_any_size_become_videos(tmp_path, size, written):
    pictures = [Image.new("RGB", size, (shade, 0, 0)) for shade in (9, 99)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    write(tmp_path / "a.gif", tmp_path / "out", None)
    frames = list(Video(str(tmp_path / "out/a.webm"), "").frames())
    assert [frame.pixels.shape[1::-1] for frame in frames] == [written] * 2


def test_what_is_no_animation(tmp_path):
    for name in ("still.gif", "still.png", "still.webp", "still.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        assert not is_animation(str(tmp_path / name))
        (frame,) = read_frames(find_sources([str(tmp_path / name)]), depth=1)
        assert (frame.video, frame.index, frame.seconds) == (None, None, None)
    assert not is_animation(str(tmp_path / "gone.gif"))


def test_the_picture_of_programs_that_show_no_animations_is_looked_at_and_not_in_the_video(tmp_path):
    path = write_animation(tmp_path / "a.png", [200, 200, 200], default_image=True)
    frames = list(read_frames(find_sources([str(path)]), depth=2))
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0, 0.2])
    write(path, tmp_path / "out", "video")
    shown = [int(np.median(frame.pixels)) for frame in Video(str(tmp_path / "out/a.webm"), "").frames()]
    assert shown == pytest.approx(SHADES[1:3], abs=8)


def test_a_damaged_frame_costs_only_itself_and_those_after_it(tmp_path):
    path = write_animation(tmp_path / "a.gif", [100, 200, 300, 400])
    path.write_bytes(path.read_bytes()[:-12])
    frames = list(read_frames(find_sources([str(path)]), depth=2))
    errors = [str(frame.pixels) for frame in frames if isinstance(frame.pixels, InputError)]
    assert len(errors) == 1
    assert "a.gif (picture 4 of 4): truncated or damaged" in errors[0]
    assert [frame.seconds for frame in frames[:3]] == pytest.approx([0, 0.1, 0.3])
