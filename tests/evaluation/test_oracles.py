"""The truth in place of parts of the network's answer."""

import json

import pytest
import torch

from cornernet.config import Architecture, Decoding, HourglassConfig, PairingConfig, Preprocessing
from cornernet.data.coco import find_split, load_coco
from cornernet.errors import InputError
from cornernet.evaluation.oracles import evaluate_with_oracles, parse_parts
from cornernet.evaluation.predict import evaluate_dataset
from cornernet.inference.detector import Detector
from cornernet.model.cornernet import CornerNet
from small import write_data

ALL = ("heatmaps", "offsets", "pairing")


@pytest.fixture(scope="module", params=["embedding", "size"])
def detector(request):
    torch.manual_seed(0)
    model = CornerNet(
        Architecture(
            HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
            corner_channels=8,
            branch_channels=8,
            pairing=PairingConfig.kind(request.param)(),
        ),
        2,
    )
    return Detector(model, ("red", "blue"), Preprocessing(pad_mask=15), decoding=Decoding(max_distance=0.3))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return load_coco(*find_split(write_data(tmp_path_factory.mktemp("data"), train=1, val=12), "val"))


def test_a_blind_network_told_everything_is_perfect(detector, dataset):
    assert evaluate_dataset(detector, dataset)[0].figures["AP"] < 0.05
    assert evaluate_with_oracles(detector, dataset, ALL)[0].figures["AP"] == pytest.approx(1.0)


def test_each_part_helps(detector, dataset):
    figures = [
        evaluate_with_oracles(detector, dataset, parts)[0].figures["AP"]
        for parts in (("heatmaps",), ("heatmaps", "pairing"), ALL)
    ]
    assert figures[0] <= figures[1] < figures[2]


def test_objects_that_share_a_corner_cell_are_what_still_misses(detector, tmp_path):
    data = write_data(tmp_path / "data", train=1, val=1)
    path = data / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    boxes = [[8, 8, 20, 30], [8.4, 8.4, 40, 12], [30, 40, 20, 20]]  # the first two begin in one cell
    content["annotations"] = [
        {"id": i + 1, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for i, box in enumerate(boxes)
    ]
    path.write_text(json.dumps(content))
    _, results = evaluate_with_oracles(detector, load_coco(*find_split(data, "val")), ALL)
    found = sorted(tuple(round(value, 1) for value in result["bbox"]) for result in results)
    assert found == [(8.4, 8.4, 40, 12), (30, 40, 20, 20)]


def test_an_image_without_objects_has_no_boxes(detector, tmp_path):
    data = write_data(tmp_path / "data", train=1, val=2)
    path = data / "annotations/instances_val.json"
    content = json.loads(path.read_text())
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] == 1]
    path.write_text(json.dumps(content))
    _, results = evaluate_with_oracles(detector, load_coco(*find_split(data, "val")), ALL)
    assert {result["image_id"] for result in results} == {1}


@pytest.mark.parametrize("text", ["offsets", "heatmap", "heatmaps,boxes", ""])
def test_other_words_are_refused(text):
    with pytest.raises(InputError, match="oracle"):
        parse_parts(text)


def test_views_are_refused(detector, dataset):
    flipped = Detector(detector.model, detector.class_names, detector.preprocessing, flip=True)
    with pytest.raises(InputError, match="without tta"):
        evaluate_with_oracles(flipped, dataset, ALL)
