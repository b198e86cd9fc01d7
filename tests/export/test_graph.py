"""What exporters trace, run by PyTorch itself: it finds what ``Detector`` finds, whatever the settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cornernet.config import Architecture, Decoding, HourglassConfig, Preprocessing, SizeConfig, SqueezeConfig
from cornernet.export.graph import BoxesGraph, MapsGraph
from cornernet.inference.detector import Detector
from cornernet.model.cornernet import CornerNet
from cornernet.structures import Detections
from matching import assert_same

HOURGLASS = Architecture(
    HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
    corner_channels=6,
    branch_channels=8,
)
SQUEEZE = Architecture(
    SqueezeConfig(num_stacks=1, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
    corner_channels=6,
    branch_channels=8,
    branch_kernel=1,
)
AUTHORS = Preprocessing("BGR", (100.0, 110.0, 120.0), (40.0, 50.0, 60.0), "black", 31)


def drawn(architecture: Architecture) -> CornerNet:
    """A network of drawn weights whose scores are spread and whose corners pair."""
    torch.manual_seed(3)
    network = CornerNet(architecture, 3).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.normal_().mul_((2 / parameter[0].numel()) ** 0.5)
    head = network.heads[-1]
    maps = network.dense_maps(torch.randn(1, 3, 127, 127), last_only=True)[-1]
    branches = head.tl_heatmap, head.br_heatmap, head.pairing.tl, head.pairing.br, head.tl_offset, head.br_offset
    for branch, values in zip(branches, maps, strict=True):
        branch.out.weight /= values.std()
        branch.out.bias.sub_(values.mean()).div_(values.std())
    return network


@pytest.mark.parametrize(
    ("architecture", "preprocessing", "decoding"),
    [
        pytest.param(HOURGLASS, Preprocessing(pad_mask=127), Decoding(), id="paper"),
        pytest.param(HOURGLASS, AUTHORS, Decoding(clip=True, plus_one=True), id="authors"),
        pytest.param(replace(HOURGLASS, pool_window=5), Preprocessing(pad_multiple=32), Decoding(), id="modern"),
        pytest.param(
            replace(HOURGLASS, pairing=SizeConfig()),
            Preprocessing(pad_multiple=32),
            Decoding(max_distance=0.6),
            id="size",
        ),
        pytest.param(SQUEEZE, Preprocessing(pad_mask=0), Decoding(num_corners=20, num_candidates=50), id="few"),
        pytest.param(HOURGLASS, Preprocessing(pad_mask=127), Decoding(num_corners=160, max_distance=2.0), id="many"),
    ],
)
def test_the_graph_finds_what_the_detector_finds(architecture, preprocessing, decoding):
    network = drawn(architecture)
    detector = Detector(network, ("a", "b", "c"), preprocessing, decoding=decoding)
    graph = BoxesGraph(network, preprocessing, decoding)
    rng, counts = np.random.default_rng(0), []
    for height, width, batch in ((1, 1, 1), (50, 37, 2), (130, 61, 1)):
        images = rng.integers(0, 256, (batch, height, width, 3), np.uint8)
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
        with torch.inference_mode():
            outputs = [output.numpy() for output in graph(pixels)]
        for image, boxes, scores, labels, count in zip(images, *outputs, strict=True):
            found = Detections(boxes[:count], scores[:count], labels[:count], detector.class_names, (height, width))
            assert_same(found, detector(image))
            assert not boxes[count:].any()
            assert not scores[count:].any()
            assert (labels[count:] == -1).all()
            counts.append(count)
    assert max(counts) > (100 if decoding.num_corners > 100 else 10)


def test_raw_maps_are_those_of_the_last_stack():
    network = drawn(HOURGLASS)
    graph = MapsGraph(network, Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3, pad_mask=15))
    images = torch.randint(0, 256, (2, 3, 31, 47), dtype=torch.uint8)  # as large as their padding
    for found, expected in zip(graph(images), network.dense_maps(images.float())[-1], strict=True):
        torch.testing.assert_close(found, expected)
