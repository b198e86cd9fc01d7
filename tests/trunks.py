"""Trunks of transformers, so small that a step takes a moment; files that use them skip where it is not installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cornernet.config import Architecture, HuggingFaceConfig, SizeConfig
from cornernet.model.trunks import choose_maps, plain_trunk

transformers = pytest.importorskip("transformers", reason="needs transformers: pip install 'cornernet[backbones]'")

CONFIGS = {
    "resnet": transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic"
    ),
    "convnextv2": transformers.ConvNextV2Config(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1]),
    "hgnet_v2": transformers.HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 8, 8, 16],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[8, 8, 16, 16],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[2, 2, 2, 2],
        hidden_sizes=[8, 8, 16, 16],
    ),
    "swin": transformers.SwinConfig(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 1, 2, 2], window_size=4),
    "dinov2": transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=56, patch_size=14
    ),
    "dinov3_vit": transformers.DINOv3ViTConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2, num_register_tokens=1
    ),
}


def settings(name: str, **changes: object) -> HuggingFaceConfig:
    """A trunk's settings, with a path of 8 channels."""
    trunk, strides = choose_maps(plain_trunk(CONFIGS[name]), 4)
    return HuggingFaceConfig(trunk, strides, **{"channels": 8, **changes})


def small_network(name: str) -> Architecture:
    return Architecture(settings(name), SizeConfig(), corner_channels=8, branch_channels=8)


def write_model(folder: Path, config: object, model: str, card: str = "", **preprocessor: object) -> Path:
    """A folder as the hub has it: the class ``model`` with random weights, a model card, and a preprocessor."""
    getattr(transformers, model)(config).save_pretrained(folder)
    if card:
        (folder / "README.md").write_text(f"---\n{card}\n---\n# A model\n")
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder
