"""Tiles: they cover the image, and a large image gives what its parts give, without halves and without much memory."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

import cornernet
from cornernet.data.shapes import draw_scene
from cornernet.errors import InputError
from cornernet.inference.views import Tiling, View, make_views, pairs_in_image, whole_pairs
from cornernet.model.decode import Pairs
from cornernet.structures import Detections


@pytest.fixture(scope="module")
def load():
    return lambda **options: cornernet.load("shapes", device="cpu", **options)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene((7, i)) for i in range(4)]


@pytest.fixture(scope="module")
def mosaic(scenes) -> np.ndarray:
    images = [scene.image for scene in scenes]
    return np.concatenate([np.concatenate(images[:2], 1), np.concatenate(images[2:], 1)])


@pytest.mark.parametrize("size", [(100, 100), (101, 350), (640, 99), (40, 1000), (40, 30), (1, 1)])
@pytest.mark.parametrize("overlap", [0, 1, 30, 99])
def test_tiles_cover_the_image_and_share_at_least_the_overlap(size, overlap):
    height, width = size
    tiles = Tiling(100, overlap).tiles(height, width)
    seen = np.zeros(size, int)
    for tile in tiles:
        assert (tile.bottom - tile.top, tile.right - tile.left) == (min(100, height), min(100, width))
        seen[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert seen.min() == 1 if overlap == 0 else seen.min() >= 1
    rows, columns = ({tile[i] for tile in tiles} for i in (1, 0))
    assert len(tiles) == len(rows) * len(columns)
    for tile in tiles:
        for room, edge, own, length in zip(
            tile.overlaps, tile[:4], (0, 0, width, height), (width, height) * 2, strict=True
        ):
            assert (room == 0) if edge == own else room >= overlap, length


def test_overlaps_say_what_the_neighbour_sees():
    left, middle, right = Tiling(100, 20).tiles(100, 250)
    assert left == View(0, 0, 100, 100, overlaps=(0, 0, 25, 0))
    assert middle == View(75, 0, 175, 100, overlaps=(25, 0, 25, 0))
    assert right == View(150, 0, 250, 100, overlaps=(25, 0, 0, 0))


@pytest.mark.parametrize(
    ("box", "stays"),
    [
        ((200, 150, 300, 250), True),  # in the middle
        ((0, 150, 60, 250), False),  # cut at the left
        ((5, 150, 200, 250), False),  # a cell or two from the edge is on it
        ((9, 150, 60, 250), True),
        ((340, 150, 400, 250), False),
        ((338, 150, 403, 250), False),  # corners may be found outside
        ((150, -2, 250, 60), True),  # at the image's own edge
        ((150, 360, 250, 399), False),
    ],
)
def test_boxes_on_an_edge_between_tiles_are_half_ones(box, stays):
    boxes = torch.tensor([[box]], dtype=torch.float32)
    assert whole_pairs(boxes, [View(300, 0, 700, 400, overlaps=(100, 0, 100, 100))], 8.0).tolist() == [[stays]]
    assert whole_pairs(boxes, [View(300, 0, 700, 400)], 8.0).tolist() == [[True]]  # nobody else sees it


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("clip", [False, True])
def test_boxes_of_views_come_back_in_pixels_of_the_image(mirrored, clip):
    view = View(20, 10, 60, 40, scale=0.5, mirrored=mirrored)
    half = np.zeros((100, 100, 3), np.uint8)
    half[15:25, 30:50] = 255  # in the whole image 30 to 50, and 60 to 100
    rows, columns = np.nonzero(view.cut(half)[..., 0])
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    boxes = torch.tensor([[seen, [-4, -6, 44, 32]]], dtype=torch.float32)
    rest = torch.ones(1, 2)
    pairs = pairs_in_image(Pairs(boxes, rest, rest, rest > 0, *[rest] * 5), [view], clip=clip, stride=4)
    outer = [40, 20, 120, 80] if clip else [32, 8, 128, 84]
    assert pairs.boxes.tolist() == [[[60, 30, 100, 50], outer]]
    assert pairs.valid.all()


def test_views_are_scales_then_mirrors_then_tiles():
    assert make_views(40, 60) == [View(0, 0, 60, 40)]
    views = make_views(40, 60, scales=(1.0, 0.5), flip=True, tiling=Tiling(40, 20))
    assert [(view.scale, view.mirrored, view.left, view.right) for view in views] == [
        (1.0, False, 0, 40),
        (1.0, False, 20, 60),
        (1.0, True, 0, 40),
        (1.0, True, 20, 60),
        (0.5, False, 0, 30),
        (0.5, True, 0, 30),
    ]


def test_an_object_a_little_shorter_than_the_overlap_is_whole_in_one_tile_at_least():
    tiles = Tiling(100, 40).tiles(100, 250)
    boxes = torch.tensor([[[x, 10, x + 24, 90] for x in range(226)]], dtype=torch.float32)
    kept = torch.zeros(226, dtype=torch.bool)
    for tile in tiles:
        moved = boxes - torch.tensor([tile.left, 0, tile.left, 0])
        cut = moved.clamp(0, 100)
        kept |= whole_pairs(cut, [tile], 8.0)[0] & (cut == moved).all(-1)[0]
    assert kept.all()


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clip(0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


def share_found(expected: np.ndarray, labels: np.ndarray, found: Detections) -> float:
    same = labels[:, None] == found.labels[None]
    return float(((overlaps(expected, found.boxes) > 0.7) & same).any(1).mean())


def test_a_mosaic_in_tiles_gives_what_its_scenes_give(load, scenes, mosaic):
    plain = load()
    shifts = np.array([[0, 0, 0, 0], [320, 0, 320, 0], [0, 320, 0, 320], [320, 320, 320, 320]])
    alone = [found.above(plain.threshold) for found in plain([scene.image for scene in scenes])]
    boxes = np.concatenate([found.boxes + shift for found, shift in zip(alone, shifts, strict=True)])
    labels = np.concatenate([found.labels for found in alone])
    truth = np.concatenate([scene.boxes + shift for scene, shift in zip(scenes, shifts, strict=True)])
    kinds = np.concatenate([scene.labels for scene in scenes])
    detector = load(tile=352, tile_overlap=160)
    found = next(detector.stream([mosaic], batch_size=4))
    assert found.image_size == (640, 640)
    shown = found.above(detector.threshold)
    assert share_found(boxes, labels, shown) > 0.9
    once = Detections(boxes, np.ones(len(boxes)), labels, plain.class_names, (640, 640))
    assert share_found(truth, kinds, shown) > share_found(truth, kinds, once) - 0.05
    doubles = np.triu(overlaps(shown.boxes, shown.boxes) > 0.6, 1) & (shown.labels[:, None] == shown.labels)
    assert not doubles.any()


def test_half_objects_at_the_edges_of_tiles_are_not_shown(load, mosaic, monkeypatch):
    detector = load(tile=352, tile_overlap=160)
    edges = np.array([144, 288, 352, 496])  # of the tiles at 0, 144 and 288, without the image's own

    def on_an_edge() -> int:
        boxes = detector(mosaic).above(detector.threshold).boxes
        return int((np.abs(boxes[:, :, None] - edges).min(-1) < 4).any(1).sum())

    few = on_an_edge()
    monkeypatch.setattr(
        "cornernet.inference.views.whole_pairs",
        lambda boxes, tiles, margin: torch.ones(boxes.shape[:2], dtype=torch.bool),
    )
    assert on_an_edge() > few + 2


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"max_size": 160}])
def test_one_tile_around_everything_changes_nothing(load, scenes, options):
    image = scenes[0].image
    plain, tiled = load(**options)(image), load(tile=500, **options)(image)
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(tiled, name), getattr(plain, name))


@pytest.mark.parametrize("options", [{}, {"tile": 352, "tile_overlap": 100}, {"scales": (0.7, 1.0)}])
def test_a_higher_lowest_score_changes_nothing_above_it(load, mosaic, options):
    detector = load(**options)
    expected = detector(mosaic).above(0.4)
    found = detector(mosaic, min_score=0.4)
    assert len(found) > 20
    assert found.scores.min() >= 0.4
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_tiles_of_a_scaled_view_are_those_of_a_scaled_image(load, mosaic):
    half = load(scales=(0.5,), tile=200, tile_overlap=80)(mosaic)
    small = load(tile=200, tile_overlap=80)(cv2.resize(mosaic, (320, 320)))
    np.testing.assert_allclose(half.boxes, 2 * small.boxes, atol=1e-2)
    np.testing.assert_allclose(half.scores, small.scores, atol=1e-5)


def test_the_mirror_image_gives_the_mirrored_boxes_under_flip(load, scenes):
    detector, image = load(flip=True, tile=200, tile_overlap=80), scenes[1].image
    straight, mirrored = (detector(each).above(0.3) for each in (image, np.ascontiguousarray(image[:, ::-1])))
    boxes = mirrored.boxes[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [320, 0, 320, 0]
    assert len(straight) == len(mirrored) > 3
    assert share_found(boxes, mirrored.labels, straight) == 1


def test_memory_is_asked_for_a_tile_and_not_for_the_image(load, mosaic, monkeypatch):
    monkeypatch.setattr("cornernet.media.images.available_memory", lambda: 2**26)
    image = np.concatenate((mosaic, mosaic[:, :320]), 1)
    with pytest.raises(InputError, match=r"tile.*max_size"):
        load()(image)
    with pytest.raises(InputError, match=r"smaller with tile.*batch_size"):
        list(load(tile=640).stream([image], batch_size=2))
    assert len(load(tile=640)(image)) > 100


@pytest.mark.parametrize(("tile", "overlap"), [(0, None), (-5, None), (100, 100), (100, 200), (100, -1)])
def test_tiles_that_make_no_sense(load, tile, overlap):
    with pytest.raises(InputError, match="tile SIZE,OVERLAP"):
        load(tile=tile, tile_overlap=overlap)


def test_an_explanation_needs_the_whole_image(load, scenes):
    with pytest.raises(InputError, match="tile"):
        load(tile=100).explain(scenes[0].image)
