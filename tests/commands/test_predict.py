"""``cornernet predict`` on everything that is not a plain image file: addresses, videos, cameras, tiles, outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cornernet.cli import main
from cornernet.commands.classes import parse_classes
from cornernet.commands.tracking import check_sequences, counts_in_words
from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.errors import InputError
from cornernet.media.sources import Source
from cornernet.media.video import Video
from cornernet.model.cornernet import CornerNet
from cornernet.tracking.counts import CountLine, TrackCounts
from cornernet.weights.store import Weights, save_weights
from media.test_animation import write_animation
from media.test_sources import PAGES, PNG, serving
from media.test_video import truncate, write_video
from small import environment, write_data


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """An untrained network that sees objects everywhere."""
    torch.manual_seed(0)
    architecture = Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
        corner_channels=8,
        branch_channels=8,
    )
    model = CornerNet(architecture, 2)
    stored = Weights(model.state_dict(), architecture, ("red", "blue"), Preprocessing(pad_mask=7), threshold=0.05)
    return save_weights(tmp_path_factory.mktemp("weights") / "small.safetensors", stored)


@pytest.fixture
def predict(weights, tmp_path, capsys):
    """Runs the command into the folder ``out``: its exit code, what it complained of, the images of detections.json."""

    def run(*words: object) -> tuple[int, list[str], list[dict]]:
        capsys.readouterr()
        code = main(["predict", *map(str, words), "--weights", str(weights), "--out", str(tmp_path / "out")])
        said = capsys.readouterr().err.splitlines()
        path = tmp_path / "out" / "detections.json"
        return code, said, json.loads(path.read_text())["images"] if path.exists() else []

    return run


def test_a_video_becomes_a_video(predict, tmp_path):
    code, said, images = predict(write_video(tmp_path / "clip.avi", frames=7), "--batch-size", 3)
    assert (code, said) == (0, [])
    assert [image["frame"] for image in images] == list(range(7))
    assert all(image["detections"] for image in images)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"detections.json", "clip.webm"}
    assert Video(str(tmp_path / "out" / "clip.webm"), "").length == 7


def test_a_truncated_video_and_no_camera_beside_an_image(predict, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    cut = truncate(write_video(tmp_path / "cut.avi"), 0.6)
    code, said, images = predict(cut, "camera:97", tmp_path / "a.png")
    assert code == 2
    assert len(said) == 2
    assert said[0].startswith(f"cornernet: {cut}: ends after")
    assert "camera:97: no camera there" in said[1]
    assert images[-1]["file"] == str(tmp_path / "a.png")
    length = Video(str(tmp_path / "out" / "cut.webm"), "").length
    assert length == len(images) - 1 > 1


def test_an_animation_becomes_a_video(predict, tmp_path):
    path = write_animation(tmp_path / "wave.gif", [100, 200, 300, 400])
    code, said, images = predict(path)
    assert (code, said) == (0, [])
    assert [image["time"] for image in images] == [0.0, 0.1, 0.3, 0.6]
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"detections.json", "wave.webm"}
    assert Video(str(tmp_path / "out" / "wave.webm"), "").length == 10
    assert predict(path, "--save", "video")[0] == 0
    code, said, _ = predict(path, tmp_path / "out" / "wave.webm")
    assert (code, len(said)) == (2, 1)
    assert "wave.webm: a picture would be written over it" in said[0]


def test_the_web_and_standard_input(predict, weights, tmp_path):
    with serving(PAGES) as server:
        code, said, images = predict(f"{server}/page.jpg", f"{server}/moved")
    assert code == 2
    assert [line.startswith(f"cornernet: {server}/page.jpg: a web page") for line in said] == [True]
    assert [image["file"] for image in images] == [f"{server}/moved"]
    words = [
        sys.executable,
        "-m",
        "cornernet",
        "predict",
        "-",
        "--weights",
        str(weights),
        "--out",
        str(tmp_path / "in"),
    ]
    done = subprocess.run(words, input=PNG, capture_output=True, env=environment(), timeout=100, check=True)
    assert b"in 1 images" in done.stdout
    assert {path.name for path in (tmp_path / "in").iterdir()} == {"detections.json", "stdin.jpg"}


def test_a_camera_runs_until_it_is_interrupted(predict, tmp_path, monkeypatch):
    class Camera:
        """Its owner presses Ctrl-C after a while."""

        def __init__(self, *_):
            self.count = 0

        def isOpened(self):
            return True

        def get(self, _):
            return 10.0

        def read(self):
            self.count += 1
            if self.count > 6:
                raise KeyboardInterrupt
            return True, np.zeros((24, 32, 3), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr("cornernet.media.video.cv2.VideoCapture", Camera)
    code, said, images = predict("camera:0", "--save", "json,csv")
    assert (code, said) == (0, [])
    assert [image["file"] for image in images] == ["camera:0"] * 6
    assert (tmp_path / "out" / "detections.csv").read_text().count("\n") > 6


def test_tiles(predict, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    whole = predict(tmp_path / "a.png")[2][0]
    code, said, images = predict(tmp_path / "a.png", "--tile", "40,20", "--batch-size", 4)
    assert (code, said) == (0, [])
    assert (images[0]["height"], images[0]["width"]) == (60, 90)
    assert len(images[0]["detections"]) > len(whole["detections"])
    longest = max(max(d["box"][2] - d["box"][0], d["box"][3] - d["box"][1]) for d in images[0]["detections"])
    assert longest <= 40.1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tile", "0"], "give a size above 0 and a smaller overlap"),
        (["--tile", "100,200"], "give a size above 0 and a smaller overlap"),
        (["--tile", "large"], "as 1024,256 or 1024 alone"),
        (["--tile", "100", "--heatmaps"], "leave --tile out"),
        (["--save", "jpeg"], "choose from pictures"),
        (["--save", "video"], "no video, camera or animation among the sources"),
        (["camera:one"], "camera:0"),
        (["--every", "2"], "--every 2: there is no video or camera among the sources"),
        (["--every", "0"], "--every 0: give a number above 0"),
        (["--line-width", "0"], "--line-width 0: give a number above 0"),
        (["--line-width", "3", "--save", "json,csv"], "--line-width: changes pictures and videos, and --save has none"),
        (
            ["--hide-labels", "--save", "yolo"],
            "--hide-labels: changes pictures and videos",
        ),
        (["--track"], "a.png: is one image, and only frames of one video have objects that stay"),
        (["--count-line", "0,0,1,1"], "--count-line 0,0,1,1: counts the objects of --track; give --track too"),
        (["--track", "--count-line", "1,1,1,1"], "--count-line 1,1,1,1: give two points in pixels"),
        (["--track", "--count-line", "1,2,3"], "--count-line 1,2,3: give two points in pixels, as x1,y1,x2,y2"),
        (["--track", "--count-line", "0,0,nan,1"], "give two points in pixels"),
        (["--classes", "rde"], "no class 'rde'; did you mean red?"),
    ],
)
def test_words_that_make_no_sense_are_found_before_anything_is_done(words, said, predict, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((20, 30, 3), np.uint8))
    code, lines, _ = predict(tmp_path / "a.png", *words)
    assert code == 2
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "out").exists()


def test_only_the_classes_that_are_asked_for_are_written(predict, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    (whole,) = predict(tmp_path / "a.png")[2]
    assert {d["class"] for d in whole["detections"]} == {"red", "blue"}
    words = ("--save", "pictures,json,coco,yolo,csv,crops", "--classes", "blue")
    code, said, (image,) = predict(tmp_path / "a.png", *words, "--heatmaps")
    assert (code, said) == (0, [])
    assert image["detections"] == [d for d in whole["detections"] if d["class"] == "blue"]
    count = len(image["detections"])
    out = tmp_path / "out"
    assert [path.name for path in (out / "crops").iterdir()] == ["blue"]
    assert {a["category_id"] for a in json.loads((out / "coco.json").read_text())["annotations"]} == {2}
    assert {line[0] for line in (out / "labels" / "a.txt").read_text().splitlines()} == {"1"}
    assert (out / "detections.csv").read_text().count(",blue,") == count


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("salt, pepper,dog", {1, 2}),
        ("dog", {2}),
        ("salt,dog", {0, 2}),
        ("2, 0", {2, 0}),
        ("salt,  pepper", {1}),
        ("7", {3}),
        ("1", {1}),
        (None, None),
    ],
)
def test_names_and_numbers_of_classes(text, found):
    assert parse_classes(text, ("salt", "salt, pepper", "dog", "7")) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dgo", "classes: the weights have no class 'dgo'; did you mean dog?"),
        ("dog,", "classes: the weights have no class ''; there are cat, dog (numbers 0 to 1)"),
        ("2", "classes: the weights have no class '2'; there are cat, dog (numbers 0 to 1)"),
        ("cat dog", "classes: the weights have no class 'cat dog'; did you mean dog?"),
    ],
)
def test_classes_that_are_none(text, said):
    with pytest.raises(InputError) as caught:
        parse_classes(text, ("cat", "dog"))
    assert str(caught.value) == said


def test_every_third_frame(predict, tmp_path):
    clip = write_video(tmp_path / "clip.avi", frames=10, rate=10)
    whole = predict(clip)[2]
    code, said, images = predict(clip, "--every", 3, "--save", "json,video,csv")
    assert (code, said) == (0, [])
    assert images == whole[::3]
    assert [(image["frame"], image["time"]) for image in images] == [(0, 0.0), (3, 0.3), (6, 0.6), (9, 0.9)]
    video = Video(str(tmp_path / "out" / "clip.webm"), "")
    assert [frame.seconds for frame in video.frames()] == pytest.approx([0, 0.3, 0.6, 0.9], abs=0.002)


def test_objects_of_a_video_are_numbered(predict, tmp_path):
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    film = cv2.VideoWriter(str(tmp_path / "still.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (60, 40))
    for _ in range(4):
        film.write(frame)
    film.release()
    plain = predict(tmp_path / "still.avi")[2]
    words = ("--track", "--count-line=-1,20,60,20", "--save", "json,video,csv,coco,pictures")
    code, said, images = predict(tmp_path / "still.avi", *words)
    assert (code, said) == (0, [])
    for image, before in zip(images, plain, strict=True):
        assert [{k: v for k, v in d.items() if k != "track"} for d in image["detections"]] == before["detections"]
    counts = json.loads((tmp_path / "out" / "detections.json").read_text())["counts"]
    numbers = {d["track"] for image in images for d in image["detections"]} - {None}
    assert sum(counts.values()) == len(numbers) > 3
    assert Video(str(tmp_path / "out" / "still.webm"), "").length == 4


LINE = CountLine(0, 0, 9, 9)


@pytest.mark.parametrize(
    ("objects", "line", "words"),
    [
        ({}, None, "0 objects"),
        ({"dog": 1}, None, "1 object: 1 dog"),
        (
            {"dog": 1, "cat": 2},
            CountLine(0, 0, 9, 9),
            "3 objects: 2 cat, 1 dog; crossings to the left 2, to the right 4",
        ),
    ],
)
def test_counts_are_told(objects, line, words):
    assert counts_in_words(TrackCounts(objects, {"dog": 2}, {"dog": 3, "cat": 1}, line)) == words


def test_counts_of_a_video_are_printed(weights, tmp_path, capsys):
    words = [str(write_video(tmp_path / "clip.avi", frames=3)), "--weights", str(weights), "--out", str(tmp_path)]
    assert main(["predict", *words, "--track", "--save", "json"]) == 0
    counts = json.loads((tmp_path / "detections.json").read_text())["counts"]
    assert capsys.readouterr().out.startswith(f"clip: {sum(counts.values())} object")


def test_numbered_frames_of_a_folder_are_a_video(predict, tmp_path):
    frame = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    (tmp_path / "seq").mkdir()
    for i in range(8, 12):
        cv2.imwrite(str(tmp_path / "seq" / f"f{i:03}.png"), frame)
    code, said, images = predict(tmp_path / "seq", "--track", "--save", "json")
    assert (code, said) == (0, ["cornernet: 4 numbered images are taken for the frames of one video"])
    first, last = ({d["track"] for d in images[i]["detections"]} for i in (0, 3))
    assert first == last
    assert None not in first
    cv2.imwrite(str(tmp_path / "seq" / "cover.png"), frame)
    code, said, _ = predict(tmp_path / "seq", "--track", "--save", "csv")
    assert code == 2
    assert "is one image, and only frames of one video have objects that stay; leave --track out, or give" in said[0]
    assert not (tmp_path / "out" / "detections.csv").exists()


def test_an_animation_is_tracked(predict, tmp_path):
    frames = [Image.fromarray(np.full((40, 60, 3), 60 + 40 * i, np.uint8)) for i in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    code, said, images = predict(tmp_path / "a.gif", "--track", "--save", "json")
    assert (code, said, len(images)) == (0, [], 3)
    assert all("track" in d for image in images for d in image["detections"])
    code, said, images = predict(tmp_path / "a.gif", "--every", 2, "--save", "json,video")
    assert (code, said) == (0, [])
    assert [(image["frame"], image["time"]) for image in images] == [(0, 0.0), (2, 0.2)]
    assert Video(str(tmp_path / "out" / "a.webm"), "").length == 2


@pytest.mark.parametrize(
    ("names", "is_one"),
    [
        (("f8", "f9", "f10"), True),
        (("f10", "f8", "f9"), False),
        (("1", "2"), True),
        (("a1", "b2"), False),
        (("a", "b"), False),
        (("000001",), False),
        (("2024-11-30_0001", "2024-11-30_0002"), True),
    ],
)
def test_names_that_make_a_sequence(names, is_one, tmp_path):
    for name in names:
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    sources = [Source(str(tmp_path / f"{name}.png"), name) for name in names]
    if is_one:
        assert check_sequences(sources)
    else:
        with pytest.raises(InputError, match="is one image"):
            check_sequences(sources)
    assert not check_sequences([])


def test_a_source_is_not_written_over(predict, tmp_path):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "a.jpg"
    cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    before = path.read_bytes()
    code, said, _ = predict(path)
    assert code == 2
    assert "--out" in said[0]
    assert path.read_bytes() == before


def test_a_source_is_not_written_over_by_the_picture_of_another(predict, tmp_path):
    (tmp_path / "out").mkdir()
    first, second = tmp_path / "a.png", tmp_path / "out" / "a.jpg"
    for path in (first, second):
        cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    before = second.read_bytes()
    code, said, _ = predict(first, second)
    assert code == 2
    assert said == [f"cornernet: {second}: a picture would be written over it; give another folder with --out"]
    assert predict(first, second, "--save", "json")[0] == 0  # no picture, no harm
    assert second.read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text here")
def test_names_that_are_no_text_or_have_a_colon(predict, weights, tmp_path, monkeypatch):
    name = os.fsdecode(b"\xff.png")
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    os.rename(tmp_path / "a.png", tmp_path / name)
    code, _, images = predict(tmp_path / name, "--save", "json,csv")
    assert (code, images[0]["file"]) == (0, str(tmp_path / name))
    os.rename(write_video(tmp_path / "clip.avi", frames=3), tmp_path / "12:30.avi")
    monkeypatch.chdir(tmp_path)
    assert main(["predict", "12:30.avi", "--weights", str(weights), "--out", "."]) == 0
    assert Video("12:30.webm", "").length == 3


def test_every_output_at_once(predict, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    assert predict(tmp_path / "a.png", "--save", "pictures,json,coco,yolo,csv,crops")[0] == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    labels = {"classes.txt", "data.yaml", "images", "labels"}
    assert names == {"a.jpg", "coco.json", "crops", "detections.csv", "detections.json", *labels}


def test_evaluate_in_tiles(weights, tmp_path, capsys):
    data = write_data(tmp_path / "data", train=1, val=2)
    words = [
        "evaluate",
        "--weights",
        str(weights),
        "--data",
        str(data),
        "--out",
        str(tmp_path / "e"),
        "--tile",
        "40,20",
    ]
    assert main(words) == 0
    assert json.loads((tmp_path / "e" / "metrics.json").read_text())["settings"]["tile"] == "40,20"
    predictions = json.loads((tmp_path / "e" / "predictions.json").read_text())
    assert 40.1 > max(max(p["bbox"][2:]) for p in predictions) > 20
    capsys.readouterr()
    assert main([*words, "--oracle", "heatmaps"]) == 2
    assert "--tile" in capsys.readouterr().err
