"""Results get the numbers of their objects: of each video its own, with strong boxes alone, and none is lost."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest

from cornernet.drawing.style import BoxStyle
from cornernet.drawing.text import class_color
from cornernet.errors import InputError
from cornernet.inference.stream import Result
from cornernet.inference.tracked import track_results
from cornernet.media.sources import Frame
from cornernet.media.video import Video
from cornernet.outputs.choice import make_writers, parse_kinds
from cornernet.outputs.writer import WriteBehind
from cornernet.structures import Detections
from cornernet.tracking.counts import CountLine
from media.test_video import write_video

NAMES = ("person", "dog")


@pytest.fixture
def video(tmp_path) -> Video:
    return Video(str(write_video(tmp_path / "clip.avi", rate=10)), "clip.avi")


def result(index: int, *found: tuple[float, float, int], video: Video | None = None, name: str = "clip") -> Result:
    """Boxes 20 pixels wide at (x, score, label) in an image of 160x120."""
    boxes = np.reshape([[x - 10, 50, x + 10, 70] for x, _, _ in found], (-1, 4))
    detections = Detections(boxes, [s for _, s, _ in found], [k for *_, k in found], NAMES, (120, 160))
    image = np.full((120, 160, 3), 120, np.uint8)
    frame = Frame(f"{name}.avi", name, image, video, index, index / 10)
    return Result(frame, image, detections)


def walk(video: Video, name: str = "clip", frames: int = 10) -> list[Result]:
    """A person that goes right through x = 80, weak in the middle, and a dog for one frame."""
    seen = [(60 + 6 * i, 0.2 if i in (3, 4) else 0.9, 0) for i in range(frames)]
    dogs = [[(30, 0.6, 1)] if i == 7 else [] for i in range(frames)]
    return [result(i, seen[i], *dogs[i], video=video, name=name) for i in range(frames)]


def test_weak_boxes_join_and_are_not_shown(video):
    found = list(track_results(walk(video), 0.5))
    assert [each.tracks for each in found] == [(1,)] * 3 + [()] * 2 + [(1,)] * 2 + [(1, None)] + [(1,)] * 2
    assert all((each.detections.scores >= 0.5).all() for each in found)
    assert dict(found[-1].counts.objects) == {"person": 1}  # a dog of one frame is none


def test_videos_have_objects_of_their_own_and_numbers_go_on(video):
    found = list(track_results([*walk(video), *walk(video, "other")], 0.5))
    assert [each.tracks[:1] for each in found if each.tracks] == [(1,)] * 8 + [(2,)] * 8
    assert [dict(found[i].counts.objects) for i in (9, 19)] == [{"person": 1}] * 2


def test_errors_come_in_their_order_and_nothing_is_lost(video):
    error = InputError("broken", "x")
    given = walk(video, frames=4)
    given.insert(2, error)
    given.append(error)
    found = list(track_results(given, 0.5))
    assert [each if isinstance(each, InputError) else each.frame.index for each in found] == [0, 1, error, 2, 3, error]


def test_the_last_frame_before_ctrl_c_is_kept(video):
    def interrupted():
        yield from walk(video, frames=3)
        raise KeyboardInterrupt

    found = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(track_results(interrupted(), 0.5))
    tracked = track_results(interrupted(), 0.5)
    assert [next(tracked).frame.index for _ in range(3)] == [0, 1, 2]


def test_crossings_and_objects_in_every_file(video, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    line = CountLine(80, 0, 80, 120)
    results = list(track_results([*walk(video), *walk(video, "other")], 0.5, line=line))
    writers = make_writers(parse_kinds("json,csv,coco"), out, NAMES, 0.5, all_frames=True, heatmaps=False, tracks=True)
    with WriteBehind(writers) as written:
        for each in results:
            written.add(each)
    content = json.loads((out / "detections.json").read_text())
    assert content["counts"] == {"person": 2}
    video_counts = {"counts": {"person": 1}, "crossings": {"person": {"to_left": 1, "to_right": 0}}}
    assert content["videos"] == [{"file": "clip.avi"} | video_counts, {"file": "other.avi"} | video_counts]
    assert [d["track"] for d in content["images"][7]["detections"]] == [1, None]
    rows = list(csv.DictReader((out / "detections.csv").open(newline="")))
    assert [row["track"] for row in rows] == [*["1"] * 6, "", "1", "1", *["2"] * 6, "", "2", "2"]
    boxes = json.loads((out / "coco.json").read_text())["annotations"]
    assert [box.get("track_id") for box in boxes] == [*[1] * 6, None, 1, 1, *[2] * 6, None, 2, 2]


def test_without_tracking_no_file_speaks_of_it(video, tmp_path):
    writers = make_writers(parse_kinds("json,csv,coco"), tmp_path, NAMES, 0.5, all_frames=True, heatmaps=False)
    with WriteBehind(writers) as written:
        written.add(walk(video)[0])
    assert "track" not in "".join((tmp_path / f"{name}").read_text() for name in ("detections.json", "coco.json"))
    assert (tmp_path / "detections.csv").read_text().splitlines()[0].endswith("y2,time")


def test_the_picture_shows_number_colour_and_line(video, monkeypatch):
    written = []
    monkeypatch.setattr(
        "cornernet.drawing.draw.draw_labels", lambda canvas, boxes, texts, fills, size=None: written.extend(texts)
    )
    line = CountLine(80, 0, 80, 120)
    found = [each for each in track_results(walk(video), 0.5, line=line) if isinstance(each, Result)]
    picture = found[7].picture
    assert written == [("person 1", "0.90"), ("dog", "0.60")]
    x = round(float(found[7].detections.boxes[0, 0]))
    assert tuple(picture[60, x]) == class_color(1)
    assert picture[10, 80].min() > 220
    assert tuple(found[7].image[10, 80]) == (120, 120, 120)
    found[0].style = BoxStyle(labels=False)
    written.clear()
    assert found[0].picture is not None
    assert written == [("", "")]


def test_a_line_outside_the_video_and_frames_of_two_sizes(video):
    with pytest.raises(InputError, match="lies outside the picture, which has 160x120 pixels"):
        list(track_results(walk(video), 0.5, line=CountLine(200, 0, 200, 50)))
    small = cv2.resize(np.zeros((4, 4, 3), np.uint8), (30, 20))
    none = Detections(np.zeros((0, 4)), [], [], NAMES, (20, 30))
    frames = [Result(Frame(f"{i}.png", str(i), image), image, none) for i, image in enumerate([small, small[:10]])]
    with pytest.raises(InputError, match=r"1\.png: has 30x10 pixels, and the frames before it 30x20"):
        list(track_results(frames, 0.5, one_sequence=True))
    assert len(list(track_results(frames, 0.5))) == 2
