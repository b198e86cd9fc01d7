"""OpenMMLab's keys onto ours, one to one."""

import pytest
import torch

from conftest import load_json
from cornernet.errors import InputError
from cornernet.network.cornernet import CornerNet
from cornernet.structures import Architecture
from cornernet.weights.openmmlab import convert_state_dict, infer_architecture, rename_key


@pytest.fixture
def foreign(shared):
    """The state dict of HourglassNet-104 with 80 classes under OpenMMLab's keys, without its numbers."""
    shapes = load_json(shared("reference/keys_mmdet.json"))
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_key_has_its_place(foreign, prefix):
    with torch.device("meta"):
        expected = CornerNet(Architecture(), 80).state_dict()
    state = convert_state_dict({prefix + key: value for key, value in foreign.items()})
    assert state.keys() == expected.keys()
    assert len(state) == len(foreign)
    assert {key: value.shape for key, value in state.items()} == {key: v.shape for key, v in expected.items()}
    assert infer_architecture(state) == (Architecture(), 80)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("backbone.stem.1.0.downsample.0.weight", "backbone.stem.1.shortcut.conv.weight"),
        (
            "backbone.hourglass_modules.1.low2.up1.0.conv1.weight",
            "backbone.hourglasses.1.inner.side.0.conv1.conv.weight",
        ),
        ("backbone.conv1x1s.0.conv.weight", "backbone.from_input.0.conv.weight"),
        ("backbone.remap_convs.0.bn.bias", "backbone.from_feature.0.bn.bias"),
        ("bbox_head.br_pool.1.direction1_conv.conv.weight", "heads.1.br.vertical.conv.weight"),
        ("bbox_head.tl_pool.0.direction2_conv.bn.bias", "heads.0.tl.horizontal.bn.bias"),
        ("bbox_head.tl_emb.0.1.conv.bias", "heads.0.pairing.tl.out.bias"),
        ("bbox_head.br_off.1.0.conv.weight", "heads.1.br_offset.conv.weight"),
    ],
)
def test_names_that_are_easy_to_confuse(theirs, ours):
    assert rename_key(theirs) == ours
    assert rename_key(ours) == ours


@pytest.mark.parametrize(
    "gone", ["bbox_head.tl_heat.0.1.conv.weight", "backbone.out_convs.0.conv.weight", "backbone.hourglass_modules.0."]
)
def test_a_missing_key_is_named(foreign, gone):
    state = convert_state_dict({key: value for key, value in foreign.items() if not key.startswith(gone)})
    with pytest.raises(InputError, match=r"no .*(heatmap|to_feature|hourglasses)") as caught:
        infer_architecture(state)
    assert "\n" not in str(caught.value)


def test_two_networks_in_one_file_are_refused(foreign):
    with pytest.raises(InputError, match="two"):
        convert_state_dict(foreign | {f"module.{key}": value for key, value in foreign.items()})
