"""Trunks of transformers: maps of exact strides, built from plain settings alone, and trained."""

from __future__ import annotations

import copy
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from architectures import NAMES, picture
from cornernet.config import HuggingFaceConfig, LossSettings, Optimization, Recipe
from cornernet.errors import InputError
from cornernet.inference.detector import load_detector
from cornernet.model.cornernet import CornerNet
from cornernet.model.criterion import batch_losses
from cornernet.model.fuse import fuse
from cornernet.model.trunks import build_trunk, choose_maps, plain_trunk, trunk_config
from cornernet.recipes.load import load_recipe, recipe_yaml
from cornernet.training.module import TrainingModule
from cornernet.weights.store import Weights, load_weights, save_weights
from trunks import CONFIGS, settings, small_network, transformers

every = pytest.mark.parametrize("name", CONFIGS)


@every
@pytest.mark.parametrize("output_stride", [4, 8])
def test_maps_have_the_stride_for_any_size_and_the_images_place(name, output_stride):
    config = settings(name, output_stride=output_stride)
    patch = {14: 28 if output_stride == 4 else 56, 16: 16}
    assert config.size_multiple == patch.get(config.strides[0], 32)
    torch.manual_seed(0)
    backbone = config.make().eval()
    with torch.inference_mode():
        for height, width in ((1, 1), (33, 47), (96, 40), (112, 112)):
            (found,) = backbone(torch.randn(2, 3, height, width))
            assert found.shape == (2, 8, -(-height // output_stride), -(-width // output_stride))
        images = torch.zeros(1, 3, 224, 224)
        images[..., 112:140, 168:196] = 3.0
        (seen,), (empty,) = backbone(images), backbone(torch.zeros_like(images))
    change = (seen - empty).abs().sum(dim=(0, 1))
    rows, columns = (torch.arange(len(change)) + 0.5 for _ in range(2))
    peak = change > 0.5 * change.max()
    middle = [float((peak.sum(dim=d) * at).sum() / peak.sum()) * output_stride for d, at in ((1, rows), (0, columns))]
    assert np.allclose(middle, (126, 182), atol=32), middle


@every
def test_a_step_with_frozen_statistics_teaches_all_that_learns(name):
    torch.manual_seed(0)
    network = CornerNet(small_network(name), len(NAMES)).train()
    optimization = Optimization("muon", lr=0.01, base_batch_size=2, warmup_iterations=0, backbone_lr=0.1)
    recipe = Recipe(
        network.architecture,
        loss=LossSettings(supervision_radius=1),
        optimization=optimization,
        batch_size=2,
        weights="hf:any/trunk",
        freeze="statistics",
    )
    step = TrainingModule(network, recipe, 1).configure_optimizers()["optimizer"]
    before = copy.deepcopy(network.backbone.pretrained().state_dict())
    images, boxes = torch.randn(2, 3, 96, 96), torch.tensor([[[4.0, 6, 40, 50], [30, 20, 90, 60]]]).expand(2, 2, 4)
    losses = []
    for _ in range(4):
        found = batch_losses(network, images, boxes, torch.tensor([[0, 2], [1, 0]]), recipe.loss)
        losses.append(sum(found.values()).item())
        step.zero_grad()
        sum(found.values()).backward()
        assert all((p.grad is not None) == p.requires_grad for p in network.parameters())
        step.step()
    assert losses[-1] < losses[0]
    after, learns = network.backbone.pretrained().state_dict(), dict(network.backbone.pretrained().named_parameters())
    assert {key for key in after if not torch.equal(after[key], before[key])} <= {*learns}
    assert sum(not torch.equal(after[key], before[key]) for key in learns) > len(learns) // 2
    assert {round(group["lr"], 9) for group in step.param_groups} == {0.01, 0.001}
    assert [part for part in network.backbone.early() if next(part.parameters(), None) is not None]


@every
def test_the_weights_file_needs_no_hub_and_the_fused_network_is_the_same(name, tmp_path, monkeypatch):
    torch.manual_seed(0)
    architecture = small_network(name)
    network = CornerNet(architecture, len(NAMES)).eval()
    path = save_weights(tmp_path / "any.safetensors", Weights(network.state_dict(), architecture, NAMES))

    def refuse(*_, **__):
        raise AssertionError("asks the network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    again = load_weights(path)
    assert again.architecture == architecture
    images = torch.randn(1, 3, 61, 97)
    with torch.inference_mode():
        plain = network.dense_maps(images)[-1]
        for other in (again.build(), fuse(again.build())):
            for one, same in zip(plain, other.dense_maps(images)[-1], strict=True):
                assert float((one - same).abs().max()) < 2e-5 * max(1.0, float(one.abs().max()))
    assert load_detector(path)(picture()).boxes.shape[1] == 4


@every
def test_settings_go_through_a_recipe(name, tmp_path):
    recipe = Recipe(small_network(name))
    (tmp_path / "mine.yaml").write_text(recipe_yaml(recipe))
    assert load_recipe(str(tmp_path / "mine.yaml")) == recipe
    coarse = load_recipe(str(tmp_path / "mine.yaml"), {"model.backbone.output_stride": "8"})
    assert coarse.model.backbone.stride == 8


def test_a_pyramid_gives_the_last_map_of_each_stride_and_a_vision_transformer_four_depths():
    trunk, strides = choose_maps(plain_trunk(CONFIGS["swin"]), 4)
    assert (trunk["out_features"], strides) == (["stage1", "stage2", "stage3", "stage4"], (4, 8, 16, 32))
    deep = replace_config(CONFIGS["dinov2"], num_hidden_layers=6)
    trunk, strides = choose_maps(plain_trunk(deep), 4)
    assert (trunk["out_features"], strides) == (["stage1", "stage3", "stage4", "stage6"], (14,) * 4)


def replace_config(config, **changes):
    return type(config)(**{**config.to_diff_dict(), "out_features": None, "out_indices": None, **changes})


def test_the_finest_map_of_a_coarser_stride_is_not_computed_for_nothing():
    fine, coarse = (settings("convnextv2", output_stride=stride).make() for stride in (4, 8))
    assert len(fine.neck.lateral) == 4
    assert len(coarse.neck.lateral) == 3
    assert coarse.trunk.out_features == ["stage2", "stage3", "stage4"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auto_map": {"AutoBackbone": "code.Evil"}}, "auto_map is no field"),
        ({"attn_implementation": "evil/kernel"}, "attn_implementation is no field"),
        ({"quantization_config": {}}, "quantization_config is no field"),
        ({"model_type": "timm_backbone"}, "no backbone for models of the type 'timm_backbone'"),
        ({"model_type": "bert"}, "no backbone for models of the type 'bert'; choose a model of the type beit"),
        ({"model_type": ["resnet"]}, "no backbone for models"),
        ({"hidden_act": "no_such"}, "transformers cannot build it"),
        ({"depths": "many"}, "transformers cannot build it"),
        ({"out_features": ["stage9"]}, "transformers cannot build it"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_configuration_from_a_file_builds_only_what_transformers_has(changes, message):
    with pytest.raises(InputError, match=message) as raised:
        build_trunk({**settings("resnet").trunk, **changes})
    assert "\n" not in str(raised.value)


def test_what_travels_is_the_types_own_and_complete():
    plain = plain_trunk(transformers.ResNetConfig(num_labels=7, architectures=["Evil"], dtype="float16"))
    assert plain.keys() & {"id2label", "architectures", "dtype", "transformers_version", "return_dict"} == set()
    assert plain["model_type"] == "resnet"
    assert plain["hidden_sizes"] == [256, 512, 1024, 2048]  # a default, which another version may change
    assert plain_trunk(trunk_config(plain)) == plain


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (transformers.Dinov2Config(hidden_size=16, num_attention_heads=2, patch_size=37), "multiples of 148 pixels"),
        (
            transformers.VitDetConfig(
                hidden_size=24, patch_size=[16, 8], use_absolute_position_embeddings=False, num_hidden_layers=2
            ),
            "no whole stride, equal down and across",
        ),
        (transformers.HieraConfig(embed_dim=16), r"cannot take \d+x\d+ pixels"),
        (transformers.ResNetConfig(num_channels=1, hidden_sizes=[8] * 4), "cannot take 224x224 pixels"),
    ],
    ids=["multiple", "oblong", "one size", "grey"],
)
def test_trunks_without_usable_maps_are_refused_in_a_line(config, message):
    with pytest.raises(InputError, match=message) as raised:
        choose_maps(plain_trunk(config), 4)
    assert "\n" not in str(raised.value)


def test_a_trunk_without_feature_maps_is_refused(monkeypatch):
    backbone = transformers.PvtV2Backbone
    plain = backbone.forward

    def forward(self, *arguments, **options):
        output = plain(self, *arguments, **options)
        output["feature_maps"] = ()
        return output

    monkeypatch.setattr(backbone, "forward", forward)
    config = transformers.PvtV2Config(hidden_sizes=[8] * 4, num_attention_heads=[1] * 4, depths=[1] * 4)
    with pytest.raises(InputError, match="gives no feature maps"):
        choose_maps(plain_trunk(config), 4)


def test_settings_that_contradict_the_trunk_are_refused():
    config = settings("resnet")
    with pytest.raises(InputError, match="strides 4 8 16 32, not 4 8 16 64"):
        replace(config, strides=(4, 8, 16, 64)).make()
    with pytest.raises(ValueError, match="out_features with a stride for each"):
        HuggingFaceConfig()
    with pytest.raises(ValueError, match="the smallest stride first"):
        replace(config, strides=(32, 16, 8, 4))


def test_without_transformers_one_line_says_what_to_install(tmp_path, monkeypatch):
    architecture = small_network("resnet")
    state = CornerNet(architecture, len(NAMES)).state_dict()
    path = save_weights(tmp_path / "any.safetensors", Weights(state, architecture, NAMES))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'cornernet\[backbones\]'") as raised:
        load_detector(path)
    assert "\n" not in str(raised.value)


def test_no_telemetry_and_no_conversion_service():
    program = (
        "from cornernet.model.trunks import import_transformers; import os; import_transformers();"
        "from huggingface_hub import constants; from transformers.utils import hub;"
        "print(constants.HF_HUB_DISABLE_TELEMETRY, os.environ['DISABLE_SAFETENSORS_CONVERSION'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "1"]
