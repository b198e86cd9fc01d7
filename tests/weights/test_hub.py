"""Pretrained trunks of the Hugging Face hub: what training begins with, and what is said of what cannot be used."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from cornernet.cli import main
from cornernet.config import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from cornernet.errors import InputError
from cornernet.recipes.load import load_recipe
from cornernet.weights.hub import licence_note, load_hub_trunk
from cornernet.weights.store import load_weights
from cornernet.weights.zoo import open_weights
from small import environment, write_data
from trunks import CONFIGS, transformers, write_model

CLASSIFIERS = {
    "resnet": "ResNetForImageClassification",
    "convnextv2": "ConvNextV2ForImageClassification",
    "hgnet_v2": "HGNetV2ForImageClassification",
    "swin": "SwinForImageClassification",
    "dinov2": "Dinov2Model",
    "dinov3_vit": "DINOv3ViTModel",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_model(tmp_path / "resnet", CONFIGS["resnet"], CLASSIFIERS["resnet"], "license: apache-2.0")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_trunk_of_a_published_model_computes_what_it_did(name, tmp_path):
    folder = write_model(tmp_path / name, CONFIGS[name], CLASSIFIERS[name])
    stored = open_weights(f"hf:{folder}")
    backbone = stored.architecture.backbone.make()
    state = {key.removeprefix("backbone."): value for key, value in stored.state.items()}
    left, surplus = backbone.load_state_dict(state, strict=False)
    assert surplus == []
    assert {key.partition(".")[0] for key in left} <= {"neck", "smooth"}
    images = torch.randn(1, 3, 112, 112)
    theirs = transformers.AutoModel.from_pretrained(folder).eval()(images, output_hidden_states=True).hidden_states[-1]
    with torch.inference_mode():
        ours = backbone.eval().trunk(images, output_hidden_states=True).hidden_states[-1]
    ours = ours.flatten(2).mT if ours.ndim > theirs.ndim else ours  # a map, or cells in a row
    assert torch.allclose(theirs, ours, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)),
        (
            {"image_mean": [0.5, 0.4, 0.2], "image_std": [0.5, 0.4, 0.1]},
            Preprocessing(mean=(127.5, 102.0, 51.0), std=(127.5, 102.0, 25.5)),
        ),
        ({"do_normalize": False}, Preprocessing(mean=(0.0,) * 3, std=(255.0,) * 3)),
        (
            {"image_mean": [9.0] * 3, "image_std": [7.0] * 3, "do_rescale": False, "do_flip_channel_order": True},
            Preprocessing("BGR", (9.0,) * 3, (7.0,) * 3),
        ),
    ],
    ids=["absent", "given", "none", "BGR"],
)
def test_the_normalisation_is_the_trunks_own(values, expected, folder):
    if values:
        (folder / "preprocessor_config.json").write_text(json.dumps(values))
    assert load_hub_trunk(str(folder), with_tensors=False).preprocessing == expected


@pytest.mark.parametrize(
    ("card", "licence", "is_free"),
    [
        ("license: apache-2.0", "apache-2.0", True),
        ("license: MIT", "MIT", True),
        ("license: other\nlicense_name: dinov3-license", "dinov3-license", False),
        ("license: cc-by-nc-4.0", "cc-by-nc-4.0", False),
        ("license:\n- mit\n- other", "mit, other", False),
        ("tags: [vision]", "", False),
        ("license: [", "", False),
    ],
)
def test_the_licence_is_named(card, licence, is_free, folder, capsys):
    (folder / "README.md").write_text(f"---\n{card}\n---\n")
    assert load_hub_trunk(str(folder), with_tensors=False).architecture.backbone.licence == licence
    note = licence_note(licence)
    assert (note == licence) == is_free
    assert ("before you pass weights on" in note) != is_free
    assert main(["weights", "info", f"hf:{folder}"]) == 0
    assert note in capsys.readouterr().out


def test_a_training_begins_with_the_trunk_and_its_weights_file_stands_alone(folder, tmp_path, capsys):
    card = "---\nlicense: other\nlicense_name: dinov3-license\n---\n"
    (folder / "README.md").write_text(card)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}))
    data, out = write_data(tmp_path / "data", train=4, val=1), tmp_path / "run"
    words = ["train", "--data", str(data), "--backbone", str(folder), "--epochs", "1", "--workers", "0"]
    assert main([*words, "--no-report", "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert f"backbone hf:{folder}: as asked" in said
    assert "licence dinov3-license, not a free one: read it before you pass weights on" in said
    recipe = load_recipe(str(out / "recipe.yaml"))
    assert (recipe.weights, recipe.freeze) == (f"hf:{folder}", "statistics")
    assert recipe.optimization.backbone_lr == 0.1
    assert recipe.preprocessing.mean == (127.5,) * 3
    assert recipe.augmentation.crop_size % recipe.preprocessing.pad_multiple == 0
    assert recipe.preprocessing.pad_multiple == 32
    pretrained = load_hub_trunk(str(folder)).state
    shutil.rmtree(folder)
    learnt = load_weights(out / "last.safetensors")
    assert learnt.architecture == recipe.model
    kept = [key for key in pretrained if key.endswith("running_mean")]
    assert kept
    assert all(torch.equal(learnt.state[key], pretrained[key]) for key in kept)
    assert main(["weights", "info", str(out / "last.safetensors")]) == 0
    assert "trunk resnet" in (shown := capsys.readouterr().out)
    assert "licence dinov3-license" in shown
    assert (
        main(["predict", str(data / "val"), "--weights", str(out / "last.safetensors"), "--out", str(out / "p")]) == 0
    )


def one_line(name: str | Path, capsys) -> str:
    """What the command line says of a backbone that cannot be used, in one line, with exit code 2."""
    assert main(["weights", "info", f"hf:{name}"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_what_is_no_backbone_is_refused_in_a_line(folder, tmp_path, capsys):
    config = json.loads((folder / "config.json").read_text())
    for changes, message in (
        ({"model_type": "bert"}, "transformers has no backbone for models of the type 'bert'; choose a model of"),
        ({"model_type": "hiera"}, "transformers cannot take"),
        ({"depths": [1, "x"]}, "its config.json is damaged"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        assert message in one_line(folder, capsys)
    (folder / "config.json").write_text("{")
    assert "config.json: cannot be read" in one_line(folder, capsys)
    (folder / "config.json").unlink()
    assert "no config.json in it" in one_line(folder, capsys)


def test_only_whole_safetensors_are_read(folder, capsys):
    tensors = folder / "model.safetensors"
    content = tensors.read_bytes()
    tensors.write_bytes(content[:-100])
    assert "its weights cannot be read" in one_line(folder, capsys)
    tensors.unlink()
    torch.save({"evil": torch.zeros(1)}, folder / "pytorch_model.bin")
    assert "no model.safetensors in it, and pickle files are not read" in one_line(folder, capsys)
    from safetensors.torch import load, save_file

    state = load(content)
    del state["resnet.encoder.stages.0.layers.0.layer.0.convolution.weight"]
    save_file(state, tensors, {"format": "pt"})
    assert "1 tensors of the trunk are not in its weights, encoder.stages.0" in one_line(folder, capsys)


@pytest.mark.parametrize(
    "words", ["weights convert {} out.safetensors", "weights verify {}", "predict a.png --weights {}"]
)
def test_a_trunk_alone_detects_nothing(words, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("a.png")
    assert main(words.format(f"hf:{folder}").split()) == 2
    assert "a pretrained trunk without classes, which detects nothing; begin a training" in capsys.readouterr().err


def test_code_of_the_models_owner_is_never_run(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    evil = {"auto_map": {"AutoConfig": "evil.Evil", "AutoBackbone": "evil.Evil"}, "attn_implementation": "evil/kernel"}
    (folder / "config.json").write_text(json.dumps(config | evil))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    trunk = load_hub_trunk(str(folder)).architecture.backbone.trunk
    assert not trunk.keys() & evil.keys()
    assert not (tmp_path / "ran").exists()


def hub_errors() -> list[tuple[Exception, str]]:
    from huggingface_hub import errors

    answer: Any = SimpleNamespace(headers={}, request=None, status_code=401)
    lost = errors.LocalEntryNotFoundError("Got: ConnectError: Name or service not known\nAn error happened while\nmore")
    return [
        (
            errors.RepositoryNotFoundError("Repository Not Found\n\nfor url", response=answer),
            "no such model on the hub",
        ),
        (errors.GatedRepoError("Access\n\nis restricted", response=answer), "asks you to accept terms first; accept"),
        (lost, r"cannot be fetched \(Got: ConnectError: .*hf download a/b .*\$HF_HOME"),
        (OSError("Read timed out"), r"cannot be fetched \(Read timed out\)"),
    ]


@pytest.mark.parametrize(("error", "message"), hub_errors(), ids=lambda value: type(value).__name__)
def test_what_the_hub_says_becomes_a_line(error, message, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(InputError, match=message) as raised:
        load_hub_trunk("a/b")
    assert "\n" not in str(raised.value)


def test_a_text_that_cannot_be_a_name_is_refused(capsys):
    assert "neither a folder nor a name of the hub" in one_line("not a name", capsys)


def test_the_hubs_cache_serves_without_a_network(folder, tmp_path):
    cache = tmp_path / "home/hub/models--someone--tiny"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text("0" * 40)
    shutil.copytree(folder, cache / "snapshots" / ("0" * 40))
    for name, code, message in (
        ("someone/tiny", 0, "licence     apache-2.0"),
        ("someone/other", 2, "HF_HUB_OFFLINE is"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "cornernet", "weights", "info", f"hf:{name}"],
            capture_output=True,
            text=True,
            env=environment() | {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert message in done.stdout + done.stderr
        assert len(done.stderr.splitlines()) == (code > 0), done.stderr


def test_without_transformers_a_backbone_is_refused_in_a_line(folder, tmp_path, monkeypatch, capsys):
    import lightning.pytorch  # noqa: F401 - it looks for transformers when it is loaded

    monkeypatch.setitem(sys.modules, "transformers", None)
    data = write_data(tmp_path / "data", train=1, val=1)
    assert main(["train", "--data", str(data), "--backbone", str(folder), "--print-config"]) == 2
    assert "pip install 'cornernet[backbones]'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["shapes"], ["--size", "nano"]], ids=["recipe", "size"])
def test_a_backbone_with_another_network_is_refused(words, folder, capsys):
    assert main(["train", *words, "--data", "anywhere", "--backbone", str(folder)]) == 2
    assert "--backbone" in capsys.readouterr().err
