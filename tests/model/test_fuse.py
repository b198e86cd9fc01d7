"""The network made ready for testing says what the plain one says."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from cornernet.config import Architecture, HourglassConfig, SqueezeConfig
from cornernet.model.cornernet import CornerNet, channels_last
from cornernet.model.fuse import FusedConv, PackedConv, WinogradConv, fuse

NETWORKS = {
    "narrow": Architecture(
        HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 2, 1), feature_channels=8),
        corner_channels=6,
        branch_channels=8,
    ),
    "wide": Architecture(
        HourglassConfig(num_stacks=1, channels=(96, 100, 128), blocks=(1, 1, 1), feature_channels=96),
        corner_channels=96,
        branch_channels=96,
    ),
    "one-level": Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
        corner_channels=6,
        branch_channels=8,
    ),
    "squeeze": Architecture(
        SqueezeConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 1, 1), feature_channels=8),
        corner_channels=6,
        branch_channels=8,
        branch_kernel=1,
    ),
    "without pooling": Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
        corner_channels=8,
        branch_channels=8,
        corner_pooling=False,
    ),
}


def drawn(architecture: Architecture) -> CornerNet:
    """A network whose batch statistics are not those of a fresh one."""
    torch.manual_seed(0)
    network = channels_last(CornerNet(architecture, 3).eval())
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0, 0.2)
    return network


@torch.inference_mode()
def differences(network: CornerNet, other: CornerNet, images: torch.Tensor) -> list[float]:
    """Largest difference of each of the last stack's maps, as a part of the map's largest value."""
    pairs = zip(*(net.dense_maps(images, last_only=True)[-1] for net in (network, other)), strict=True)
    return [float((a - b).abs().max() / a.abs().max().clamp_min(1e-3)) for a, b in pairs]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(64, 64), (61, 97), (33, 8)])
def test_the_fused_network_gives_the_same_maps(name, size):
    network = drawn(NETWORKS[name])
    images = torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last)
    assert max(differences(network, fuse(copy.deepcopy(network)), images)) < 2e-5


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_is_near(name, dtype):
    network, images = drawn(NETWORKS[name]), torch.randn(1, 3, 63, 65)
    with torch.inference_mode():
        exact = network(images, last_only=True)[-1]
        rough = fuse(copy.deepcopy(network), dtype)(images, last_only=True)[-1]
        cells = torch.arange(5)[None]
        values = rough.head.values_at(rough.features, cells, cells)
    assert rough.features.tl.dtype == dtype
    assert rough.tl_heatmap.dtype == values.tl_offsets.dtype == torch.float32  # pairing is never in half precision
    assert float((exact.tl_heatmap - rough.tl_heatmap).abs().max()) < 0.2 * float(exact.tl_heatmap.std())


def test_a_network_elsewhere_than_on_the_cpu_is_fused_there():
    with torch.device("meta"):
        for architecture in NETWORKS.values():
            network = fuse(CornerNet(architecture, 3))
            output = network(torch.empty(1, 3, 64, 64), last_only=True)[-1]
            assert output.tl_heatmap.device.type == "meta"


def test_wide_convolutions_are_winograds():
    kinds = [type(module) for module in fuse(drawn(NETWORKS["wide"])).modules()]
    assert kinds.count(WinogradConv) > 10
    assert WinogradConv not in [type(module) for module in fuse(drawn(NETWORKS["narrow"])).modules()]


@pytest.mark.parametrize("shape", [(1, 5, 1, 1), (2, 3, 3, 5), (1, 16, 17, 18), (3, 8, 40, 7)])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("strip_bytes", [1, 12 * 2**20])
def test_winograd_is_a_convolution(shape, relu, strip_bytes, monkeypatch):
    monkeypatch.setattr("cornernet.model.fuse._STRIP_BYTES", strip_bytes)
    monkeypatch.setattr("cornernet.model.fuse._STRIP_ROWS", 3)
    torch.manual_seed(0)
    x, weight = torch.randn(shape, dtype=torch.float64), torch.randn(6, shape[1], 3, 3, dtype=torch.float64)
    weight /= (9 * shape[1]) ** 0.5
    bias, add = torch.randn(6, dtype=torch.float64), torch.randn(shape[0], 6, *shape[2:], dtype=torch.float64)
    convolve = WinogradConv(weight.float(), bias.float(), relu)
    expected = F.conv2d(x, weight, bias, padding=1)
    for sum_of, found in (
        (expected, convolve(x.float())),
        (expected + add, convolve(x.float(), add.float())),
        (expected, convolve(x.float().contiguous(memory_format=torch.channels_last))),
    ):
        wanted = sum_of.relu() if relu else sum_of
        np.testing.assert_allclose(found.double(), wanted, atol=2e-5)


@pytest.mark.parametrize("limit", [None, 6.0])
def test_a_packed_convolution_clips_after_the_sum(limit):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(8, 8, 3, padding=1)
    x, add = (torch.randn(1, 8, 9, 11).mul(6).contiguous(memory_format=torch.channels_last) for _ in range(2))
    weight, bias = conv.weight.detach(), conv.bias.detach()
    with torch.inference_mode():
        plain = FusedConv(conv, weight, bias, True, limit)(x, add)
        packed = PackedConv(conv, weight, bias, True, 16, limit)(x, add)
    assert (plain == 6).any() == (limit is not None)
    torch.testing.assert_close(packed, plain)
