"""What every detector can do: one suite over weights, tiles and exported files."""

import numpy as np
import pytest
import torch

from cornernet.config import Architecture, Decoding, HourglassConfig, Preprocessing
from cornernet.errors import InputError
from cornernet.export.graph import BoxesGraph
from cornernet.inference.api import BaseDetector
from cornernet.inference.detector import Detector
from cornernet.inference.exported import ExportedDetector
from cornernet.inference.metadata import ExportMetadata
from cornernet.media.scaling import shrink
from cornernet.model.cornernet import CornerNet
from cornernet.structures import Detections, Explanation
from matching import assert_same

NAMES, PREPROCESSING = ("a", "b", "c"), Preprocessing(pad_mask=31)
SIZES = [(75, 101), (75, 101), (90, 97), (33, 40), (75, 101)]


@pytest.fixture(scope="module")
def model():
    """Drawn weights, whose scores are spread and whose corners pair."""
    torch.manual_seed(3)
    backbone = HourglassConfig(num_stacks=1, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8)
    architecture = Architecture(backbone, corner_channels=6, branch_channels=8)
    network = CornerNet(architecture, len(NAMES)).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.normal_().mul_((2 / parameter[0].numel()) ** 0.5)
    head = network.heads[-1]
    maps = network.dense_maps(torch.randn(1, 3, 127, 127))[-1]
    branches = head.tl_heatmap, head.br_heatmap, head.pairing.tl, head.pairing.br, head.tl_offset, head.br_offset
    for branch, values in zip(branches, maps, strict=True):
        branch.out.weight /= values.std()
        branch.out.bias.sub_(values.mean()).div_(values.std())
    return network


@pytest.fixture(params=["weights", "flip", "scales", "tiles", "exported"])
def make(request, model):
    """A function from ``max_size`` to a detector."""
    if request.param == "exported":
        facts = ExportMetadata(NAMES, 0.3, PREPROCESSING, Decoding(), "fp32", "detections", 1000, 1.0)
        graph = BoxesGraph(model, PREPROCESSING, facts.decoding)

        def run(images: np.ndarray) -> list[np.ndarray]:
            with torch.inference_mode():
                return [output.numpy() for output in graph(torch.from_numpy(images))]

        return lambda max_size=None: ExportedDetector(facts, run, max_size=max_size)
    options = {"flip": {"flip": True}, "scales": {"scales": (0.6, 1.0)}, "tiles": {"tile": 64, "tile_overlap": 40}}
    return lambda max_size=None: Detector(
        model, NAMES, PREPROCESSING, max_size=max_size, **options.get(request.param, {})
    )


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


def test_its_settings_are_there(make):
    detector: BaseDetector = make()
    assert isinstance(detector, BaseDetector)
    assert detector.class_names == NAMES
    assert detector.threshold == 0.3
    assert detector.preprocessing == PREPROCESSING
    assert detector.decoding.num_boxes == 100
    assert detector.max_size is None


def test_calls_and_streams_agree(make):
    detector, images = make(), pictures()
    alone = [detector(image) for image in images]
    assert all(isinstance(found, Detections) for found in alone)
    assert [found.image_size for found in alone] == SIZES
    assert detector([]) == list(detector.stream([])) == []
    for found, expected in zip(detector(images), alone, strict=True):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
    for found, expected in zip(detector.stream(iter(images), batch_size=2), alone, strict=True):
        assert_same(found, expected)


def test_images_that_agree_in_their_key_can_share_a_pass(make):
    detector, images = make(), pictures()
    assert detector.pass_key(images[0]) == detector.pass_key(images[1])
    assert detector.pass_key(images[0]) != detector.pass_key(images[3])
    assert len({detector.pass_key(image) for image in images}) < len(images)  # keys can be gathered


def test_the_lowest_score_is_an_argument(make):
    detector, image = make(), pictures()[0]
    everything = detector(image)
    lowest = float(np.median(everything.scores))
    expected = everything.above(lowest)
    assert 0 < len(expected) < len(everything)
    streamed = next(detector.stream([image], min_score=lowest))
    for found in (detector(image, min_score=lowest), detector([image], min_score=lowest)[0], streamed):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(detector(image).scores, everything.scores)  # nothing stays behind


def test_large_images_are_scaled_down_and_their_boxes_back(make):
    detector, image = make(50), np.random.default_rng(1).integers(0, 256, (80, 100, 3), np.uint8)
    found, small = detector(image), make()(shrink(image, 50)[0])
    assert detector.max_size == 50
    assert found.image_size == (80, 100)
    np.testing.assert_array_equal(found.scores, small.scores)
    np.testing.assert_allclose(found.boxes, small.boxes * 2, atol=1e-3)
    with pytest.raises(InputError, match="size"):
        make(0)(image)


def test_it_explains_or_says_that_it_cannot(make):
    detector, image = make(), pictures()[0]
    if detector.can_explain:
        seen = detector.explain(image)
        assert isinstance(seen, Explanation)
        np.testing.assert_array_equal(seen.detections.boxes, detector(image).boxes)
    else:
        with pytest.raises(InputError):
            detector.explain(image)
