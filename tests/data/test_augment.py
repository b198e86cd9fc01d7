"""Training crops: boxes follow pixels, and what lies outside is filled."""

import cv2
import numpy as np
import pytest

from cornernet.config import Augmentation
from cornernet.data.augment import augment, jitter, recolor

FILL = (123.675, 116.28, 103.53)
GREY, MARKER = (40, 40, 40), ((250, 0, 0), (0, 250, 0))


def rng(seed):
    return np.random.default_rng(seed)


def plain(**fields):
    return Augmentation(**{"crop_size": 96, "border": 32, "color_jitter": False} | fields)


def marked(height, width, boxes):
    """A grey image with one filled rectangle a box: label 0 red, label 1 green."""
    image = np.full((height, width, 3), GREY, np.uint8)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        image[y1:y2, x1:x2] = MARKER[i % 2]
    return image, np.float32(boxes).reshape(-1, 4), np.arange(len(boxes)) % 2


def where_is(crop, label):
    """x1 y1 x2 y2 around the marker's pixels, those at least half its colour."""
    mine, others = crop[..., label].astype(int), crop.astype(int).sum(2)
    rows, columns = np.nonzero((mine > 145) & (others - mine < 140))
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


@pytest.mark.parametrize("scales", [(0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3), (1.0,), (2.5,), ()], ids=str)
@pytest.mark.parametrize("size", [(150, 200), (60, 50), (97, 96), (300, 40)])
def test_boxes_follow_their_pixels(size, scales):
    height, width = size
    boxes = [(4, 3, width // 2 - 3, height // 3), (width // 2 + 2, height // 2, width - 5, height - 6)]
    image, array, labels = marked(height, width, boxes)
    seen = set()
    for seed in range(40):
        crop, found, classes = augment(image, array, labels, plain(scales=scales), (0, 0, 0), rng(seed))
        assert crop.shape == (96, 96, 3)
        assert crop.dtype == np.uint8
        assert found.dtype == np.float32
        assert len(found) == len(classes) >= 1
        for box, label in zip(found, classes, strict=True):
            seen.add(int(label))
            assert np.abs(box - where_is(crop, label)).max() <= 1.1
    assert seen == {0, 1}


@pytest.mark.parametrize("size", [(400, 500), (60, 50), (96, 96), (300, 40)])
def test_a_crop_at_an_object_holds_it_and_stays_in_the_image(size):
    height, width = size
    boxes = [(0, 0, width // 6, height // 5), (width // 2, height // 2, width, height)]
    image, array, labels = marked(height, width, boxes)
    settings, seen = plain(at_objects=True, scales=(1.0,), flip=0.0), set()
    for seed in range(40):
        crop, found, classes = augment(image, array, labels, settings, (0, 0, 0), rng(seed))
        assert len(found)
        seen |= set(classes.tolist())
        inside = (crop.sum(axis=2) > 0).any(axis=0).sum(), (crop.sum(axis=2) > 0).any(axis=1).sum()
        assert inside == (min(width, 96), min(height, 96))  # no more border than the image's size asks for
    assert seen == {0, 1}


def test_crops_at_objects_are_placed_everywhere_that_holds_them():
    image, boxes, labels = marked(400, 400, [(190, 190, 210, 210)])
    settings = plain(at_objects=True, scales=(1.0,), flip=0.0)
    lefts = [augment(image, boxes, labels, settings, (0, 0, 0), rng(seed))[1][0, 0] for seed in range(300)]
    assert min(lefts) < 4
    assert max(lefts) > 72
    assert abs(np.mean(lefts) - 38) < 5


def test_inputs_are_not_changed():
    image, boxes, labels = marked(150, 200, [(20, 20, 90, 90)])
    before = image.copy(), boxes.copy(), labels.copy()
    for seed in range(10):
        crop, *_ = augment(image, boxes, labels, Augmentation(crop_size=64), FILL, rng(seed))
        crop[:] = 0
    for now, then in zip((image, boxes, labels), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_flip_has_its_probability_and_mirrors_exactly(probability):
    image, boxes, labels = marked(96, 96, [(10, 20, 30, 50)])
    image[0, :, 2] = np.arange(96)
    flips = 0
    for seed in range(60):
        crop, found, _ = augment(image, boxes, labels, plain(scales=(), flip=probability), FILL, rng(seed))
        mirrored = found[0, 0] != 10
        flips += mirrored
        assert found.tolist() == ([[66, 20, 86, 50]] if mirrored else [[10, 20, 30, 50]])
        np.testing.assert_array_equal(crop, image[:, ::-1] if mirrored else image)
    assert {0.0: flips == 0, 0.5: 15 < flips < 45, 1.0: flips == 60}[probability]


@pytest.mark.parametrize(("border", "fits"), [(70, (70, 70)), (110, (55, 110)), (100, (50, 100)), (128, (64, 64))])
def test_a_crops_centre_keeps_away_from_the_edge(border, fits):
    """Pixels that hold their own place (x, y) show where the crop was taken; a border too wide is halved."""
    image = np.zeros((200, 250, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(250), np.arange(200)[:, None]
    settings, nothing = plain(crop_size=32, scales=(1.0,), border=border, flip=0), np.zeros((0, 4), np.float32)
    corners = np.array([augment(image, nothing, np.zeros(0, int), settings, FILL, rng(s))[0][0, 0] for s in range(300)])
    for places, length, margin in zip(corners[:, [1, 0]].astype(int).T + 16, (200, 250), fits, strict=True):
        assert margin <= places.min() <= margin + 8
        assert length - margin - 9 <= places.max() < length - margin


def test_what_lies_outside_has_the_fill_colour_and_the_rest_is_the_image():
    image, nothing = np.full((40, 50, 3), 200, np.uint8), np.zeros((0, 4), np.float32)
    for seed in range(20):
        crop, *_ = augment(image, nothing, np.zeros(0, int), plain(scales=(1.0,)), FILL, rng(seed))
        inside = (crop == 200).all(axis=2)
        assert (crop[~inside] == (124, 116, 104)).all()
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        assert (len(rows), len(columns)) == (40, 50)  # centred within 20 pixels: all of it is there
        assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


@pytest.mark.parametrize("scales", [(0.6, 1.3), ()])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2, 3), (500, 2)])
@pytest.mark.parametrize("jittered", [False, True])
def test_images_of_any_size(size, scales, jittered):
    image, settings = np.full((*size, 3), 90, np.uint8), plain(scales=scales, color_jitter=jittered, border=128)
    whole, label = np.float32([[0, 0, size[1], size[0]]]), np.array([3])
    for seed in range(20):
        crop, boxes, labels = augment(image, whole, label, settings, FILL, rng(seed))
        assert crop.shape == (96, 96, 3)
        assert boxes.shape == (len(labels), 4)
        assert np.all((boxes >= -1e-3) & (boxes <= 96 + 1e-3))
        assert np.all(boxes[:, 2:] > boxes[:, :2])
        if max(size) < 4:
            assert labels.tolist() == [3]


def test_an_image_without_boxes_stays_without():
    nothing = np.zeros((0, 4), np.float32)
    image = marked(150, 200, [])[0]
    for seed in range(10):
        _, boxes, labels = augment(image, nothing, np.zeros(0, np.int64), plain(), FILL, rng(seed))
        assert (boxes.shape, boxes.dtype, labels.shape) == ((0, 4), np.float32, (0,))


def test_a_box_whose_centre_fell_outside_is_gone_and_others_are_cut():
    """A wide image, whole width 300, squeezed by the crop: each kept box has its centre in the crop."""
    image, boxes, labels = marked(100, 300, [(0, 10, 120, 90), (180, 10, 300, 90)])
    numbers = set()
    for seed in range(60):
        crop, found, classes = augment(image, boxes, labels, plain(scales=(1.0,), flip=0), (0, 0, 0), rng(seed))
        numbers.add(len(found))
        for label in {0, 1} - set(classes.tolist()):
            seen = where_is(crop, label)
            assert seen is None or seen[2] - seen[0] <= 61  # half of it at most
        for box, label in zip(found, classes, strict=True):
            assert box[2] - box[0] >= 59
            assert np.abs(box - where_is(crop, label)).max() <= 1
    assert 1 in numbers
    assert 0 not in numbers  # drawn again until an object is in it


def test_one_seed_gives_one_sample():
    image, boxes, labels = marked(150, 200, [(20, 20, 90, 90)])
    first, again, other = (augment(image, boxes, labels, Augmentation(96), FILL, rng(seed)) for seed in (5, 5, 6))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], other[0])


def test_jitter_changes_colours_and_nothing_else():
    image = np.zeros((6, 8, 3), np.uint8)
    image[:3], image[3:, :4], image[3:, 4:] = (200, 40, 90), (20, 180, 60), (128, 128, 128)
    means = []
    for seed in range(80):
        found = jitter(image, rng(seed))
        assert (found.shape, found.dtype) == (image.shape, np.uint8)
        for part in (found[:3], found[3:, :4], found[3:, 4:]):
            assert (part == part[0, 0]).all()
        means.append(found.reshape(-1, 3).mean(0))
    brightness = np.mean(means, axis=1) - image.mean()
    assert brightness.min() < -25 < 25 < brightness.max()
    assert abs(brightness.mean()) < 12
    assert len({tuple(np.argsort(jitter(image, rng(s))[0, 0])) for s in range(80)}) == 6  # channels change places
    untouched = [s for s in range(80) if np.array_equal(jitter(image, rng(s)), image)]
    assert 0 < len(untouched) < 20


def test_grey_stays_grey_and_extremes_do_not_wrap_around():
    for value in (0, 255):
        image = np.full((4, 4, 3), value, np.uint8)
        for seed in range(40):
            found = jitter(image, rng(seed)).astype(int)
            assert np.ptp(found) <= 1
            assert abs(found.mean() - value) <= (48 if value == 0 else 144)  # (0 + 32) * 1.5 and (255 - 32) / 2


def exact(image, brightness, contrast, saturation, hue, channels):
    """The same change of colours in floating point, through HSV, contrast last, cut to 0..255 at the end."""
    pixels = image.astype(np.float32) + np.float32(brightness)
    is_black = pixels.max(axis=2) <= 0  # HSV knows no colour darker than black
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    hsv[..., 1] *= saturation
    hsv[..., 0] = (hsv[..., 0] + hue) % 360
    pixels = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * np.float32(contrast)
    pixels[is_black] = 0
    return pixels[..., channels].clip(0, 255).round()


def test_colours_are_those_of_floating_point():
    """Random pixels, and those with channels that are equal, 0 or 255: within two grey levels, mostly the same."""
    draw = rng(0)
    image = draw.integers(0, 256, (60, 90, 3), np.uint8)
    image[:15] = draw.choice(np.uint8([0, 1, 128, 254, 255]), (15, 90, 3))
    for i, (one, other) in enumerate([(0, 1), (1, 2), (2, 0)]):
        image[15 + 5 * i : 20 + 5 * i, :, one] = image[15 + 5 * i : 20 + 5 * i, :, other]
    image[30:35] = image[30:35, :, :1]
    for number in range(160):
        changes = [number >> bit & 1 for bit in range(5)]
        brightness, contrast, saturation, hue = draw.uniform((-32, 0.5, 0.5, -18), (32, 1.5, 1.5, 18))
        if number >= 96:
            hue = draw.uniform(-60, 60)
        settings = (
            brightness * changes[0],
            contrast if changes[1] else 1.0,
            saturation if changes[2] else 1.0,
            hue * changes[3],
            draw.permutation(3).tolist() if changes[4] else [0, 1, 2],
        )
        before = image.copy()
        difference = np.abs(recolor(image, *settings).astype(int) - exact(image, *settings))
        assert difference.max() <= 2, settings
        assert difference.mean() < 0.5, settings
        np.testing.assert_array_equal(image, before)
        part = recolor(image[7:30, 11:50], *settings)
        np.testing.assert_array_equal(part, recolor(image, *settings)[7:30, 11:50])


def test_each_change_of_colour_happens_half_the_time(monkeypatch):
    drawn = []
    monkeypatch.setattr("cornernet.data.augment.recolor", lambda image, *settings: drawn.append(settings))
    for seed in range(400):
        jitter(np.zeros((2, 2, 3), np.uint8), rng(seed))
    for i, (none, low, high) in enumerate([(0, -32, 32), (1, 0.5, 1.5), (1, 0.5, 1.5), (0, -18, 18)]):
        changed = [settings[i] for settings in drawn if settings[i] != none]
        assert 160 < len(changed) < 240
        assert low <= min(changed) < low + (high - low) / 10
        assert high - (high - low) / 10 < max(changed) <= high
    reordered = [settings[4] for settings in drawn if list(settings[4]) != [0, 1, 2]]
    assert 130 < len(reordered) < 205  # a sixth of the reorderings change nothing
