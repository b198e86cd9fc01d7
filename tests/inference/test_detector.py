"""The whole road with a small network of drawn weights: any kind of image in, sound boxes out."""

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cornernet.config import Architecture, Decoding, HourglassConfig, Preprocessing
from cornernet.errors import InputError
from cornernet.inference.detector import Detector, load_detector
from cornernet.inference.preprocess import to_input
from cornernet.media.scaling import shrink
from cornernet.model.cornernet import CornerNet
from cornernet.model.soft_nms import soft_nms
from cornernet.structures import Detections
from cornernet.weights.store import Weights, save_weights, weights_of

TINY, NAMES = (
    Architecture(
        HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
        corner_channels=6,
        branch_channels=8,
    ),
    ("a", "b", "c"),
)
RGB = Preprocessing(mean=(120.0, 110.0, 100.0), std=(60.0, 50.0, 40.0), pad_mask=31)
BGR_BLACK = Preprocessing("BGR", (100.0, 110.0, 120.0), (40.0, 50.0, 60.0), "black", 31)


@pytest.fixture(scope="module")
def model():
    """Drawn weights, the last layers scaled so that scores spread from 0 to 1 and many corners pair."""
    torch.manual_seed(1)
    network = CornerNet(TINY, len(NAMES)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn(parameter.shape)
            else:
                parameter.normal_().mul_((2 / parameter[0].numel()) ** 0.5)
        pixels = to_input([picture(127, 127)], RGB)[0]
        for head, maps in zip(network.heads, network.dense_maps(pixels), strict=True):
            branches = (
                head.tl_heatmap,
                head.br_heatmap,
                head.pairing.tl,
                head.pairing.br,
                head.tl_offset,
                head.br_offset,
            )
            for branch, values, spread in zip(branches, maps, (1.5, 1.5, 0.5, 0.5, 0.3, 0.3), strict=True):
                std, mean = torch.std_mean(values, dim=(0, 2, 3))
                branch.out.weight *= (spread / std)[:, None, None, None]
                branch.out.bias.sub_(mean).mul_(spread / std)
    return network


def picture(height=75, width=101, seed=0):
    """Noise in blocks, so that it survives resizing."""
    blocks = np.random.default_rng(seed).integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
    return np.ascontiguousarray(blocks.repeat(4, 0).repeat(4, 1)[:height, :width])


def assert_same(found, expected, tolerance=1e-3):
    """The same detections, one to one, whatever the order of near-equal scores.

    One in twenty may differ: where two neighbouring cells are equal but for rounding, which of them is a corner is
    rounding's choice, and a batch rounds differently.
    """
    assert len(found) == pytest.approx(len(expected), rel=0.05)
    assert len(expected) > 5
    assert found.image_size == expected.image_size
    free, missed = np.ones(len(found), bool), []
    for box, score, label in zip(expected.boxes, expected.scores, expected.labels, strict=True):
        fits = free & (found.labels == label) & (np.abs(found.scores - score) < 1e-4)
        fits &= np.abs(found.boxes - box).max(axis=1) < tolerance
        if fits.any():
            free[np.flatnonzero(fits)[0]] = False
        else:
            missed.append((box, score, label))
    assert len(missed) <= len(expected) / 20, missed


@pytest.mark.parametrize("flip", [False, True])
def test_all_kinds_of_input_give_the_same(model, tmp_path, flip):
    detector, image = Detector(model, NAMES, RGB, flip=flip), picture()
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path)
    expected = detector(image)
    kinds = [path, str(path), Image.fromarray(image), image[:, ::-1][:, ::-1], np.dstack((image, image[..., 0] | 255))]
    for found in [*map(detector, kinds), *detector(kinds)]:
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.labels, expected.labels)
    assert isinstance(detector([image]), list)
    assert detector([]) == []


@pytest.mark.parametrize("flip", [False, True])
def test_several_scales_are_one_merging_soft_nms_over_all_views(model, flip):
    image, scales = picture(75, 101), (0.5, 1.0, 1.3)
    plain = Detector(model, NAMES, RGB)
    views = []
    for scale in scales:
        small = image if scale == 1 else cv2.resize(image, (int(101 * scale), int(75 * scale)))
        views.append((plain.explain(small).candidates, scale, None))
        if flip:
            views.append((plain.explain(small[:, ::-1]).candidates, scale, small.shape[1]))
    boxes = [c.boxes if w is None else (c.boxes - [w, 0, w, 0])[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] for c, _, w in views]
    boxes = np.concatenate([b / scale for b, (_, scale, _) in zip(boxes, views, strict=True)])
    columns = [
        np.concatenate([getattr(c, name) for c, _, _ in views])
        for name in ("scores", "labels", "tl_scores", "br_scores")
    ]
    scores, labels, tl, br = (torch.as_tensor(column)[None] for column in columns)
    kept = soft_nms(torch.as_tensor(boxes, dtype=torch.float32)[None], scores, labels, corner_scores=(tl, br))
    expected = kept.boxes[0].numpy().clip(0, [101, 75, 101, 75])
    solid = (expected[:, 2:] > expected[:, :2]).all(axis=1)  # the others lie outside
    detector = Detector(model, NAMES, RGB, flip=flip, scales=scales)
    found = detector(image)
    np.testing.assert_allclose(found.scores, kept.scores[0][solid], atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected[solid], atol=1e-2)
    seen = detector.explain(image)
    assert set(seen.candidates.views) == set(range(len(views)))
    np.testing.assert_array_equal(seen.detections.boxes, found.boxes)


def test_candidates_can_be_clipped_and_counted_one_pixel_wider(model):
    image = picture(75, 101)
    clipped = Detector(model, NAMES, RGB, decoding=Decoding(clip=True)).explain(image).candidates.boxes
    free = Detector(model, NAMES, RGB).explain(image).candidates.boxes
    assert (free[:, 2:] > [101, 75]).any()
    np.testing.assert_array_equal(clipped, free.clip(0, [101, 75, 101, 75]))
    few = Detector(model, NAMES, RGB, decoding=Decoding(num_candidates=7)).explain(image)
    assert len(few.candidates) == 7
    wider = Detector(model, NAMES, RGB, decoding=Decoding(plus_one=True))(image)
    assert not np.array_equal(wider.scores, Detector(model, NAMES, RGB)(image).scores)


@pytest.mark.parametrize("scales", [(1.0,), (0.6, 1.0)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_a_batch_gives_what_its_images_give_alone_and_keeps_their_order(model, flip, batch_size, scales):
    detector = Detector(model, NAMES, RGB, flip=flip, scales=scales)
    sizes = [(75, 101), (90, 97), (64, 127), (33, 40), (75, 101), (75, 101)]  # the first three are padded alike
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    found = list(detector.stream(iter(images), batch_size))
    assert [each.image_size for each in found] == sizes
    for together, image in zip(found, images, strict=True):
        assert_same(together, detector(image))


@pytest.mark.parametrize("size", [(75, 101), (64, 90), (127, 31)])
def test_the_mirror_image_gives_the_mirrored_detections_under_flip(model, size):
    image = picture(*size)
    twofold = Detector(model, NAMES, RGB, flip=True)
    straight, mirrored = twofold(image), twofold(image[:, ::-1])
    boxes = mirrored.boxes.copy()
    boxes[:, [0, 2]] = size[1] - mirrored.boxes[:, [2, 0]]
    assert_same(straight, Detections(boxes, mirrored.scores, mirrored.labels, NAMES, size), 0.01)
    single = Detector(model, NAMES, RGB)(image)
    assert not np.array_equal(single.scores, straight.scores)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(75, 101), (31, 31), (200, 17), (2, 3), (1, 1)])
def test_boxes_lie_inside_the_image(model, size, flip):
    for seed in range(3):
        found = Detector(model, NAMES, RGB, flip=flip)(picture(*size, seed=seed))
        x1, y1, x2, y2 = found.boxes.T
        assert np.all((x1 >= 0) & (y1 >= 0) & (x2 <= size[1]) & (y2 <= size[0]))
        assert np.all((x2 > x1) & (y2 > y1))
        assert len(found) <= 100
        assert min(size) < 75 or len(found) > 5
        assert found.class_names == NAMES
        assert found.image_size == size


@pytest.mark.parametrize("flip", [False, True])
def test_max_size_looks_at_a_smaller_image_and_scales_its_boxes_back(model, flip):
    image = picture(120, 180)
    small, scale = shrink(image, 60)
    assert (small.shape, scale) == ((40, 60, 3), 1 / 3)
    expected = Detector(model, NAMES, RGB, flip=flip)(small)
    limited = Detector(model, NAMES, RGB, flip=flip, max_size=60)
    found = limited(image)
    assert found.image_size == (120, 180)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_allclose(found.boxes, expected.boxes * 3, atol=1e-3)
    candidates = limited.explain(image).candidates
    inside = candidates.boxes[candidates.views == 0]
    assert inside[:, 2].max() > 60
    assert_same(limited(small), expected)
    batch = list(limited.stream([image, picture(40, 60, 1)], 2))
    assert_same(batch[0], found)
    assert batch[1].boxes.max() <= 60


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("max_size", [None, 60])
def test_an_explanation_agrees_with_the_call(model, flip, max_size):
    detector, image = Detector(model, NAMES, RGB, flip=flip, max_size=max_size), picture(90, 120)
    told, found = detector.explain(image), detector(image)
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(told.detections, name), getattr(found, name))
    seen = (90, 120) if max_size is None else (45, 60)
    assert told.padded_size == RGB.padded_size(*seen)
    assert told.offset == RGB.offset_of(*seen)
    candidates, shape = told.candidates, told.tl_heatmap.shape
    assert shape == told.br_heatmap.shape == tuple(-(-side // 4) for side in told.padded_size)
    assert set(candidates.views.tolist()) == ({0, 1} if flip else {0})
    assert np.all(np.diff(candidates.scores) <= 0)
    assert candidates.scores[0] >= found.scores[0] - 1e-6
    own = candidates.views == 0
    for cells, scores, heatmap in (
        (candidates.tl_cells, candidates.tl_scores, told.tl_heatmap),
        (candidates.br_cells, candidates.br_scores, told.br_heatmap),
    ):
        at_cells = heatmap[tuple(cells[own].T)]
        assert np.all(at_cells >= scores[own] - 1e-6)
        assert np.any(np.abs(at_cells - scores[own]) < 1e-6)


def test_a_cell_becomes_a_place_in_the_image_by_the_true_ratio(model):
    """63 by 95 pixels on 16 by 24 cells: not 4 pixels a cell."""
    image = picture(50, 70)
    candidates = Detector(model, NAMES, RGB).explain(image).candidates
    pixels, (top, left) = to_input([image], RGB)[0], RGB.offset_of(50, 70)
    with torch.inference_mode():
        maps = model.dense_maps(pixels, last_only=True)[-1]
    assert len(candidates) > 50
    for i in range(len(candidates)):
        expected = []
        for cell, offset in ((candidates.tl_cells[i], maps.tl_offset), (candidates.br_cells[i], maps.br_offset)):
            row, column = cell
            dx, dy = offset[0, :, row, column].tolist()
            expected += [max(0, (column + dx) * 95 / 24 - left), max(0, (row + dy) * 63 / 16 - top)]
        assert candidates.boxes[i].tolist() == pytest.approx(expected, abs=1e-3)
        embeddings = [
            float(embedding[0, 0, row, column])
            for embedding, (row, column) in (
                (maps.tl_pairing, candidates.tl_cells[i]),
                (maps.br_pairing, candidates.br_cells[i]),
            )
        ]
        assert candidates.distances[i] == pytest.approx(abs(embeddings[0] - embeddings[1]), abs=1e-4)
        assert candidates.distances[i] <= 0.5


@pytest.mark.parametrize("preprocessing", [RGB, BGR_BLACK], ids=["RGB", "BGR"])
def test_the_input_is_normalised_and_padded_around_the_image(preprocessing):
    images = [picture(33, 40), picture(50, 63, seed=1)]
    batch, shifts = to_input(images, preprocessing)
    assert batch.shape == (2, 3, 63, 63)
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    for row, shift, image in zip(batch.numpy(), shifts.tolist(), images, strict=True):
        height, width = image.shape[:2]
        top, left = 31 - height // 2, 31 - width // 2
        ordered = image if preprocessing.color_order == "RGB" else image[..., ::-1]
        outside = (0 - mean) / std if preprocessing.padding == "black" else np.zeros(3)
        expected = np.tile(outside, (63, 63, 1))
        expected[top : top + height, left : left + width] = (ordered - mean) / std
        np.testing.assert_allclose(row.transpose(1, 2, 0), expected, atol=1e-5)
        assert shift == [left, top]
    with pytest.raises(ValueError, match="padded size"):
        to_input([picture(33, 40), picture(70, 40)], preprocessing)


def test_a_bgr_network_sees_blue_first(model):
    image, bgr = picture(63, 95), Preprocessing("BGR", RGB.mean, RGB.std, "mean", 31)
    assert_same(Detector(model, NAMES, bgr)(image), Detector(model, NAMES, RGB)(image[..., ::-1]))


def test_black_padding_is_a_black_frame(model):
    image = picture(50, 70)
    height, width = BGR_BLACK.padded_size(50, 70)
    top, left = BGR_BLACK.offset_of(50, 70)
    framed = np.zeros((height, width, 3), np.uint8)
    framed[top : top + 50, left : left + 70] = image
    for preprocessing, alike in ((BGR_BLACK, True), (RGB, False)):
        detector = Detector(model, NAMES, preprocessing)
        maps = [detector.explain(each).tl_heatmap for each in (image, framed)]
        assert np.allclose(*maps, atol=1e-5) == alike
    detector = Detector(model, NAMES, BGR_BLACK)
    inner, outer = detector.explain(image).candidates, detector.explain(framed).candidates
    both = np.isin(outer.tl_cells @ [1000, 1], inner.tl_cells @ [1000, 1])
    assert both.any()
    moved = outer.boxes[both][0] - [left, top, left, top]
    assert np.abs(np.clip(inner.boxes, 0, None) - moved.clip(0)).max(1).min() < 1e-3


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_lower_precision_finds_nearly_the_same(model, precision):
    exact = Detector(model, NAMES, RGB, flip=True)(picture())
    rough = Detector(model, NAMES, RGB, flip=True, precision=precision)(picture())
    assert rough.boxes.dtype == rough.scores.dtype == np.float32
    assert rough.scores[0] == pytest.approx(exact.scores[0], abs=0.05)
    assert len(rough) == pytest.approx(len(exact), rel=0.2)


def test_a_weights_file_is_all_that_loading_needs(model, tmp_path):
    like = Weights({}, TINY, NAMES, BGR_BLACK, threshold=0.45)
    path = save_weights(tmp_path / "w.safetensors", weights_of(model, like))
    detector = load_detector(path, device="cpu", flip=True)
    assert detector.threshold == 0.45
    assert_same(detector(picture()), Detector(model, NAMES, BGR_BLACK, flip=True)(picture()))


@pytest.mark.parametrize("bad", [np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), 7, "no/such/file.png"], ids=str)
def test_what_is_no_image_is_an_input_error(model, bad):
    with pytest.raises(InputError) as caught:
        Detector(model, NAMES, RGB)(bad)
    assert "\n" not in str(caught.value)


def test_an_impossible_max_size_is_an_input_error(model):
    with pytest.raises(InputError, match="size"):
        Detector(model, NAMES, RGB, max_size=0)(picture())


def test_a_network_in_training_stays_as_it_is(model, monkeypatch):
    network = copy.deepcopy(model).train()
    network.backbone.eval()  # as where only the head learns
    modes = [module.training for module in network.modules()]
    statistics = {name: value.clone() for name, value in network.named_buffers()}
    detector = Detector(network, NAMES, RGB)
    found, expected = detector(picture()), Detector(model, NAMES, RGB)(picture())
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    detector.explain(picture())
    monkeypatch.setattr("cornernet.media.images.available_memory", lambda: 0)
    with pytest.raises(InputError):
        detector(picture(2000, 2000))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, statistics[name]) for name, value in network.named_buffers())


# the type that comes out


@pytest.mark.parametrize(
    ("boxes", "scores", "labels"),
    [
        (np.zeros((2, 4)), [0.5], [0]),
        (np.zeros((1, 4)), [0.5], [0, 1]),
        (np.zeros((1, 4)), [0.5], [3]),
        (np.zeros((1, 4)), [0.5], [-1]),
        (np.zeros((2, 4)), [0.5, 0.6], [0, 0]),
        (np.zeros((1, 5)), [0.5], [0]),
    ],
)
def test_detections_that_make_no_sense_are_refused(boxes, scores, labels):
    with pytest.raises(ValueError):
        Detections(boxes, scores, labels, NAMES, (10, 10))


def test_detections_filter_and_become_json():
    found = Detections([[0, 1, 2.12345, 3]] * 3, [0.9, 0.5, 0.1], [2, 0, 1], list(NAMES), (10, 10))
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (np.float32, np.float32, np.int64)
    assert [len(found.above(t)) for t in (0.0, 0.5, 0.95)] == [3, 2, 0]
    assert found.above(0.5).labels.tolist() == [2, 0]
    first = json.loads(json.dumps(found.as_dicts()))[0]
    assert first == {"box": [0.0, 1.0, 2.123, 3.0], "score": 0.9, "label": 2, "class": "c"}
    nothing = Detections(np.zeros((0, 4)), [], [], NAMES, (10, 10))
    assert (len(nothing), nothing.as_dicts(), nothing.boxes.shape) == (0, [], (0, 4))
