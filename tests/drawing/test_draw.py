"""Pictures: what is drawn where, on images of every size, and that nothing given is changed."""

import os

import cv2
import numpy as np
import pytest

from cornernet.config import Preprocessing
from cornernet.drawing import draw, text
from cornernet.drawing.draw import (
    BOTTOM_RIGHT_COLOR,
    TOP_LEFT_COLOR,
    draw_boxes,
    draw_detections,
    draw_heatmaps,
    draw_pairings,
    save_image,
    side_by_side,
)
from cornernet.drawing.style import BoxStyle
from cornernet.drawing.text import class_color, ink_on, shortened, text_size
from cornernet.errors import InputError
from cornernet.structures import Candidates, Detections

NAMES = ("person", "fusée", "猫", "")


def grey(height=240, width=320, value=128):
    image = np.full((height, width, 3), value, np.uint8)
    image.flags.writeable = False
    return image


def detections(boxes, scores=None, kinds=None, names=NAMES, size=(240, 320)):
    count = len(boxes)
    scores = np.linspace(0.9, 0.5, count) if scores is None else scores
    return Detections(np.array(boxes), np.array(scores), kinds if kinds else [0] * count, names, size)


def candidates(found, distances):
    cells = np.zeros((len(found), 2), np.int64)
    scores, views = found.scores, np.zeros(len(found), np.int64)
    return Candidates(found.boxes, scores, found.labels, scores, scores, cells, cells, np.array(distances), views)


def changed(picture, image):
    return (picture != image).any(axis=2)


def test_a_box_and_its_label_are_drawn_and_the_rest_is_left_alone():
    picture = draw_detections(grey(), detections([[100, 80, 200, 180]]))
    color = class_color(0)
    assert all(tuple(picture[y, x]) == color for y, x in ((80, 150), (179, 150), (130, 100), (130, 199), (70, 110)))
    difference = changed(picture, grey())
    assert not difference[90:170, 110:190].any()
    assert not difference[190:].any()
    assert not difference[:, 210:].any()
    assert not difference[:60].any()


def test_lines_and_texts_as_the_user_wants_them(monkeypatch):
    found = detections([[100, 80, 200, 180]])
    bare = draw_detections(grey(), found, style=BoxStyle(line_width=9, labels=False))
    assert all(tuple(bare[y, 150]) == class_color(0) for y in (80, 88))
    assert not changed(bare, grey())[:75].any()
    written = []
    monkeypatch.setattr(draw, "draw_labels", lambda canvas, boxes, texts, fills, size=None: written.extend(texts))
    for style in (BoxStyle(), BoxStyle(scores=False), BoxStyle(labels=False)):
        draw_detections(grey(), found, style=style)
        draw_pairings(grey(), candidates(found, [0.25]), found, style=style)
    both = [("person", "0.90"), ("person", "0.90  d 0.25")]
    assert written == [*both, *[("person", "")] * 2, *[("", "")] * 2]


def test_only_detections_above_the_threshold_are_drawn():
    found = detections([[100, 80, 200, 180], [10, 200, 60, 230]], scores=[0.9, 0.2])
    assert not changed(draw_detections(grey(), found), grey())[190:].any()
    assert changed(draw_detections(grey(), found, threshold=0.1), grey())[190:].any()
    assert not changed(draw_detections(grey(), found, threshold=0.95), grey()).any()
    assert not changed(draw_detections(grey(), detections(np.zeros((0, 4)))), grey()).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (7, 9), (67, 100), (2664, 4000)])
def test_every_drawing_works_on_every_size(size):
    height, width = size
    image = grey(height, width)
    found = detections(
        [[0, 0, width, height], [width / 3, height / 3, width / 2, height / 2], [-50, -9, width + 50, height + 9]],
        kinds=[0, 1, 2],
        size=size,
    )
    cell = np.ones((3, 4), np.float32)
    preprocessing = Preprocessing()
    pictures = [
        draw_detections(image, found),
        draw_boxes(image, found.boxes, found.labels, NAMES),
        draw_heatmaps(image, cell, cell, preprocessing.offset_of(*size), preprocessing.padded_size(*size)),
        draw_pairings(image, candidates(found, [0.1, 0.2, 0.3]), found),
    ]
    for picture in pictures:
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.uint8
        assert changed(picture, image).any()
    assert (image == 128).all()
    assert side_by_side(pictures, ["a", "", "猫", "x" * 99]).dtype == np.uint8


def test_boxes_at_the_border_show_all_four_sides():
    picture = draw_detections(grey(), detections([[0, 0, 320, 240]]))
    color = class_color(0)
    assert all(tuple(picture[y, x]) == color for y, x in ((0, 310), (239, 160), (120, 0), (120, 319)))


def test_line_and_text_grow_with_the_image():
    assert text.font_size(grey(100, 100)) == 10
    assert text.font_size(grey(480, 640)) < text.font_size(grey(3000, 4000)) / 3
    assert text.line_width(grey(100, 100)) == 1
    assert text.line_width(grey(3000, 4000)) >= 8


def test_labels_of_equal_boxes_do_not_hide_each_other():
    boxes = [[100, 80, 220, 180]] * 4
    picture = draw_detections(grey(), detections(boxes, kinds=[0, 1, 2, 0], names=("cat", "dog", "cow")))
    for kind in range(3):
        # The best box is on top, so what is left of the other two colours is their labels.
        assert (picture == class_color(kind)).all(axis=2).sum() > 300


def test_colors_are_distinct_repeat_and_carry_readable_ink():
    colors = [class_color(i) for i in range(300)]
    assert len(set(colors[:48])) == 48
    assert colors[48:96] == colors[:48]
    assert ink_on((240, 228, 66)) == (0, 0, 0)
    assert ink_on((0, 0, 120)) == (255, 255, 255)
    names = [f"class {i}" for i in range(300)]
    found = detections([[i % 20 * 15, i // 20 * 15, i % 20 * 15 + 12, i // 20 * 15 + 12] for i in range(300)], None)
    every = Detections(found.boxes, found.scores, np.arange(300), names, (240, 320))
    assert draw_detections(grey(), every).shape == (240, 320, 3)


def test_text_is_cut_to_fit_and_every_script_has_letters():
    long = "a very long class name"
    assert shortened(long, 12, 1000) == long
    assert text_size(shortened(long, 12, 60), 12)[0] <= 60
    assert shortened(long, 12, 60).endswith("…")
    assert shortened(long, 12, 1) == ""
    question = text._text_mask("?", 30)
    for letter in "éßЖα猫人":
        mask = text._text_mask(letter, 30)
        assert mask.any()
        assert mask.shape != question.shape or (mask != question).any()


def test_ground_truth_is_dashed_and_named():
    picture = draw_boxes(grey(), [[100, 80, 200, 180]], [1], NAMES)
    upper = (picture[179, 100:200] == class_color(1)).all(axis=1)
    assert 0.3 < upper.mean() < 0.8
    assert changed(picture, grey())[60:78, 100:140].any()
    assert not changed(draw_boxes(grey(), [], [], NAMES), grey()).any()
    with pytest.raises(ValueError, match="do not match"):
        draw_boxes(grey(), [[0, 0, 1, 1]], [], NAMES)


def test_a_cell_of_a_heatmap_glows_at_its_pixel_of_the_image():
    height, width = 240, 320
    preprocessing = Preprocessing()
    (top, left), padded = preprocessing.offset_of(height, width), preprocessing.padded_size(height, width)
    tl, br = np.zeros((64, 96)), np.zeros((64, 96))
    tl[20, 50], br[40, 60] = 1, 1
    picture = draw_heatmaps(grey(value=0), tl, br, (top, left), padded).astype(int)
    for (row, column), color in (((20, 50), TOP_LEFT_COLOR), ((40, 60), BOTTOM_RIGHT_COLOR)):
        y, x = (row + 0.5) * padded[0] / 64 - top, (column + 0.5) * padded[1] / 96 - left
        glow = picture @ np.array(color)
        glow[max(0, int(y) - 30) : int(y) + 30, max(0, int(x) - 30) : int(x) + 30] *= 10
        brightest = np.unravel_index(glow.argmax(), glow.shape)
        assert abs(brightest[0] + 0.5 - y) <= 1
        assert abs(brightest[1] + 0.5 - x) <= 1
        assert np.abs(picture[brightest] - color).max() < 80
    assert picture[:, 200:][200:].sum() == 0


def test_an_image_outside_the_padded_input_is_refused():
    with pytest.raises(ValueError, match="not inside"):
        draw_heatmaps(grey(), np.zeros((4, 4)), np.zeros((4, 4)), (100, 0), (255, 383))


def test_paired_corners_are_marked_joined_and_their_distance_written(monkeypatch):
    found = detections([[40, 60, 280, 220], [200, 30, 240, 50]], kinds=[1, 0])
    written = []
    monkeypatch.setattr(draw, "draw_labels", lambda canvas, boxes, texts, fills: written.extend(texts))
    shuffled = detections([[200, 30, 240, 50], [40, 60, 280, 220]], kinds=[0, 0])
    picture = draw_pairings(grey(), candidates(shuffled, [0.25, 0.5]), found)
    assert tuple(picture[60, 40]) == TOP_LEFT_COLOR
    assert tuple(picture[219, 279]) == BOTTOM_RIGHT_COLOR
    assert tuple(picture[140, 160]) == class_color(1)
    # The larger box's candidate is of another class: no distance is made up for it.
    assert written == [("fusée", "0.90"), ("person", "0.50  d 0.25")]


def test_a_pairing_without_candidates_is_drawn_without_distances():
    found = detections([[40, 60, 280, 220]])
    none = detections(np.zeros((0, 4)))
    assert changed(draw_pairings(grey(), candidates(none, []), found), grey()).any()
    assert not changed(draw_pairings(grey(), candidates(none, []), none), grey()).any()


def test_pictures_stand_side_by_side_under_their_titles():
    small, large = grey(40, 60, 10), grey(100, 200, 200)
    row = side_by_side([small, large], ["small", "large"])
    assert (row == 10).all(axis=2).sum() >= small.shape[0] * small.shape[1]
    assert (row == 200).all(axis=2).sum() >= large.shape[0] * large.shape[1]
    assert row.shape[1] > 2 * large.shape[1]
    grid = side_by_side([large] * 4, [""] * 4)
    assert grid.shape[0] > 2 * large.shape[0]
    assert grid.shape[1] < 3 * large.shape[1]
    with pytest.raises(ValueError, match="one title an image"):
        side_by_side([large], [])


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_image_is_refused(bad):
    with pytest.raises(ValueError, match="uint8 of shape"):
        draw_detections(bad, detections([]))


def test_saved_pictures_are_read_back(tmp_path):
    image = draw_detections(grey(), detections([[100, 80, 200, 180]]))
    png = cv2.imread(str(save_image(tmp_path / "new" / "x.PNG", image)))
    assert (cv2.cvtColor(png, cv2.COLOR_BGR2RGB) == image).all()
    jpg = cv2.imread(str(save_image(tmp_path / "x.jpg", image)))
    assert np.abs(cv2.cvtColor(jpg, cv2.COLOR_BGR2RGB).astype(int) - image).mean() < 3


def test_what_cannot_be_saved_is_an_input_error_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for name in ("x.gif", "x", "file/x.png"):
        with pytest.raises(InputError):
            save_image(tmp_path / name, grey())
    with pytest.raises(InputError, match="do not fit"):
        save_image(tmp_path / "x.jpg", grey(1, 70000))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="no space"):
        save_image(tmp_path / "x.png", grey())
    assert os.listdir(tmp_path) == ["file"]
