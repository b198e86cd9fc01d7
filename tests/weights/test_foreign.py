"""Checkpoints of OpenMMLab and of the authors: every key placed, nothing run, every fault named."""

import os
import pickle
import re
import sys
import types

import numpy as np
import pytest
import torch

from conftest import SHARED, load_json
from cornernet import load
from cornernet.config import Architecture, Decoding, Preprocessing, SqueezeConfig
from cornernet.errors import InputError
from cornernet.model.cornernet import CornerNet
from cornernet.weights import authors, openmmlab
from cornernet.weights.coco_classes import COCO_CLASSES
from cornernet.weights.foreign import convert_checkpoint, load_foreign, read_checkpoint
from cornernet.weights.store import load_weights, save_weights

SQUEEZE = Architecture(
    SqueezeConfig(num_stacks=2, channels=(256, 256, 384, 384, 512), blocks=(2, 2, 2, 2, 4)), branch_kernel=1
)
DIALECTS = {
    "mmdet": (Architecture(), Preprocessing(), Decoding()),
    "CornerNet": (Architecture(), authors.PREPROCESSING, Decoding(clip=True, plus_one=True)),
    "CornerNet_2018": (Architecture(), authors.PREPROCESSING, Decoding(clip=True, plus_one=True)),
    "CornerNet_Squeeze": (SQUEEZE, authors.PREPROCESSING, Decoding(20, 100, clip=True, plus_one=True)),
}


def keys_of(name, shared, prefix=""):
    """A state dict of another program's spelling, without its numbers."""
    shapes = load_json(shared(f"reference/keys_{name}.json"))
    return {prefix + key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


@pytest.fixture
def tiny(shared):
    """A small checkpoint as OpenMMLab released them: the dictionary."""
    return read_checkpoint(shared("reference/tiny_0.pth"))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("name", DIALECTS)
def test_every_key_has_its_place_and_brings_its_preprocessing(name, prefix, shared):
    theirs = keys_of(name, shared, prefix)
    weights = convert_checkpoint(theirs)
    with torch.device("meta"):
        expected = CornerNet(weights.architecture, 80).state_dict()
    assert len(weights.state) == len(theirs)
    assert {k: v.shape for k, v in weights.state.items()} == {k: v.shape for k, v in expected.items()}
    assert (weights.architecture, weights.preprocessing, weights.decoding) == DIALECTS[name]
    assert weights.class_names == COCO_CLASSES
    assert len(COCO_CLASSES) == 80


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
    assert openmmlab.RENAMING.key(theirs) == ours
    assert openmmlab.RENAMING.key(ours) == ours


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("gone", ["heats?.0.1.*weight", "p1_conv1.conv|direction1_conv.conv", r"low1\.1\."])
def test_missing_keys_are_listed(name, gone, shared):
    theirs = {key: value for key, value in keys_of(name, shared).items() if not re.search(gone, key)}
    with pytest.raises(InputError, match=r"no '|missing") as caught:
        convert_checkpoint(theirs)
    assert "\n" not in str(caught.value)


def test_surplus_keys_are_listed(shared):
    theirs = keys_of("mmdet", shared) | {"bbox_head.extra.weight": torch.zeros(3)}
    with pytest.raises(InputError, match=r"1 unexpected: bbox_head\.extra\.weight"):
        convert_checkpoint(theirs)


def test_two_networks_in_one_file_are_refused(shared):
    with pytest.raises(InputError, match="two"):
        convert_checkpoint(keys_of("mmdet", shared) | keys_of("mmdet", shared, "module."))


def test_batch_counters_may_be_absent(shared):
    theirs = keys_of("CornerNet_2018", shared)
    old = {key: value for key, value in theirs.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(theirs)
    assert convert_checkpoint(old).state.keys() == convert_checkpoint(theirs).state.keys()


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["backbone.layer1.0.conv1.weight", "rpn_head.rpn_conv.weight"], "ResNet"),
        (["layer1.0.conv1.weight", "fc.weight"], "ResNet"),
        (["backbone.stem.0.conv.weight", "bbox_head.tl_feat_adaption.0.weight"], "CentripetalNet"),
        (["hg.hgs.0.up1.0.conv1.weight", "ct_heats.0.0.conv.weight"], "CenterNet"),
        (["encoder.weight"], "its keys begin encoder.weight"),
    ],
)
def test_other_networks_are_named(keys, name):
    with pytest.raises(InputError, match=name):
        convert_checkpoint({key: torch.zeros(1) for key in keys})


def test_saccade_is_named(shared):
    with pytest.raises(InputError, match="CornerNet-Saccade"):
        convert_checkpoint(keys_of("CornerNet_Saccade", shared))


FIVE = ("ape", "bee", "cat", "dog", "elk")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({"CLASSES": FIVE, "mmdet_version": "2.4.0"}, FIVE),
        ({"dataset_meta": {"classes": list(FIVE)}}, FIVE),
        ({"dataset_meta": {"CLASSES": FIVE}}, FIVE),
        ({}, ("class 1", "class 2", "class 3", "class 4", "class 5")),
    ],
)
def test_class_names_come_from_meta(tiny, meta, expected):
    assert convert_checkpoint(tiny | {"meta": meta}).class_names == expected
    assert convert_checkpoint(tiny | {"meta": meta}, ("a", "b", "c", "d", "e")).class_names == tuple("abcde")


def test_a_wrong_number_of_class_names_is_refused(tiny):
    with pytest.raises(InputError, match="2 class names for a network of 5"):
        convert_checkpoint(tiny, ("a", "b"))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_users_checkpoint_with_averages_optimiser_and_logs(tiny, tmp_path, zipped, prefix, monkeypatch):
    module = types.ModuleType("mmengine.logging.history_buffer")
    buffer = type("HistoryBuffer", (), {"__module__": module.__name__})
    module.HistoryBuffer = buffer
    for part in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    history = buffer()
    history.values = np.arange(3.0)
    state = {prefix + key: value for key, value in tiny["state_dict"].items()}
    state |= {f"ema_{key.replace('.', '_')}": value for key, value in tiny["state_dict"].items()}
    content = {
        "state_dict": state,
        "ema_state_dict": {"steps": torch.tensor(3)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
        "meta": {"dataset_meta": {"classes": FIVE}, "seed": np.int64(3), "time": "now"},
        "message_hub": {"log_scalars": {"loss": history}},
    }
    path = tmp_path / "epoch_3.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    for part in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.delitem(sys.modules, part)  # whoever reads has no mmengine
    weights = load_foreign(path)
    assert weights.class_names == FIVE
    assert weights.info == {"source": "epoch_3.pth", "dialect": "OpenMMLab"}
    whole = convert_checkpoint(tiny).state
    assert all(torch.equal(weights.state[key], value) for key, value in whole.items())


def test_a_detector_from_a_foreign_file_and_from_its_conversion_agree(tmp_path, shared):
    path, image = shared("reference/tiny_0.pth"), SHARED / "reference/photo_a.png"
    save_weights(tmp_path / "tiny.safetensors", load_foreign(path))
    first, second = load(path).explain(image), load(tmp_path / "tiny.safetensors").explain(image)
    np.testing.assert_array_equal(first.tl_heatmap, second.tl_heatmap)
    np.testing.assert_array_equal(first.candidates.boxes, second.candidates.boxes)
    assert load_weights(tmp_path / "tiny.safetensors").preprocessing == Preprocessing()


class Bomb:
    """Pickles as a call."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("form", ["zip", "old", 0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("call", [os.system, eval, getattr])
def test_code_in_a_pickle_is_refused_and_named(tmp_path, form, call):
    witness = tmp_path / "ran"
    arguments = {
        os.system: (f"touch {witness}",),
        eval: (f"open({str(witness)!r}, 'w')",),
        getattr: (Bomb(eval, f"open({str(witness)!r}, 'w')"), "x"),
    }[call]
    content = {"state_dict": {"a": torch.zeros(2)}, "meta": Bomb(call, *arguments)}
    path = tmp_path / "evil.pth"
    if isinstance(form, int):
        path.write_bytes(pickle.dumps({"meta": content["meta"]}, protocol=form))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match=r"wants to run .*(system|eval).*nothing was run") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not witness.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_half_a_file_is_named(tmp_path, zipped, share):
    path = tmp_path / "half.pth"
    torch.save(
        {"state_dict": {str(i): torch.ones(500) for i in range(20)}}, path, _use_new_zipfile_serialization=zipped
    )
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"half\.pth") as caught:
        load_foreign(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["no weights", "", "<html>404</html>"])
def test_text_named_pth_is_refused(tmp_path, content):
    path = tmp_path / "text.pth"
    path.write_text(content)
    with pytest.raises(InputError, match="not a whole checkpoint"):
        load(path)


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 3}, {"a": 3}, {}, torch.zeros(3)])
def test_other_contents_are_refused(tmp_path, content):
    path = tmp_path / "odd.pth"
    torch.save(content, path)
    with pytest.raises(InputError, match=r"odd\.pth"):
        load_foreign(path)
