"""Peaks, pairs and soft-NMS against plain loops."""

import itertools
import math

import pytest
import torch

from cornernet.config import Decoding
from cornernet.model.decode import Corners, corner_positions, pair_corners, top_corners
from cornernet.model.soft_nms import soft_nms

SCALE, SHIFT = torch.tensor((3.97, 4.1)), (6.0, 3.0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def logit(probability):
    return math.log(probability / (1 - probability))


def peaks_by_loops(heatmap):
    """{(class, row, column): probability} of one image."""
    found = {}
    classes, height, width = heatmap.shape
    probability = heatmap.sigmoid().tolist()
    for c in range(classes):
        for y in range(height):
            for x in range(width):
                around = [
                    probability[c][v][u]
                    for v in range(max(0, y - 1), min(height, y + 2))
                    for u in range(max(0, x - 1), min(width, x + 2))
                ]
                if probability[c][y][x] == max(around):
                    found[c, y, x] = probability[c][y][x]
    return found


def pairs_by_loops(tl, br, tl_positions, br_positions, distance, image):
    """All that stand, as (score, label, tl cell, br cell, distance, box), best first."""
    found = []
    for i in range(tl.scores.shape[1]):
        for j in range(br.scores.shape[1]):
            (x1, y1), (x2, y2) = tl_positions[image, i].tolist(), br_positions[image, j].tolist()
            scores = tl.scores[image, i].item(), br.scores[image, j].item()
            same = tl.labels[image, i] == br.labels[image, j]
            gap = distance[image, i, j].item()
            if same and gap <= 0.5 and x2 > x1 and y2 > y1 and min(scores) >= 0:
                cells = tl.cells[image, i].item(), br.cells[image, j].item()
                score = torch.tensor(scores).mean().item()  # rounded as float32 does
                found.append((score, tl.labels[image, i].item(), *cells, gap, (x1, y1, x2, y2)))
    return sorted(found, reverse=True)


def rows_of(pairs, image):
    valid = pairs.valid[image]
    columns = (pairs.scores, pairs.labels, pairs.tl_cells, pairs.br_cells, pairs.distances)
    boxes = map(tuple, pairs.boxes[image][valid].tolist())
    rows = list(zip(*(column[image][valid].tolist() for column in columns), boxes, strict=True))
    assert all(a[0] >= b[0] for a, b in itertools.pairwise(rows))
    return sorted(rows, reverse=True)


def soft_nms_by_loops(boxes, scores, labels, sigma=0.5, min_score=0.001, limit=100, plus_one=0.0):
    """[(index, score)] of one image's candidates, best first."""
    boxes, scores, labels = boxes.tolist(), scores.tolist(), labels.tolist()
    left = [i for i in range(len(scores)) if scores[i] >= min_score]
    kept = []
    while left and len(kept) < limit:
        best = max(left, key=lambda i: scores[i])  # the first among equals
        kept.append((best, scores[best]))
        left.remove(best)
        x1, y1, x2, y2 = boxes[best]
        for i in left:
            if labels[i] == labels[best]:
                u1, v1, u2, v2 = boxes[i]
                width = max(0.0, min(x2, u2) - max(x1, u1) + plus_one)
                height = max(0.0, min(y2, v2) - max(y1, v1) + plus_one)
                areas = [(c - a + plus_one) * (d - b + plus_one) for a, b, c, d in (boxes[best], boxes[i])]
                iou = width * height / (sum(areas) - width * height)
                scores[i] *= math.exp(-(iou**2) / sigma)
        left = [i for i in left if scores[i] >= min_score]
    return kept


def agrees(kept, image, expected):
    index = kept.chosen[image][kept.valid[image]].tolist()
    assert index == [i for i, _ in expected]
    scores = kept.scores[image][kept.valid[image]]
    torch.testing.assert_close(scores, torch.tensor([s for _, s in expected]).reshape(-1), atol=1e-5, rtol=1e-4)


def random_boxes(generator, *shape, size=100.0):
    corner = torch.rand(*shape, 2, generator=generator) * size
    return torch.cat((corner, corner + 1 + torch.rand(*shape, 2, generator=generator) * size / 2), -1)


def three_unlike_maps(seed, classes=4, height=9, width=11):
    """Random, a slope with a single peak a class, and one of few distinct values: many ties."""
    generator = seeded(seed)
    slope = torch.arange(float(height * width)).reshape(height, width).expand(classes, -1, -1) / 50 - 1
    coarse = torch.randint(-2, 3, (classes, height, width), generator=generator).float()
    return torch.stack((torch.randn(classes, height, width, generator=generator) * 2, slope, coarse))


@pytest.mark.parametrize("k", [1, 30, 100, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_top_corners(seed, k):
    heatmap = three_unlike_maps(seed)
    corners = top_corners(heatmap, k)
    assert corners.scores.shape == (3, min(k, heatmap[0].numel()))
    for image in range(3):
        expected = peaks_by_loops(heatmap[image])
        scores = corners.scores[image].tolist()
        count = min(k, len(expected))
        assert scores[count:] == [-1] * (len(scores) - count)
        assert scores[:count] == pytest.approx(sorted(expected.values(), reverse=True)[:count])
        columns = (corners.labels, corners.rows, corners.columns, corners.cells)
        places = list(zip(*(c[image, :count].tolist() for c in columns), strict=True))
        assert len(set(places)) == count
        for (label, row, column, cell), score in zip(places, scores, strict=False):
            assert expected[label, row, column] == pytest.approx(score)
            assert cell == row * heatmap.shape[3] + column


def random_corners(generator, batch, count, classes, tied):
    scores = torch.rand(batch, count, generator=generator)
    if tied:
        scores = (scores * 4).round() / 4
    scores[torch.rand(batch, count, generator=generator) < 0.2] = -1
    scores[1, 2:] = -1  # one image with two corners
    rows, columns = (torch.randint(0, 12, (batch, count), generator=generator) for _ in range(2))
    labels = torch.randint(0, classes, (batch, count), generator=generator)
    return Corners(scores.sort(descending=True).values, labels, rows, columns, rows * 12 + columns)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("seed", "k", "m"), [(0, 25, 25), (1, 30, 12), (2, 1, 40), (3, 0, 5), (4, 5, 0)])
def test_pairs(seed, k, m, tied):
    generator = seeded(seed)
    corners = [random_corners(generator, 3, count, 2, tied) for count in (k, m)]
    shift = torch.tensor([SHIFT, (0.0, 0.0), (9.0, 1.0)])[:, None]
    offsets = [torch.rand(3, count, 2, generator=generator) for count in (k, m)]
    positions = [corner_positions(c, o, SCALE, shift) for c, o in zip(corners, offsets, strict=True)]
    distance = torch.rand(3, k, m, generator=generator)
    pairs = pair_corners(*corners, *positions, distance, Decoding(num_candidates=10_000))
    for image in range(3):
        expected = pairs_by_loops(*corners, *positions, distance, image)
        assert rows_of(pairs, image) == expected


def one_pair(tl_cell, br_cell, tl_offset=(0.5, 0.5), br_offset=(0.5, 0.5), gap=0.0, labels=(0, 0)):
    """Whether one top-left corner and one bottom-right corner, at (row, column), make a box."""

    def corner(cell, label):
        row, column = (torch.tensor([[v]]) for v in cell)
        return Corners(torch.tensor([[0.8]]), torch.tensor([[label]]), row, column, row * 8 + column)

    corners = corner(tl_cell, labels[0]), corner(br_cell, labels[1])
    offsets = torch.tensor([[tl_offset]]), torch.tensor([[br_offset]])
    positions = [corner_positions(c, o, SCALE, torch.zeros(2)) for c, o in zip(corners, offsets, strict=True)]
    return bool(pair_corners(*corners, *positions, torch.tensor([[[gap]]])).valid.item())


def test_a_distance_of_exactly_one_half_pairs_and_the_next_number_does_not():
    assert one_pair((1, 1), (3, 3), gap=0.5)
    assert not one_pair((1, 1), (3, 3), gap=math.nextafter(0.5, 1) + 1e-7)


def test_labels_must_agree():
    assert one_pair((1, 1), (3, 3), labels=(1, 1))
    assert not one_pair((1, 1), (3, 3), labels=(0, 1))


def test_order_is_that_of_positions_not_of_cells():
    assert one_pair((3, 3), (3, 3), (0.1, 0.1), (0.9, 0.9))
    assert one_pair((3, 4), (3, 3), (0.1, 0.1), (1.4, 0.9))
    assert not one_pair((3, 3), (4, 4), (1.8, 0.1), (0.1, 0.9))
    assert not one_pair((3, 3), (4, 4), (0.1, 1.8), (0.9, 0.1))
    assert not one_pair((3, 3), (4, 4), (1.0, 0.5), (0.0, 0.5))


def test_positions_use_the_true_ratio_and_stop_at_the_images_edge():
    rows, columns = torch.tensor([[0, 127]]), torch.tensor([[1, 127]])
    corners = Corners(torch.ones(1, 2), torch.zeros(1, 2).long(), rows, columns, rows * 128 + columns)
    scale = torch.tensor((511 / 128, 767 / 192))
    found = corner_positions(corners, torch.full((1, 2, 2), 0.5), scale, torch.tensor([3.0, 5.0]))
    expected = [[[1.5 * 511 / 128 - 3, 0.0], [127.5 * 511 / 128 - 3, 127.5 * 767 / 192 - 5]]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_only_the_best_thousand_pairs_go_on():
    generator = seeded(0)
    scores = [torch.rand(1, 100, generator=generator).sort(descending=True).values for _ in range(2)]
    zero = torch.zeros(1, 100, dtype=torch.long)
    corners = [Corners(s, zero, zero, zero, torch.arange(100)[None]) for s in scores]
    positions = torch.rand(1, 100, 2, generator=generator), 10 + torch.rand(1, 100, 2, generator=generator)
    distance = torch.zeros(1, 100, 100)
    pairs = pair_corners(*corners, *positions, distance)
    assert pairs.valid.shape == (1, 1000)
    assert pairs.valid.all()
    best = pairs_by_loops(*corners, *positions, distance, 0)[:1000]
    assert pairs.scores[0].tolist() == pytest.approx([row[0] for row in best])
    assert set(zip(pairs.tl_cells[0].tolist(), pairs.br_cells[0].tolist(), strict=True)) == {row[2:4] for row in best}


def test_a_harmonic_score_follows_the_worse_corner():
    zero = torch.zeros(1, 3, dtype=torch.long)
    tl = Corners(torch.tensor([[0.9, 0.5, -1.0]]), zero, zero, zero, torch.arange(3)[None])
    br = Corners(torch.tensor([[0.1, 0.45, -1.0]]), zero, zero, zero, torch.arange(3)[None])
    positions = torch.zeros(1, 3, 2), torch.ones(1, 3, 2)
    pairs = pair_corners(tl, br, *positions, torch.zeros(1, 3, 3), Decoding(pair_score="harmonic"))
    assert pairs.scores[0, :4].tolist() == pytest.approx([0.6, 0.45 / 0.95, 0.18, 0.1 / 0.6])
    assert pairs.valid.sum() == 4
    with pytest.raises(ValueError, match="mean or harmonic"):
        Decoding(pair_score="median")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("plus_one", [0.0, 1.0])
def test_soft_nms_of_a_batch_with_different_numbers_of_candidates(seed, plus_one):
    generator = seeded(seed)
    boxes = random_boxes(generator, 3, 150, size=30.0)
    scores = torch.rand(3, 150, generator=generator)
    labels = torch.randint(0, 3, (3, 150), generator=generator)
    valid = torch.arange(150) < torch.tensor([[150], [7], [0]])
    boxes[~valid] = boxes[~valid].flip(-1)  # fillers may be anything
    kept = soft_nms(boxes, scores, labels, valid, plus_one=plus_one)
    assert kept.valid.sum(1).tolist() == [100, 7, 0]
    for image in range(3):
        chosen = valid[image]
        expected = soft_nms_by_loops(
            boxes[image][chosen], scores[image][chosen], labels[image][chosen], plus_one=plus_one
        )
        agrees(kept, image, expected)


def test_soft_nms_of_thousands():
    generator = seeded(5)
    boxes, scores = random_boxes(generator, 1, 4000, size=600.0), torch.rand(1, 4000, generator=generator)
    labels = torch.randint(0, 80, (1, 4000), generator=generator)
    agrees(soft_nms(boxes, scores, labels), 0, soft_nms_by_loops(boxes[0], scores[0], labels[0]))


def test_soft_nms_of_whole_pixels_and_tied_scores_keeps_the_order():
    generator = seeded(6)
    boxes = random_boxes(generator, 1, 60, size=20.0).round()
    scores = (torch.rand(1, 60, generator=generator) * 3).ceil() / 4
    labels = torch.arange(60)[None] % 30
    agrees(soft_nms(boxes, scores, labels), 0, soft_nms_by_loops(boxes[0], scores[0], labels[0]))
    apart = torch.arange(5.0)[None, :, None] * 20 + torch.tensor([0.0, 0.0, 9.0, 9.0])
    kept = soft_nms(apart, torch.full((1, 5), 0.5), torch.zeros(1, 5).long())
    assert kept.chosen.tolist() == [[0, 1, 2, 3, 4]]


def test_one_pixel_more_makes_neighbours_overlap():
    boxes, scores = torch.tensor([[[0.0, 0, 1, 1], [1.5, 0, 3, 1]]]), torch.tensor([[0.9, 0.8]])
    labels = torch.zeros(1, 2, dtype=torch.long)
    assert soft_nms(boxes, scores, labels).scores[0, 1].item() == pytest.approx(0.8)
    iou = 0.5 * 2 / (4 + 5 - 0.5 * 2)
    found = soft_nms(boxes, scores, labels, plus_one=1.0).scores[0, 1].item()
    assert found == pytest.approx(0.8 * math.exp(-(iou**2) / 0.5))


def test_a_score_of_exactly_the_least_stays():
    boxes = torch.tensor([[[0.0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]]])
    least = torch.tensor(0.001)
    scores = torch.stack((least, torch.nextafter(least, torch.tensor(0.0)), torch.tensor(0.5)))[None]
    kept = soft_nms(boxes, scores, torch.zeros(1, 3).long())
    assert kept.chosen[kept.valid].tolist() == [2, 0]


def test_boxes_without_area_do_not_swallow_the_others():
    point = [5.0, 5, 5, 9]
    boxes = torch.tensor([[[0.0, 0, 10, 10], point, point, [20, 20, 30, 30]]])
    kept = soft_nms(boxes, torch.tensor([[0.4, 0.9, 0.8, 0.3]]), torch.zeros(1, 4).long())
    assert kept.valid.all()
    assert kept.chosen.tolist() == [[1, 2, 0, 3]]


@pytest.mark.parametrize("shape", [(1, 0), (3, 0), (0, 5)])
def test_soft_nms_of_nothing(shape):
    kept = soft_nms(torch.zeros(*shape, 4), torch.zeros(shape), torch.zeros(shape).long())
    assert kept.chosen.shape == shape


def detect(tl_heatmap, br_heatmap, k=100):
    """The road from heatmaps to kept boxes, with offsets of 0 and embeddings that all agree."""
    corners = [top_corners(heatmap, k) for heatmap in (tl_heatmap, br_heatmap)]
    scale, shift = torch.full((2,), 4.0), torch.zeros(2)
    positions = [corner_positions(c, torch.zeros(*c.cells.shape, 2), scale, shift) for c in corners]
    distance = torch.zeros(len(tl_heatmap), corners[0].cells.shape[1], corners[1].cells.shape[1])
    pairs = pair_corners(*corners, *positions, distance)
    kept = soft_nms(pairs.boxes, pairs.scores, pairs.labels, pairs.valid)
    return [pairs.boxes[i, kept.chosen[i][kept.valid[i]]] for i in range(len(tl_heatmap))]


def test_maps_without_any_corner_give_no_boxes():
    empty = torch.full((2, 3, 6, 7), -1e4)
    assert [len(boxes) for boxes in detect(empty, empty)] == [0, 0]


@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_maps_smaller_than_k(size):
    tl, br = torch.full((1, 2, *size), -20.0), torch.full((1, 2, *size), -20.0)
    tl[0, 1, 0, 0] = br[0, 1, -1, -1] = logit(0.9)
    (boxes,) = detect(tl, br)
    if size == (1, 1):
        assert len(boxes) == 0
    else:
        assert boxes[0].tolist() == [0, 0, 8, 4]


def test_a_planted_box_among_empty_images_is_found_in_its_own():
    tl, br = torch.full((3, 5, 16, 16), -20.0), torch.full((3, 5, 16, 16), -20.0)
    tl[1, 4, 2, 3], br[1, 4, 9, 12] = logit(0.9), logit(0.7)
    found = detect(tl, br)
    assert [len(boxes) for boxes in found] == [0, 1, 0]
    assert found[1].tolist() == [[12, 8, 48, 36]]
