"""Each kind of error on an image made for it, and what it costs."""

from pathlib import Path

import numpy as np
import pytest

from cornernet.data.dataset import ImageRecord
from cornernet.evaluation.ap import coco_metrics, to_coco_results
from cornernet.evaluation.error_analysis import ERROR_KINDS, corrected, diagnose, error_costs
from cornernet.evaluation.matching import confusion_matrix, f1_scores, precision_recall, rank
from cornernet.evaluation.predict import ImageResult
from cornernet.model.pairing.embedding import AssociativeEmbedding
from cornernet.structures import CornerPoints, Detections

WORDS = AssociativeEmbedding.words
NAMES, IDS, SIZE = ("cat", "dog"), (7, 3), (200, 300)
A, B = (20, 20, 80, 80), (160, 100, 240, 180)  # two objects, far from each other
HALF = (20, 20, 60, 60)  # IoU 0.44 with A


def corners(*found):
    """``(x, y, label, score)``, best first."""
    x_y = np.array([f[:2] for f in found], np.float32).reshape(-1, 2)
    scores, labels = np.array([f[3] for f in found], np.float32), np.array([f[2] for f in found], np.int64)
    return CornerPoints(x_y, scores, labels, np.zeros((len(found), 2), np.int64), np.zeros((len(found), 1)), WORDS)


def image_result(objects, found, *, tl=None, br=None, crowd=(), number=1):
    """Objects ``(box, label)``, detections ``(box, label, score)``; corners seen, unless said: the detections'."""
    boxes = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    labels = np.array([label for _, label in objects], np.int64)
    is_crowd = np.array([i in crowd for i in range(len(objects))], bool)
    ids = np.arange(len(objects)) + 100 * number
    record = ImageRecord(number, f"{number}.png", Path(f"{number}.png"), *SIZE, boxes, labels, is_crowd, ids)
    found_boxes = np.array([box for box, *_ in found], np.float32).reshape(-1, 4)
    scores, kinds = [score for *_, score in found], [label for _, label, _ in found]
    detections = Detections(found_boxes, np.array(scores), np.array(kinds), NAMES, SIZE)
    seen = [corners(*((*box[i : i + 2], label, score) for box, label, score in found)) for i in (0, 2)]
    return ImageResult(record, detections, tl or seen[0], br or seen[1])


def truth_of(*image_results):
    annotations = [
        {
            "id": int(id_),
            "image_id": s.record.id,
            "category_id": IDS[label],
            "bbox": [float(v) for v in (*box[:2], *(box[2:] - box[:2]))],
            "iscrowd": int(crowd),
        }
        for s in image_results
        for id_, box, label, crowd in zip(
            s.record.annotation_ids, s.record.boxes, s.record.labels, s.record.crowd, strict=True
        )
    ]
    categories = [{"id": id_, "name": name} for id_, name in zip(IDS, NAMES, strict=True)]
    return {
        "images": [{"id": s.record.id} for s in image_results],
        "annotations": annotations,
        "categories": categories,
    }


def costs(*image_results, threshold=0.3):
    return {cost.kind: cost for cost in error_costs(image_results, truth_of(*image_results), IDS, threshold)}


ONE_OF_TWO = 51 / 101  # COCO's average precision where the second of two objects is never found

TL_A, BR_A, TL_B, BR_B = (20, 20, 0), (80, 80, 0), (160, 100, 0), (240, 180, 0)
FOUND_B = (B, 0, 0.8)
CASES = {  # kind: what was found besides B, corners seen (None: the detections'), AP50 without the error
    "corner": ([], (corners((*TL_B, 0.8), (*TL_A, 0.5)), corners((*BR_B, 0.8))), 1 - ONE_OF_TWO),
    "pairing": ([], (corners((*TL_B, 0.8), (*TL_A, 0.5)), corners((*BR_B, 0.8), (*BR_A, 0.4))), 1 - ONE_OF_TWO),
    "class": ([(A, 1, 0.9)], None, 1 - ONE_OF_TWO),
    "localisation": ([(HALF, 0, 0.9)], None, 1 - ONE_OF_TWO / 2),  # before: precision 1/2 up to recall 1/2
}


@pytest.mark.parametrize("kind", CASES)
def test_an_object_is_lost_by_one_kind_of_error(kind):
    found, seen, rise = CASES[kind]
    tl, br = seen or (None, None)
    image = image_result([(A, 0), (B, 0)], [*found, FOUND_B], tl=tl, br=br)
    for name, cost in costs(image).items():
        assert cost.ap50 == pytest.approx(rise if name == kind else 0, abs=1e-3), name
        assert cost.boxes == (name == kind and bool(found))
        assert cost.objects == (name == kind and not found)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("duplicate", (20, 20, 80, 72)),
        ("background", (250, 10, 290, 50)),
        ("background", (75, 75, 125, 125)),  # touches A, by IoU under 0.1
        ("pairing", (22, 19, 238, 181)),  # from A's top-left to B's bottom-right corner
    ],
)
def test_a_wrong_box_stands_before_a_right_one(kind, wrong):
    first = 0.7 if kind == "duplicate" else 0.95
    image = image_result([(A, 0), (B, 0)], sorted([(A, 0, 0.9), (wrong, 0, first), (B, 0, 0.6)], key=lambda f: -f[2]))
    before = coco_metrics(truth_of(image), to_coco_results(image.detections, 1, IDS)).figures["AP50"]
    assert before < 1
    for name, cost in costs(image).items():
        assert cost.ap50 == pytest.approx(1 - before if name == kind else 0, abs=1e-9), name
        assert (cost.boxes, cost.objects) == (name == kind, 0)


def test_a_mended_pair_has_its_corners_places_and_the_mean_of_their_scores():
    image = image_result([(A, 0)], [], tl=corners((21, 19, 0, 0.5)), br=corners((78, 80, 0, 0.3)))
    pair = corrected(image, diagnose(image, 0.3), ["pairing"])
    assert pair.boxes.tolist() == [[21, 19, 78, 80]]
    assert pair.scores.tolist() == pytest.approx([0.4])
    alone = image_result([(A, 0)], [], tl=corners((21, 19, 0, 0.5)), br=corners((78, 80, 1, 0.3)))  # a dog's
    pair = corrected(alone, diagnose(alone, 0.3), ["corner"])
    assert pair.boxes.tolist() == [[21, 19, 80, 80]]
    assert pair.scores.tolist() == pytest.approx([0.75])


def test_a_corner_is_there_as_near_as_the_box_allows():
    def kind(x):
        image = image_result([(A, 0)], [], tl=corners((x, 20, 0, 0.5)), br=corners((80, 80, 0, 0.5)))
        return diagnose(image, 0.3).missed[0]

    # a square of 60 pixels: both corners 8.79 pixels inwards leave a square of 42.4, half its area
    assert [kind(x) for x in (20, 28, 29.5)] == ["pairing", "pairing", "corner"]


def test_right_but_not_exact_costs_ap_alone():
    image = image_result([(A, 0)], [((20, 20, 80, 70), 0, 0.9)])
    cost = costs(image)["localisation"]
    assert (cost.ap50, cost.boxes) == (0, 0)
    assert cost.ap == pytest.approx(0.3)  # IoU 0.83: right from 0.5 to 0.8, 7 of 10


def test_a_faint_wrong_box_explains_no_missed_object():
    image = image_result([(A, 0), (B, 0)], [FOUND_B, (HALF, 0, 0.05)])
    assert diagnose(image, 0.3).missed.tolist() == ["corner", ""]
    assert diagnose(image, 0.01).missed.tolist() == ["", ""]


def test_crowd_regions_are_nobodys_mistake():
    image = image_result([(A, 0), (B, 0)], [((25, 25, 50, 50), 0, 0.9), FOUND_B], crowd=[0])
    diagnosis = diagnose(image, 0.3)
    assert (diagnosis.kinds.tolist(), diagnosis.missed.tolist()) == (["", ""], ["", ""])
    assert confusion_matrix([image], 0.3).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert all(cost.ap == 0 for cost in costs(image).values())


def test_images_without_objects_or_boxes():
    empty, unseen, false = (
        image_result([], []),
        image_result([(A, 0)], [], number=2),
        image_result([], [(A, 0, 0.9)], number=3),
    )
    assert diagnose(false, 0.3).kinds.tolist() == ["background"]
    found = costs(empty, unseen, false)
    assert found["corner"].objects == found["background"].boxes == 1
    assert f1_scores(rank([empty, unseen, false])).best is None


def random_sightings():
    rng = np.random.default_rng(5)
    made = []
    for number in range(1, 30):
        low = rng.uniform(0, 120, (6, 2))
        boxes = np.concatenate([low, low + rng.uniform(20, 80, (6, 2))], axis=1).round()
        objects = [(tuple(box), int(rng.integers(2))) for box in boxes[:5]]
        found = [(tuple(box + rng.normal(0, 5, 4)), int(rng.integers(2)), float(rng.uniform(0, 1))) for box in boxes]
        found += [(box, label, float(rng.uniform(0, 1))) for box, label in objects[:2]]
        made.append(image_result(objects, sorted(found, key=lambda f: -f[2]), number=number))
    return made


def test_without_any_error_everything_is_found():
    image_results = random_sightings()
    results = [
        r for s in image_results for r in to_coco_results(corrected(s, diagnose(s, 0.0), ERROR_KINDS), s.record.id, IDS)
    ]
    assert coco_metrics(truth_of(*image_results), results).figures["AP50"] == pytest.approx(1)


def test_matching_agrees_with_coco():
    image_results = random_sightings()
    ranking = rank(image_results)
    results = [r for s in image_results for r in to_coco_results(s.detections, s.record.id, IDS)]
    per_class = coco_metrics(truth_of(*image_results), results).per_class
    for label, name in enumerate(NAMES):
        recall, precision = precision_recall(ranking, label)
        places = np.searchsorted(recall, np.linspace(0, 1, 101))
        points = [precision[place] if place < len(precision) else 0 for place in places]
        assert np.mean(points) == pytest.approx(per_class[name]["AP50"], abs=0.011)  # one recall more or less


def test_the_confusion_matrix_adds_up():
    image_results = random_sightings()
    counts = confusion_matrix(image_results, 0.4)
    shown = np.concatenate([s.detections.above(0.4).labels for s in image_results])
    objects = np.concatenate([s.record.labels for s in image_results])
    assert counts[:2].sum(axis=1).tolist() == np.bincount(objects).tolist()
    assert counts[:, :2].sum(axis=0).tolist() == np.bincount(shown).tolist()
    assert min(counts[0, 1], counts[1, 0]) > 0 == counts[2, 2]


def test_a_confusion_is_with_the_object_left_over():
    image = image_result([(A, 0), (A, 1), (B, 0)], [(A, 1, 0.9), (B, 1, 0.8), (HALF, 0, 0.7), (A, 0, 0.1)])
    # the first dog found the second object, though the cat is as near; the cat A and HALF are left over
    assert confusion_matrix([image], 0.3).tolist() == [[0, 1, 1], [0, 1, 0], [1, 0, 0]]


def test_the_best_threshold_is_the_middle_of_the_best():
    image = image_result([(A, 0), (B, 0)], [(A, 0, 0.9), (B, 0, 0.7), ((0, 0, 9, 9), 0, 0.3), ((0, 9, 9, 19), 0, 0.2)])
    scores = f1_scores(rank([image]))
    assert scores.best == pytest.approx(0.51)  # all from 0.31 to 0.70 are right
    assert scores.f1.max() == 1
    assert scores.f1[0] == pytest.approx(2 * 2 / (4 + 2))
    assert scores.precision[[0, 79]].tolist() == [0.5, 1]
    assert np.isnan(scores.precision[-1])
    assert len(image.detections.above(scores.best)) == 2
