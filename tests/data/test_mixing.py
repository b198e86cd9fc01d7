"""Turns, mosaics and pasted boxes: boxes follow their pixels, and targets of corners are those of the turned boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cornernet.config import Augmentation
from cornernet.data.augment import augment, turn
from cornernet.data.mixing import LabelledImage, mosaic, paste_boxes
from cornernet.model.targets import dense_heatmaps, make_targets

FILL = (124, 116, 104)
COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))


def rng(seed):
    return np.random.default_rng(seed)


def plain(**fields):
    return Augmentation(**{"crop_size": 96, "border": 32, "color_jitter": False, "flip": 0.0} | fields)


def marked(height, width, boxes, labels=None):
    """A grey image with one filled rectangle a box, in the colour of its label."""
    image = np.full((height, width, 3), 40, np.uint8)
    labels = np.array(range(len(boxes)) if labels is None else labels, np.int64)
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        image[y1:y2, x1:x2] = COLORS[label]
    return LabelledImage(image, np.float32(boxes).reshape(-1, 4), labels)


def where_is(image, label):
    """x1 y1 x2 y2 around the pixels of a label's colour."""
    mine, others = image[..., label].astype(int), image.astype(int).sum(2)
    rows, columns = np.nonzero((mine > 145) & (others - mine < 140))
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else None


TURNED = {  # of the box (10, 20, 30, 50) in a square of 96
    "as it is": [10, 20, 30, 50],
    "top to bottom": [10, 46, 30, 76],
    "left": [20, 66, 50, 86],
    "half": [66, 46, 86, 76],
    "right": [46, 10, 76, 30],
}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"as it is"}),
        ({"vertical_flip": 1.0}, {"top to bottom"}),
        ({"vertical_flip": 0.5}, {"as it is", "top to bottom"}),
        ({"quarter_turns": 1.0}, {"left", "half", "right"}),
        ({"quarter_turns": 0.5}, {"as it is", "left", "half", "right"}),
    ],
    ids=lambda value: None if isinstance(value, set) else str(value),
)
def test_boxes_turn_with_the_image(fields, expected):
    image = marked(96, 96, [(10, 20, 30, 50)])
    seen = []
    for seed in range(60):
        crop, found, labels = augment(*image, plain(scales=(), **fields), FILL, rng(seed))
        assert labels.tolist() == [0]
        assert where_is(crop, 0) == found[0].tolist()
        seen.append(next(name for name, box in TURNED.items() if box == found[0].tolist()))
    assert {*seen} == expected
    share = seen.count("as it is") / len(seen)
    assert share in (0, 1) or 0.3 < share < 0.7


def test_what_is_off_draws_nothing():
    """Samples of recipes without these fields stay as they were."""
    one, other = rng(3), rng(3)
    turn(np.zeros((4, 4, 3), np.uint8), np.zeros((0, 4), np.float32), plain(), one)
    assert one.random() == other.random()


@pytest.mark.parametrize("seed", range(6))
def test_the_targets_are_those_of_the_turned_boxes(seed):
    """After any turn the top-left corner is again the one with the smaller x and y."""
    image = marked(96, 96, [(9, 22, 31, 50), (50, 60, 89, 75)])
    settings = plain(scales=(), vertical_flip=0.5, quarter_turns=1.0)
    crop, boxes, labels = augment(*image, settings, FILL, rng(seed))
    targets = make_targets(torch.from_numpy(boxes)[None], torch.from_numpy(labels)[None], (96, 96), (24, 24))
    heat_tl, heat_br = dense_heatmaps(targets, 3)[:, 0]
    for box, label in zip(boxes, labels, strict=True):
        x1, y1, x2, y2 = where_is(crop, label)
        assert [x1, y1, x2, y2] == box.tolist()
        assert divmod(int(heat_tl[label].argmax()), 24) == (y1 // 4, x1 // 4)
        assert divmod(int(heat_br[label].argmax()), 24) == (y2 // 4, x2 // 4)


@pytest.mark.parametrize("scales", [(), (0.6, 1.0, 1.3)], ids=["whole", "crops"])
@pytest.mark.parametrize("turned", [0.0, 0.5], ids=["upright", "turned"])
def test_a_mosaic_has_the_boxes_of_four_images(scales, turned):
    """One object an image, all of other colours but two: each box lies around its pixels."""
    parts = [
        marked(150, 200, [(60, 50, 110, 100)], [0]),
        marked(90, 60, [(10, 20, 40, 60)], [1]),
        marked(96, 96, [(30, 30, 70, 60)], [2]),
        marked(100, 120, [], []),
    ]
    settings = plain(crop_size=128, scales=scales, flip=0.5, vertical_flip=turned, quarter_turns=turned)
    seen, places = set(), set()
    for seed in range(40):
        crop, boxes, labels = mosaic(parts, settings, FILL, rng(seed))
        assert (crop.shape, crop.dtype, boxes.dtype) == ((128, 128, 3), np.uint8, np.float32)
        assert len({*labels.tolist()}) == len(labels) == len(boxes)
        assert (boxes >= 0).all()
        assert (boxes <= 128).all()
        for box, label in zip(boxes, labels, strict=True):
            seen.add(int(label))
            places.add((int(label), bool(box[0] > 64), bool(box[1] > 64)))
            assert np.abs(box - where_is(crop, label)).max() <= 1.1
    assert seen == {0, 1, 2}
    assert turned == 0 or len(places) > 6


def test_a_mosaic_does_not_change_its_parts_and_repeats():
    parts = [marked(80, 80, [(10, 10, 60, 60)], [label]) for label in (0, 1, 2, 0)]
    before = [part.pixels.copy() for part in parts]
    first, again = (mosaic(parts, Augmentation(crop_size=64), FILL, rng(5)) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for part, pixels in zip(parts, before, strict=True):
        np.testing.assert_array_equal(part.pixels, pixels)


def test_pasted_boxes_bring_their_pixels_and_cover_nothing():
    target = marked(100, 120, [(5, 5, 45, 40)], [0])
    source = marked(80, 90, [(10, 10, 30, 35), (50, 40, 80, 75)], [1, 2])
    before, seen = target.pixels.copy(), set()
    for seed in range(60):
        pixels, boxes, labels = paste_boxes(target, source, rng(seed))
        assert boxes[0].tolist() == [5, 5, 45, 40]
        sizes = {1: (20, 25), 2: (30, 35)}
        for box, label in zip(boxes[1:], labels[1:], strict=True):
            assert (box[2] - box[0], box[3] - box[1]) == sizes[int(label)]
            if [*labels].count(label) == 1 and len(labels) == 2:
                assert where_is(pixels, label) == box.tolist()
        seen.add(tuple(sorted(labels[1:].tolist())))
        red = (pixels[5:40, 5:45] == COLORS[0]).all(axis=2).mean()
        assert red >= 0.7  # at most a tenth of it by each pasted box
    assert seen >= {(1,), (2,), (1, 2)}
    np.testing.assert_array_equal(target.pixels, before)


def test_a_pasted_box_brings_the_boxes_inside_it():
    source = marked(80, 80, [(10, 10, 60, 60), (14, 20, 24, 40), (55, 55, 75, 75)], [0, 1, 2])
    target = marked(100, 100, [], [])
    whole, mirrored = set(), set()
    for seed in range(80):
        pixels, boxes, labels = paste_boxes(target, source, rng(seed))
        if sorted(labels.tolist()) != [0, 1]:
            continue  # another one was drawn too, or instead
        outer, inner = boxes[labels.tolist().index(0)], boxes[labels.tolist().index(1)]
        offset = (inner - np.tile(outer[:2], 2)).tolist()
        (mirrored if offset[0] > 20 else whole).add(tuple(offset))
        assert where_is(pixels, 1) == inner.tolist()
    assert whole == {(4, 10, 14, 30)}
    assert mirrored == {(36, 10, 46, 30)}


def test_where_nothing_fits_nothing_is_pasted():
    source = marked(80, 90, [(10, 10, 30, 35)], [1])
    small = marked(20, 15, [], [])
    assert paste_boxes(small, source, rng(0)).pixels is small.pixels
    full = marked(30, 30, [(0, 0, 30, 30)], [0])
    assert paste_boxes(full, source, rng(0)).labels.tolist() == [0]
    nothing = marked(50, 50, [], [])
    assert len(paste_boxes(nothing, nothing, rng(0)).boxes) == 0
