"""COCO's figures: the official answer on COCO's own example, and what a user meets at the edges."""

import copy
import json
import math

import numpy as np
import pytest

from cornernet.errors import InputError
from cornernet.evaluation.ap import METRIC_NAMES, Metrics, coco_metrics, to_coco_results
from cornernet.structures import Detections


def box(image_id=1, category_id=7, bbox=(10, 10, 50, 40), **more):
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


def dataset(*annotations, categories=("cat",), images=1):
    return {
        "images": [{"id": i + 1, "width": 300, "height": 200} for i in range(images)],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations)],
        "categories": [{"id": 7 + i, "name": name} for i, name in enumerate(categories)],
    }


def test_the_official_answer_on_cocos_own_example(shared, capsys):
    folder = shared("reference/coco_eval")
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    results = json.loads((folder / "instances_val2014_fakebbox100_results.json").read_text())
    truth_before, results_before = copy.deepcopy(truth), copy.deepcopy(results)
    metrics = coco_metrics(truth, results)
    official = (0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564)
    assert {name: round(value, 3) for name, value in metrics.figures.items()} == dict(
        zip(METRIC_NAMES, official, strict=True)
    )
    assert (metrics.images, metrics.boxes, len(metrics.per_class)) == (100, 830, 80)
    present = [row["AP"] for row in metrics.per_class.values() if row["boxes"]]
    assert np.mean(present) == pytest.approx(metrics.figures["AP"])
    assert all(math.isnan(row["AP"]) == (row["boxes"] == 0) for row in metrics.per_class.values())
    assert (truth, results) == (truth_before, results_before)
    assert capsys.readouterr().out == ""
    assert max(map(len, metrics.table().splitlines())) <= 80


def test_perfect_predictions_are_perfect_even_where_ids_start_at_zero():
    truth = dataset(box(), box(bbox=(100, 50, 20, 20)), box(bbox=(10, 10, 200, 150)))
    assert truth["annotations"][0]["id"] == 0
    metrics = coco_metrics(truth, [box(bbox=a["bbox"], score=0.9) for a in truth["annotations"]])
    expected = dict.fromkeys(METRIC_NAMES, 1.0) | {"AR1": pytest.approx(1 / 3)}
    assert metrics.figures == expected
    assert metrics.per_class == {"cat": {"AP": 1.0, "AP50": 1.0, "AP75": 1.0, "boxes": 3}}


def test_each_class_has_its_own_row_and_iou_its_own_figure():
    truth = dataset(box(), box(category_id=8), categories=("cat", "dog"))
    half = box(category_id=8, bbox=(10, 10, 50, 25), score=0.9)
    metrics = coco_metrics(truth, [box(score=0.9), half])
    assert metrics.per_class["cat"]["AP75"] == 1
    assert metrics.per_class["dog"]["AP50"] == 1
    assert metrics.per_class["dog"]["AP75"] == 0
    assert metrics.figures["AP75"] == 0.5


def test_a_prediction_in_a_crowd_is_no_mistake_and_the_crowd_no_box_to_find():
    crowd = box(bbox=(100, 100, 100, 80), iscrowd=1)
    in_it, astray = box(bbox=(120, 120, 20, 20), score=0.95), box(bbox=(200, 10, 20, 20), score=0.95)
    metrics = coco_metrics(dataset(box(), crowd), [in_it, box(score=0.9)])
    assert metrics.figures["AP"] == 1
    assert metrics.boxes == metrics.per_class["cat"]["boxes"] == 1
    assert coco_metrics(dataset(box(), crowd), [astray, box(score=0.9)]).figures["AP"] == pytest.approx(0.5, abs=0.01)


def test_no_predictions_are_zeros_and_sizes_without_boxes_are_none():
    metrics = coco_metrics(dataset(box()), [])
    assert metrics.figures["AP"] == metrics.figures["AR100"] == metrics.figures["APm"] == 0
    plain = metrics.as_dict()
    assert plain["figures"]["APs"] is None
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize(
    ("truth", "predictions"),
    [(dataset(), [box(score=0.9)]), (dataset(images=0, categories=()), []), (dataset(images=0), [])],
)
def test_without_ground_truth_boxes_nothing_can_be_said(truth, predictions):
    metrics = coco_metrics(truth, predictions)
    assert all(math.isnan(value) for value in metrics.figures.values())
    assert metrics.boxes == 0
    assert metrics.table()
    assert set(metrics.as_dict()["figures"].values()) == {None}


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (box(image_id=99, score=0.9), "image 99"),
        (box(category_id=1, score=0.9), "category 1"),
        (box(score=math.nan), "finite"),
        (box(bbox=(0, 0, math.inf, 1), score=0.5), "finite"),
        (box(bbox=(0, 0, 1), score=0.5), "four"),
    ],
)
def test_predictions_that_cannot_be_meant_are_input_errors(prediction, words):
    with pytest.raises(InputError, match=words) as raised:
        coco_metrics(dataset(box()), [box(score=0.5), prediction])
    assert "prediction 1" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_classes_of_one_name_keep_a_row_each():
    metrics = coco_metrics(dataset(box(), categories=("cat", "cat")), [box(score=0.9)])
    assert list(metrics.per_class) == ["cat (7)", "cat (8)"]


def test_the_table_lines_up_and_fits_for_few_and_for_many_classes():
    row = {"AP": 0.505, "AP50": 1.0, "AP75": math.nan, "boxes": 36781}
    figures = dict.fromkeys(METRIC_NAMES, 0.25)
    few = Metrics(
        figures, {"cat": row, "a name far too long for any terminal at all, isn't it, dear reader": row}, 1, 1
    )
    many = Metrics(figures, {f"class number {i}": row for i in range(81)}, 5000, 36781)
    for metrics in (few, many):
        lines = metrics.table().splitlines()
        assert max(map(len, lines)) <= 80
        assert all(metrics.table().count(name) for name in METRIC_NAMES)
    assert "50.5 100.0     -  36781" in few.table()
    assert sum("50.5" in line for line in many.table().splitlines()) == 41


def test_detections_become_results_that_the_evaluator_takes():
    detections = Detections(
        np.array([[10.12345, 10, 60.5, 50], [0, 0, 1, 2]]), np.array([0.9876543, 0.5]), [1, 0], ("a", "b"), (200, 300)
    )
    results = to_coco_results(detections, 42, [3, 90])
    assert results == [
        {"image_id": 42, "category_id": 90, "bbox": [10.123, 10.0, 50.377, 40.0], "score": 0.987654},
        {"image_id": 42, "category_id": 3, "bbox": [0.0, 0.0, 1.0, 2.0], "score": 0.5},
    ]
    assert json.loads(json.dumps(results)) == results
    with pytest.raises(ValueError, match="1 category ids for 2 classes"):
        to_coco_results(detections, 42, [3])
