"""Why a pair of corners became a box, or none: each reason on corners placed by hand, all of it on a real scene."""

import json

import numpy as np
import pytest
import torch

import cornernet
from cornernet.config import Decoding
from cornernet.data.shapes import draw_scene
from cornernet.explain.draw_pairs import draw_around, draw_numbered, draw_rejected
from cornernet.explain.pairs import PairOutcomes
from cornernet.explain.reasons import answer, pairs_as_json, reason, table
from cornernet.model.decode import Corners, pair_corners
from cornernet.model.pairing.embedding import AssociativeEmbedding
from cornernet.structures import Candidates, CornerPoints, Detections, Explanation

NAMES = ("cat", "dog")
SIZE = 200
MAP_WIDTH = 1000  # more than the image: corners may lie outside


def points(rows):
    """Corners of (x, y, score, label, embedding); the cells are the pixels."""
    x, y, scores, labels, embeddings = np.array(rows, np.float64).reshape(-1, 5).T
    place = np.stack([x, y], axis=1)
    return CornerPoints(
        place.astype(np.float32),
        scores.astype(np.float32),
        labels.astype(np.int64),
        place[:, ::-1].astype(np.int64),
        embeddings.astype(np.float32)[:, None],
        AssociativeEmbedding.words,
    )


def as_corners(each):
    rows, columns = (torch.as_tensor(v)[None] for v in each.cells.T)
    scores, labels = torch.as_tensor(each.scores)[None], torch.as_tensor(each.labels)[None]
    return Corners(scores, labels, rows, columns, rows * MAP_WIDTH + columns)


def explained(tl, br, threshold=0.3, **decoding):
    """Pairs of corners given as rows, through the real pairing."""
    tl, br, settings = points(tl), points(br), Decoding(**decoding)
    distances = np.abs(tl.values - br.values.T)
    found = pair_corners(
        as_corners(tl),
        as_corners(br),
        torch.as_tensor(tl.positions)[None],
        torch.as_tensor(br.positions)[None],
        torch.as_tensor(distances)[None],
        settings,
    )
    there = found.valid[0]
    column = {name: getattr(found, name)[0][there].numpy() for name in found._fields}
    cells = [np.stack(np.divmod(column[name], MAP_WIDTH), axis=1) for name in ("tl_cells", "br_cells")]
    scores = column["tl_scores"], column["br_scores"]
    views = np.zeros(len(column["labels"]), np.int64)
    candidates = Candidates(
        column["boxes"], column["scores"], column["labels"], *scores, *cells, column["distances"], views
    )
    empty = Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0), NAMES, (SIZE, SIZE))
    heat = np.zeros((4, 4), np.float32)
    return PairOutcomes(
        Explanation(empty, candidates, heat, heat, (0, 0), (SIZE, SIZE), (SIZE, SIZE), tl, br, distances),
        settings,
        threshold,
    )


CAT = (20, 20, 0.9, 0, 1.0), (60, 60, 0.8, 0, 1.1)


@pytest.mark.parametrize(
    ("tl", "br", "outcome", "said"),
    [
        (*CAT, "box", "is box 1"),
        (CAT[0], (60, 60, 0.8, 1, 1.1), "class", "classes differ: cat and dog"),
        (CAT[0], (60, 20, 0.8, 0, 1.1), "position", "not right of and below"),
        (CAT[0], (60, 60, 0.8, 0, 1.7), "distance", "embeddings differ by 0.70, more than 0.5"),
        (CAT[0], (60, 60, 0.02, 0, -1.7), "distance", "score 0.460 is below 0.5"),
        ((20, 20, 0.4, 0, 1.0), (60, 60, 0.5, 0, 1.1), "score", "score 0.450 is below 0.5"),
        ((210, 20, 0.9, 0, 1.0), (260, 60, 0.9, 0, 1.0), "outside", "nothing of it lies inside the image"),
    ],
)
def test_a_pair_alone(tl, br, outcome, said):
    pairs = explained([tl], [br], threshold=0.5)
    pair = pairs.pair(0, 0)
    assert pair.outcome == outcome
    assert said in reason(pair, pairs)
    assert [box.number for box in pairs.boxes] == ([1] if outcome == "box" else [])


def test_soft_nms_says_which_box_took_how_much():
    """Half of box 1's height lies under the rival: IoU 0.5, decay exp(-0.25 / 0.5)."""
    pairs = explained([(20, 20, 0.9, 0, 1.0)], [(60, 60, 0.9, 0, 1.0), (60, 40, 0.5, 0, 1.0)], threshold=0.5)
    rival = pairs.pair(0, 1)
    assert (rival.outcome, rival.by, rival.number) == ("suppressed", 1, None)
    assert rival.iou == pytest.approx(0.5)
    assert rival.score == pytest.approx(0.7)
    assert rival.final == pytest.approx(0.7 * np.exp(-0.5))
    assert "soft-NMS lowered 0.70 to 0.42: box 1 covers it (IoU 0.50)" in reason(rival, pairs)
    assert [(p.tl, p.br, p.outcome) for p in pairs.rivals(pairs.boxes[0])] == [(0, 1, "suppressed")]


def test_limits_of_candidates_and_of_boxes():
    few = explained([CAT[0]], [CAT[1], (90, 90, 0.5, 0, 1.0)], num_candidates=1)
    assert few.pair(0, 1).outcome == "candidates"
    assert "beyond the best 1 pairs" in reason(few.pair(0, 1), few)
    tl = [(i, i, 0.9 - i / 1000, 0, 10.0 * i) for i in range(120)]
    br = [(i + 1, i + 1, 0.9 - i / 1000, 0, 10.0 * i) for i in range(120)]
    many = explained(tl, br)
    assert len(many.boxes) == 100
    assert many.pair(110, 110).outcome == "boxes"


def test_merged_neighbours_show_the_pair_that_should_have_been():
    """Two cats whose outer corners have equal embeddings: one large box, and the true pairs' distances."""
    tl = [(20, 20, 0.9, 0, 1.0), (100, 20, 0.3, 0, 5.0)]
    br = [(160, 60, 0.9, 0, 1.2), (60, 60, 0.8, 0, 3.0)]
    pairs = explained(tl, br, threshold=0.5)
    (box,) = pairs.boxes
    assert (box.tl, box.br) == (0, 0)
    first, *_, other = pairs.rivals(box)
    assert (first.tl, first.br, first.outcome, first.distance) == (0, 1, "distance", pytest.approx(2))
    assert (other.tl, other.br, other.outcome, other.distance) == (1, 0, "distance", pytest.approx(3.8))
    said = table(pairs, "cats.jpg")
    assert "T1 with B2 60,60 0.80 e +3.00: embeddings differ by 2.00, more than 0.5" in said
    assert "T1 20,20 0.90 e +1.00  B1 160,60 0.90 e +1.20  d 0.20" in said


def test_a_point_asks_the_nearest_corners_around_it():
    tl = [(20, 20, 0.7, 0, 1.0), (110, 110, 0.8, 1, 3.0), (5, 5, 0.9, 1, 1.0)]
    br = [(60, 60, 0.9, 0, 1.0), (150, 150, 0.7, 1, 7.0), (190, 190, 0.9, 1, 1.0)]
    pairs = explained(tl, br)
    first = pairs.around(130, 130)[0]
    assert (first.tl, first.br, first.outcome) == (1, 1, "distance")
    said = answer(pairs, 130, 130)
    assert said.splitlines()[:2] == [
        "at 130,130: inside box 1",
        "  dog  T2 110,110 0.80 e +3.00  B2 150,150 0.70 e +7.00  d 4.00: embeddings differ by 4.00, more than 0.5",
    ]
    assert answer(pairs, 30, 30).splitlines()[0] == "at 30,30: inside box 1, box 2"
    assert "no bottom-right corner right of and below it is among the 3 best" in answer(pairs, 195, 195)
    assert "no top-left corner left of and above it is among the 3 best" in answer(pairs, 2, 2)


def test_nothing_at_all():
    pairs = explained([], [])
    assert pairs.boxes == pairs.around(5, 5) == []
    assert "no top-left corner" in answer(pairs, 5, 5)
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    assert draw_rejected(image, pairs).shape == image.shape
    assert draw_around(image, pairs, 5, 5, []).size
    assert json.dumps(pairs_as_json(pairs, "x.jpg", (5, 5)))


@pytest.fixture(scope="module")
def scene():
    return draw_scene((20261, 11)).image


@pytest.fixture(scope="module")
def detector():
    return cornernet.load("shapes", device="cpu")


@pytest.mark.parametrize("threshold", [0.5, 0.05])
@pytest.mark.parametrize("max_size", [None, 200])
def test_the_boxes_are_the_detectors_own(scene, detector, threshold, max_size):
    own = cornernet.Detector(
        detector.model, detector.class_names, detector.preprocessing, decoding=detector.decoding, max_size=max_size
    )
    seen = own.explain(scene)
    expected = own(scene).above(threshold)
    pairs = PairOutcomes(seen, own.decoding, threshold, min(1.0, (max_size or 999) / max(scene.shape)))
    assert len(expected) > 5
    assert [box.number for box in pairs.boxes] == list(range(1, len(expected) + 1))
    boxes = np.array([pairs.box(box) for box in pairs.boxes]).clip(0, max(scene.shape))
    np.testing.assert_allclose(boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose([box.final for box in pairs.boxes], expected.scores, atol=1e-5)
    # every candidate is a pair that got as far as soft-NMS, and no other is
    outcomes = [pairs.pair(i, j) for i in range(len(pairs.tl)) for j in range(len(pairs.br))]
    assert sum(pair.final is not None for pair in outcomes) == len(seen.candidates)
    assert not {"candidates"} & {pair.outcome for pair in outcomes if len(seen.candidates) < 1000}


def test_corners_are_those_that_the_candidates_are_made_of(scene, detector):
    seen = detector.explain(scene)
    assert len(seen.tl_corners) == len(seen.br_corners) == 100
    best = seen.candidates.boxes[0]
    assert np.abs(seen.tl_corners.positions - best[:2]).max(axis=1).min() == 0
    assert np.abs(seen.br_corners.positions - best[2:]).max(axis=1).min() == 0


def test_several_views_are_refused(scene, detector):
    flipped = cornernet.Detector(detector.model, detector.class_names, detector.preprocessing, flip=True)
    with pytest.raises(ValueError, match="one view"):
        PairOutcomes(flipped.explain(scene), flipped.decoding, 0.5)


def test_pictures_show_boxes_solid_and_rejected_pairs_dashed():
    image = np.full((SIZE, SIZE, 3), 90, np.uint8)
    tl, br = (20, 20, 0.9, 0, 1.0), (60, 60, 0.9, 0, 1.0)
    pairs = explained([tl], [br, (180, 160, 0.5, 0, 7.0)], threshold=0.5)
    assert draw_numbered(image, pairs).shape == (4 * SIZE, 4 * SIZE, 3)
    whites = [(draw_rejected(image, each) == 255).all(axis=2).sum() for each in (pairs, explained([tl], [br]))]
    assert whites[0] > whites[1] + 100  # the dashes
    assert (image == 90).all()
    asked = draw_around(image, pairs, 100, 100, pairs.around(100, 100))
    assert (asked == 255).all(axis=2).any()
