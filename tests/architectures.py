"""Small networks: every backbone with every pairing rule, toys of the tests' own among them."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import product

import numpy as np
import torch

import toys
from cornernet.config import (
    Architecture,
    Decoding,
    EfficientNetLiteConfig,
    EmbeddingConfig,
    HourglassConfig,
    HuggingFaceConfig,
    Preprocessing,
    SizeConfig,
    SqueezeConfig,
)
from cornernet.model.cornernet import CornerNet, channels_last
from cornernet.weights.store import Weights

RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 16],
    "depths": [1, 1],
    "layer_type": "basic",
    "out_features": ["stage1", "stage2"],
}
BACKBONES = (
    HourglassConfig(num_stacks=2, channels=(8, 8, 12), blocks=(1, 2, 1), feature_channels=8),
    SqueezeConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
    EfficientNetLiteConfig(output_stride=8, channels=8),
    *([HuggingFaceConfig(RESNET, (4, 8), channels=8)] if find_spec("transformers") else []),
    toys.ToyConfig(),
)
PAIRINGS = EmbeddingConfig(), SizeConfig(), toys.DiagonalConfig()
ARCHITECTURES = {
    f"{backbone.name}-{pairing.name}": Architecture(backbone, pairing, corner_channels=6, branch_channels=8)
    for backbone, pairing in product(BACKBONES, PAIRINGS)
}
NAMES = ("ape", "bee", "cat")
DECODING = Decoding(num_corners=150, max_distance=1.0)


def drawn(architecture: Architecture) -> CornerNet:
    """A network with batch statistics as a training leaves them, and heatmaps that see something."""
    torch.manual_seed(0)
    network = channels_last(CornerNet(architecture, len(NAMES)).eval())
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.3, 2)
    head = network.heads[-1]
    for layer in head.class_layers():
        torch.nn.init.normal_(layer.weight)
    for branch in (head.pairing.tl, head.pairing.br):  # all corners predict about the same, that of a box of 40 pixels
        torch.nn.init.normal_(branch.out.weight, std=0.01)
        branch.out.bias.data = head.pairing.target(torch.tensor([[[0.0, 0.0, 40.0, 40.0]]]))[0, 0]
    return network


def weights_of(architecture: Architecture) -> Weights:
    multiple = architecture.backbone.size_multiple
    preprocessing = Preprocessing(pad_multiple=multiple)
    return Weights(drawn(architecture).state_dict(), architecture, NAMES, preprocessing, DECODING, threshold=0.1)


def picture(height: int = 90, width: int = 120) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
