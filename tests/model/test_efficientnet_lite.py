"""EfficientNet-Lite against its definition, written down a second time, with weights by a formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from cornernet.config import Architecture, EfficientNetLiteConfig
from cornernet.model.backbones.efficientnet_lite import EfficientNetLite, scaled_stages
from cornernet.model.cornernet import CornerNet
from cornernet.model.fuse import fuse

# https://github.com/tensorflow/tpu: blocks, kernel, stride, expansion, output channels of lite0, lite1 and lite2
DEFINITION = {
    "lite0": "1 3 1 1 16, 2 3 2 6 24, 2 5 2 6 40, 3 3 2 6 80, 3 5 1 6 112, 4 5 2 6 192, 1 3 1 6 320",
    "lite1": "1 3 1 1 16, 3 3 2 6 24, 3 5 2 6 40, 4 3 2 6 80, 4 5 1 6 112, 5 5 2 6 192, 1 3 1 6 320",
    "lite2": "1 3 1 1 16, 3 3 2 6 24, 3 5 2 6 48, 4 3 2 6 88, 4 5 1 6 120, 5 5 2 6 208, 1 3 1 6 352",
}


def published_classifier(variant: str) -> dict[str, Tensor]:
    """Tensors under the names of the package ``efficientnet-lite-pytorch``, by a formula."""
    shapes: dict[str, tuple[int, ...]] = {"_conv_stem.weight": (32, 3, 3, 3)}
    norms = {"_bn0": 32}
    inputs, block = 32, 0
    for stage in DEFINITION[variant].split(", "):
        count, kernel, _, expansion, outputs = map(int, stage.split())
        for _ in range(count):
            middle, name = inputs * expansion, f"_blocks.{block}."
            if expansion > 1:
                shapes[name + "_expand_conv.weight"] = (middle, inputs, 1, 1)
                norms[name + "_bn0"] = middle
            shapes[name + "_depthwise_conv.weight"] = (middle, 1, kernel, kernel)
            shapes[name + "_project_conv.weight"] = (outputs, middle, 1, 1)
            norms |= {name + "_bn1": middle, name + "_bn2": outputs}
            inputs, block = outputs, block + 1
    shapes |= {"_conv_head.weight": (1280, inputs, 1, 1), "_fc.weight": (1000, 1280), "_fc.bias": (1000,)}
    tensors = {}
    for k, (name, shape) in enumerate(shapes.items()):
        numbers = torch.arange(math.prod(shape), dtype=torch.float64)
        tensors[name] = (torch.sin(numbers * 1.7 + k) * (2 / math.prod(shape[1:])) ** 0.5).reshape(shape).float()
    for k, (name, channels) in enumerate(norms.items()):
        phase = torch.arange(channels) + k
        tensors |= {f"{name}.weight": 1 + 0.3 * torch.sin(phase), f"{name}.bias": 0.3 * torch.cos(phase)}
        tensors |= {f"{name}.running_mean": 0.2 * torch.sin(2 * phase), f"{name}.running_var": 1 + 0.5 * phase.cos()}
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(1)
    return tensors


def plain_maps(variant: str, tensors: dict[str, Tensor], x: Tensor) -> dict[int, Tensor]:
    """The last map of each stride, layer by layer, with TensorFlow's padding from its formula."""

    def layer(x: Tensor, conv: str, bn: str, stride: int = 1, relu: bool = True) -> Tensor:
        weight = tensors[f"{conv}.weight"]
        kernel, pads = weight.shape[-1], []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        y = F.conv2d(F.pad(x, pads), weight, stride=stride, groups=x.shape[1] if weight.shape[1] == 1 else 1)
        names = ("running_mean", "running_var", "weight", "bias")
        y = F.batch_norm(y, *(tensors[f"{bn}.{name}"] for name in names), eps=1e-3)
        return y.clamp(0, 6) if relu else y

    x = layer(x, "_conv_stem", "_bn0", 2)
    maps, total, block = {}, 2, 0
    for stage in DEFINITION[variant].split(", "):
        count, _, stride, expansion, _ = map(int, stage.split())
        total *= stride
        for step in [stride] + [1] * (count - 1):
            name, y = f"_blocks.{block}.", x
            if expansion > 1:
                y = layer(y, name + "_expand_conv", name + "_bn0")
            y = layer(y, name + "_depthwise_conv", name + "_bn1", step)
            y = layer(y, name + "_project_conv", name + "_bn2", relu=False)
            x = x + y if y.shape == x.shape else y
            block += 1
        maps[total] = x
    return maps


@pytest.mark.parametrize("variant", DEFINITION)
@pytest.mark.parametrize("size", [(64, 96), (75, 61)])
def test_the_trunk_computes_what_its_definition_says(variant, size):
    tensors = published_classifier(variant)
    backbone = EfficientNetLite(EfficientNetLiteConfig(variant=variant)).eval()
    missing, surplus = backbone.load_state_dict(backbone.renamed(tensors), strict=False)
    assert not surplus
    assert all(key.startswith("neck.") for key in missing)
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    expected = plain_maps(variant, tensors, images)
    with torch.no_grad():
        found = backbone.trunk(images)
    for stride, map_ in zip((4, 8, 16, 32), found, strict=True):
        assert map_.shape[-2:] == (-(-size[0] // stride), -(-size[1] // stride))
        torch.testing.assert_close(map_, expected[stride], rtol=1e-4, atol=1e-4)
    with torch.enable_grad():  # folded
        torch.testing.assert_close(backbone.trunk(images)[-1], found[-1], rtol=1e-4, atol=1e-4)


def test_stages_are_those_of_the_definition():
    for variant, text in DEFINITION.items():
        found = (f"{s.blocks} {s.kernel} {s.stride} {s.expansion} {s.channels}" for s in scaled_stages(variant))
        assert ", ".join(found) == text


@pytest.mark.parametrize("stride", [4, 8])
def test_the_output_has_its_stride_at_any_size(stride):
    backbone = EfficientNetLite(EfficientNetLiteConfig(output_stride=stride, channels=8)).eval()
    with torch.no_grad():
        (found,) = backbone(torch.randn(1, 3, 75, 110))
    assert found.shape == (1, 8, -(-75 // stride), -(-110 // stride))


def test_gradients_stop_at_early_layers_and_skip_depthwise_filters():
    network = CornerNet(Architecture(EfficientNetLiteConfig(channels=8), corner_channels=8, branch_channels=8), 1)
    backbone = network.backbone
    for part in backbone.early():
        part.requires_grad_(False)
    backbone.pretrained().eval()
    backbone(torch.randn(2, 3, 64, 64))[0].sum().backward()
    learns = {name for name, weight in backbone.named_parameters() if weight.grad is not None}
    assert not any("stem" in name or "depthwise" in name or ".stages.1." in name for name in learns)
    assert {"trunk.stages.2.0.expand.conv.weight", "trunk.stages.6.0.project.bn.weight"} <= learns


@pytest.mark.parametrize("size", [(96, 64), (75, 61)])
@pytest.mark.parametrize("strip_bytes", [12 * 2**20, 2**15])
def test_fused_blocks_give_the_same_maps_in_any_strips(size, strip_bytes, monkeypatch):
    monkeypatch.setattr("cornernet.model.backbones.efficientnet_lite._STRIP_ROWS", 2)
    monkeypatch.setattr("cornernet.model.backbones.efficientnet_lite._STRIP_BYTES", strip_bytes)
    torch.manual_seed(0)
    architecture = Architecture(EfficientNetLiteConfig(channels=8), corner_channels=8, branch_channels=8)
    network = CornerNet(architecture, 1).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.3, 2)
    images = torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network.backbone.trunk(images)
        found = fuse(network).backbone.trunk(images)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)
