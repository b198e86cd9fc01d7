"""What is written about results: readable by others, whole or not at all, and for streams of any length."""

from __future__ import annotations

import csv
import json
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faster_coco_eval import COCO

from chromium import CHROMIUM, browser
from cornernet.data.check import check_data
from cornernet.data.coco import load_coco
from cornernet.data.find import find_data
from cornernet.errors import InputError
from cornernet.inference.stream import Result
from cornernet.media.images import read_image
from cornernet.media.sources import Frame, find_sources, read_frames
from cornernet.media.video import Video
from cornernet.outputs.choice import make_writers, parse_kinds
from cornernet.outputs.image_writers import safe_names
from cornernet.outputs.writer import WriteBehind, Writer
from cornernet.structures import Detections
from media.test_video import VARIABLE, write_matroska, write_video

NAMES = ("cat/dog", 'a "quoted", 🐕')
IMAGE = np.full((100, 200, 3), 120, np.uint8)
BOXES, SCORES, LABELS = (
    [[10, 20, 60.5, 80], [0.4, 0, 200, 99.7], [150.2, 50.2, 150.4, 50.9]],
    [0.9, 0.8, 0.7],
    [1, 0, 1],
)


def result(name: str, boxes=BOXES, scores=SCORES, labels=LABELS) -> Result:
    found = Detections(np.reshape(boxes, (-1, 4)), scores, labels, NAMES, IMAGE.shape[:2])
    return Result(Frame(f"in/{name}.png", name, IMAGE), IMAGE, found)


@pytest.fixture
def results(tmp_path) -> list[Result]:
    """Two images, the second without boxes, and a video of 3 frames."""
    (source,) = find_sources([str(write_video(tmp_path / "clip.avi", frames=3))])
    found = [result("a"), result("b", [], [], [])]
    for frame in read_frames([source], depth=2):
        assert not isinstance(frame.pixels, InputError)
        box = Detections([[10, 20, 30 + frame.index, 40]], [0.5], [0], NAMES, frame.pixels.shape[:2])
        found.append(Result(frame, frame.pixels, box))
    return found


def write(folder: Path, save: str | None, results: list[Result]) -> set[str]:
    folder.mkdir()
    writers = make_writers(parse_kinds(save), folder, NAMES, 0.3, all_frames=bool(save), heatmaps=False)
    with WriteBehind(writers) as written:
        for each in results:
            written.add(each)
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_by_default_json_pictures_of_images_and_a_video_of_a_video(tmp_path, results):
    assert write(tmp_path / "out", None, results) == {"detections.json", "a.jpg", "b.jpg", "clip.webm"}
    picture = read_image(tmp_path / "out" / "a.jpg")
    assert picture.shape == IMAGE.shape
    changed = np.abs(picture.astype(int) - IMAGE).max(2)
    assert changed[20:80, 10].min() > 30
    assert changed[60:70, 20:50].max() < 10
    video = Video(str(tmp_path / "out" / "clip.webm"), "clip.webm")
    assert (video.length, video.rate) == (3, pytest.approx(29.97, rel=0.02))  # WebM counts milliseconds
    plain = next(results[2].frame.video.frames()).pixels
    drawn = next(video.frames()).pixels
    assert drawn.shape == plain.shape
    assert np.abs(drawn[20:40, 10:30].astype(int) - plain[20:40, 10:30]).max() > 60


def test_json(tmp_path, results):
    assert write(tmp_path / "out", "json", results) == {"detections.json"}
    content = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert content["classes"] == list(NAMES)
    assert [image["file"] for image in content["images"]] == ["in/a.png", "in/b.png", *[str(tmp_path / "clip.avi")] * 3]
    assert [image.get("frame") for image in content["images"]] == [None, None, 0, 1, 2]
    assert [image.get("time") for image in content["images"]] == [None, None, 0.0, 0.033, 0.067]
    assert content["images"][0] == {"file": "in/a.png", "height": 100, "width": 200} | {
        "detections": results[0].detections.as_dicts()
    }
    assert write(tmp_path / "none", "json", []) == {"detections.json"}
    assert json.loads((tmp_path / "none" / "detections.json").read_text())["images"] == []


def test_coco_that_other_readers_take(tmp_path, results, capsys):
    files = write(tmp_path / "out", "coco", results)
    names = ["images/a.jpg", "images/b.jpg", *(f"images/clip/00000{i}.jpg" for i in range(3))]
    assert files == {"coco.json", "images/.cornernet-predict", *names}
    coco = COCO(str(tmp_path / "out" / "coco.json"))
    assert [coco.imgs[i]["file_name"] for i in coco.getImgIds()] == names
    assert [coco.imgs[i].get("source") for i in coco.getImgIds()][:3] == ["in/a.png", "in/b.png", None]
    assert {c["name"]: c["id"] for c in coco.dataset["categories"]} == {NAMES[0]: 1, NAMES[1]: 2}
    boxes = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [box["bbox"] for box in boxes[:1]] == [[10, 20, 50.5, 60]]
    assert [(box["category_id"], box["score"]) for box in boxes] == [(2, 0.9), (1, 0.8), (2, 0.7)]
    assert len({box["id"] for box in coco.dataset["annotations"]}) == 6


@pytest.mark.parametrize("save", ["coco", "coco,yolo", "pictures,crops,coco,json,csv,video"])
def test_the_images_that_coco_names_are_there_without_boxes_drawn(tmp_path, results, save):
    write(tmp_path / "out", save, results)
    data = load_coco(tmp_path / "out" / "coco.json", tmp_path / "out", check_files=True)
    assert data.problems == []
    assert len(data.images) == 5
    for image, told in zip(data.images, results, strict=True):
        assert np.abs(image.read().astype(int) - told.image).max() < 30


@pytest.mark.parametrize("format", ["coco", "cvat", "labelstudio", "labelme", "yolo"])
def test_what_is_written_beside_labels_is_not_taken_for_images_without_labels(tmp_path, results, format):
    write(tmp_path / "out", f"pictures,crops,{format}", results)
    labels = find_data(tmp_path / "out")
    found = check_data(labels)
    assert [problem for problem in found.problems if problem.kind != "images that are there twice"] == []
    (data,) = found.datasets.values()
    assert all((tmp_path / "out/images") in image.path.parents for image in data.images)


def test_csv(tmp_path, results):
    assert write(tmp_path / "out", "csv", results) == {"detections.csv"}
    with (tmp_path / "out" / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    first = {"file": "in/a.png", "frame": "", "class": NAMES[1], "score": "0.9"}
    assert rows[0] == first | {"x1": "10.0", "y1": "20.0", "x2": "60.5", "y2": "80.0", "time": ""}
    assert (rows[4]["frame"], rows[4]["x2"], rows[4]["time"]) == ("1", "31.0", "0.033")


def test_yolo(tmp_path, results):
    files = write(tmp_path / "out", "yolo", results)
    names = ("a", "b", "clip/000000", "clip/000001", "clip/000002")
    pairs = {path for n in names for path in (f"labels/{n}.txt", f"images/{n}.jpg")}
    assert files == {"data.yaml", "classes.txt", "images/.cornernet-predict", *pairs}
    assert (tmp_path / "out" / "classes.txt").read_text().splitlines() == list(NAMES)
    lines = (tmp_path / "out" / "labels" / "a.txt").read_text().splitlines()
    label, *numbers = lines[0].split()
    assert (label, len(lines)) == ("1", 3)
    assert [float(n) for n in numbers] == pytest.approx([35.25 / 200, 0.5, 50.5 / 200, 0.6], abs=1e-5)
    assert (tmp_path / "out" / "labels" / "b.txt").read_text() == ""


def test_crops_of_every_box_even_of_less_than_a_pixel(tmp_path, results):
    files = write(tmp_path / "out", "crops", results)
    first, second = safe_names(NAMES)
    assert files == {f"crops/{second}/a_01.jpg", f"crops/{first}/a_02.jpg", f"crops/{second}/a_03.jpg"} | {
        f"crops/{first}/clip/00000{i}_01.jpg" for i in range(3)
    }
    sizes = [read_image(tmp_path / "out" / name).shape[:2] for name in sorted(f for f in files if "/a_" in f)]
    assert sorted(sizes) == [(1, 1), (60, 51), (100, 200)]


def test_class_names_become_folders_that_every_system_takes():
    names = ["a/b", "a\\b", "A_B", "..", "", "con", "x" * 300, "🐕 dog", "new\nline", "ends. "]
    safe = safe_names(names)
    assert len({name.casefold() for name in safe}) == len(names)
    assert safe[:3] == ["a_b", "a_b_2", "A_B_3"]
    assert safe[5:] == ["con_", "x" * 60, "🐕 dog", "new_line", "ends"]
    assert not any(set(name) & set('/\\\n<>:"|?*') or name in ("", ".", "..") for name in safe)


@pytest.mark.parametrize("save", ["", "nothing", "json,", "json pictures"])
def test_words_that_are_no_output(save):
    with pytest.raises(InputError, match="choose from pictures, video, json"):
        parse_kinds(save)


def test_pictures_of_frames_where_they_are_asked_for(tmp_path, results):
    files = write(tmp_path / "out", "pictures", results)
    assert files == {"a.jpg", "b.jpg", "clip/000000.jpg", "clip/000001.jpg", "clip/000002.jpg"}


class Failing(Writer):
    """A disk that is full at the third result."""

    count = 0

    def add(self, result: Result) -> None:
        self.count += 1
        if self.count == 3:
            raise InputError("disk full")


def test_a_failure_leaves_no_half_file(tmp_path, results):
    writers = make_writers(parse_kinds("json,coco,csv,video"), tmp_path, NAMES, 0.3, all_frames=True, heatmaps=False)

    def write_all() -> None:
        with WriteBehind([*writers, Failing()]) as written:
            for each in results:
                written.add(each)

    with pytest.raises(InputError, match="disk full"):
        write_all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.avi", "images"]


def test_two_videos_in_one_call(tmp_path):
    paths = [str(write_video(tmp_path / name / "clip.avi", frames)) for name, frames in make_folders(tmp_path)]
    results = []
    for frame in read_frames(find_sources(paths), depth=2):
        none = Detections(np.zeros((0, 4)), [], [], NAMES, (120, 160))
        results.append(Result(frame, frame.pixels, none))
    assert write(tmp_path / "out", None, results) == {"detections.json", "clip.webm", "clip_2.webm"}
    assert Video(str(tmp_path / "out" / "clip_2.webm"), "").length == 4


def test_a_written_video_keeps_the_times_of_its_source(tmp_path):
    path = write_matroska(tmp_path / "a.mkv", VARIABLE)
    none = Detections(np.zeros((0, 4)), [], [], NAMES, (120, 160))
    frames = read_frames(find_sources([str(path)]), depth=2)
    assert write(tmp_path / "out", "video", [Result(frame, frame.pixels, none) for frame in frames]) == {"a.webm"}
    written = list(Video(str(tmp_path / "out" / "a.webm"), "").frames())
    assert [frame.seconds for frame in written] == pytest.approx([i / 10 for i in range(41)])
    shown = [round(frame.pixels.mean() / 10) for frame in written]
    assert shown == [max(i for i, seconds in enumerate(VARIABLE) if seconds <= k / 10 + 1e-6) for k in range(41)]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_plays_a_written_video(tmp_path, results):
    write(tmp_path / "out", "video", results)
    script = "(v => [v.readyState, v.duration, v.videoWidth, v.videoHeight])(document.querySelector('video'))"
    with browser(tmp_path / "profile") as page:
        page.open((tmp_path / "out" / "clip.webm").as_uri())
        deadline = time.monotonic() + 10
        while (told := page.value(script))[0] < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert told == [4, pytest.approx(0.1, abs=0.01), 160, 120]


def make_folders(parent: Path) -> list[tuple[str, int]]:
    for name in ("one", "two"):
        (parent / name).mkdir()
    return [("one", 2), ("two", 4)]


def test_a_long_stream_does_not_grow_in_memory(tmp_path):
    (tmp_path / "out").mkdir()
    writers = make_writers(parse_kinds("json,coco,csv"), tmp_path / "out", NAMES, 0.3, all_frames=True, heatmaps=False)
    first = result("a")
    frame = replace(first.frame, index=0)
    tracemalloc.start()
    sizes = []
    for index in range(1000):
        for writer in writers:
            writer.add(Result(replace(frame, index=index), IMAGE, first.detections))
        if index in (300, 999):
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 20_000
    for writer in writers:
        writer.finish()
    assert len(json.loads((tmp_path / "out" / "coco.json").read_text())["annotations"]) == 3000


def test_pictures_of_tiled_images_have_text_for_a_tile():
    found = Detections([[1000, 1000, 1100, 1100]], [0.9], [0], ("cat",), (2000, 2000))
    image = np.zeros((2000, 2000, 3), np.uint8)
    frame = Frame("a.png", "a", image)
    whole, parts = ((Result(frame, image, found, None, side).picture > 0).any(2).sum() for side in (None, 500))
    assert parts < whole / 3
