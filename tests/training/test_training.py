"""Training learns, notices when it goes wrong, and leaves nothing half done."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from cornernet.config import Architecture, EmbeddingConfig, HourglassConfig, Optimization, Preprocessing, SizeConfig
from cornernet.data.coco import find_split, load_coco
from cornernet.data.source import DataSource
from cornernet.errors import DivergedError, InputError
from cornernet.evaluation.predict import evaluate_dataset
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe, recipe_names
from cornernet.training.module import TrainingModule, rate_factor
from cornernet.training.trainer import train
from cornernet.weights.store import load_weights
from small import write_data, write_recipe


@pytest.mark.parametrize("pairing", [EmbeddingConfig(), SizeConfig()], ids=["embedding", "size"])
def test_eight_images_are_learnt_by_heart(pairing, tmp_path):
    data = write_data(tmp_path / "data", train=8, val=1)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=60, validate_every=60, workers=0, batch_size=2)))
    backbone = HourglassConfig(num_stacks=1, channels=(16, 16, 32), blocks=(1, 1, 1), feature_channels=16)
    recipe.model = Architecture(backbone, pairing, corner_channels=16, branch_channels=32)
    recipe.augmentation.scales = ()
    recipe.augmentation.color_jitter = False
    recipe.augmentation.flip = 0.0
    recipe.augmentation.crop_size = 65
    recipe.preprocessing = Preprocessing(pad_mask=1)  # so that testing sees exactly what training saw
    recipe.optimization = Optimization(lr=0.003, base_batch_size=2, warmup_iterations=20, schedule="cosine")
    result = train(recipe, DataSource(str(data), val_split="train"), tmp_path / "run", checkpoint_seconds=3600)
    assert result.metrics is not None
    assert result.metrics.figures["AP"] == pytest.approx(1.0)
    # and the file that was written says the same as the network that was trained
    from cornernet.inference.detector import load_detector

    dataset = load_coco(*find_split(data, "train"))
    metrics, _ = evaluate_dataset(load_detector(tmp_path / "run" / "last.safetensors"), dataset)
    assert metrics.figures == pytest.approx(result.metrics.figures, nan_ok=True)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_precisions(tmp_path, precision):
    data = write_data(tmp_path / "data", train=4, val=2)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=2, precision=precision, workers=0)))
    train(recipe, DataSource(str(data)), tmp_path / "run")
    weights = load_weights(tmp_path / "run" / "last.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.state.values())
    assert weights.info["epochs"] == 2


def test_a_second_log_has_the_fields_of_openmmlabs(tmp_path):
    data = write_data(tmp_path / "data", train=44, val=2)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=1, workers=0)))
    train(recipe, DataSource(str(data)), tmp_path / "run")
    training, validation = [json.loads(line) for line in (tmp_path / "run/openmmlab.log.json").read_text().splitlines()]
    names = {"det_loss", "off_loss", "pull_loss", "push_loss", "loss", "grad_norm", "time", "data_time", "memory", "lr"}
    assert training.keys() == names | {"mode", "epoch", "iter"}
    assert (training["mode"], training["epoch"], training["iter"]) == ("train", 1, 20)
    assert 0 <= training["data_time"] < training["time"] < 60
    assert training["grad_norm"] > 0 < training["memory"]
    assert validation["mode"] == "val"
    assert {"bbox_mAP", "bbox_mAP_50", "bbox_mAP_75", "bbox_mAP_s", "bbox_mAP_m", "bbox_mAP_l"} < validation.keys()


def test_losses_are_logged_under_the_names_of_the_pairing_rule(tmp_path):
    data = write_data(tmp_path / "data", train=44, val=1)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=1, workers=0)), {"model.pairing": "size"})
    train(recipe, DataSource(str(data), val_split=None), tmp_path / "run")
    entries = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert all(list(entry)[-4:] == ["loss", "heatmap", "offset", "size"] for entry in entries)
    assert all(entry["size"] > 0 for entry in entries)
    theirs = json.loads((tmp_path / "run/openmmlab.log.json").read_text().splitlines()[0])
    assert {"loss", "det_loss", "off_loss", "size_loss"} < theirs.keys()
    assert not {"pull_loss", "push_loss"} & theirs.keys()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path, monkeypatch):
    data = write_data(tmp_path / "data", train=20)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=2, workers=0)))
    step = TrainingModule.training_step

    def poisoned(self, batch, batch_idx):
        if self.global_step == 14:  # in the second epoch
            with torch.no_grad():
                next(self.model.parameters()).fill_(float("nan"))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", poisoned)
    with pytest.raises(DivergedError, match=r"step 14.*\d{3}\.png, \d{3}\.png") as stop:
        train(recipe, DataSource(str(data)), tmp_path / "run", checkpoint_seconds=0)
    assert stop.value.exit_code == 3
    state = torch.load(tmp_path / "run" / "state.ckpt", weights_only=True)
    assert state["global_step"] == 14
    assert all(torch.isfinite(value).all() for value in state["state_dict"].values())
    assert all(torch.isfinite(v).all() for v in load_weights(tmp_path / "run" / "last.safetensors").state.values())


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_gradient_that_is_not_finite_moves_no_weight(name):
    recipe = load_recipe("shapes")
    recipe.optimization.optimizer = name
    module = TrainingModule(
        CornerNet(
            Architecture(
                HourglassConfig(num_stacks=1, channels=(8, 8), blocks=(1, 1), feature_channels=8),
                corner_channels=6,
                branch_channels=8,
            ),
            2,
        ),
        recipe,
        100,
    )
    optimizer = module.configure_optimizers()["optimizer"]
    for gradient, moves in ((1.0, True), (float("nan"), False), (float("inf"), False), (1.0, True)):
        before = [p.detach().clone() for p in module.parameters()]
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, 0.1)
        next(module.parameters()).grad.view(-1)[0] = gradient
        module.names = ["a.jpg"]
        with nullcontext() if moves else pytest.raises(DivergedError, match=r"gradient's norm became .* a\.jpg"):
            module.configure_gradient_clipping(optimizer)
        optimizer.step()
        changed = [not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True)]
        assert all(changed) if moves else not any(changed)


def test_a_broken_image_ends_the_run_with_its_name(tmp_path):
    data = write_data(tmp_path / "data", train=4)
    whole = (data / "train" / "003.png").read_bytes()
    middle = len(whole) // 2  # its header and its end are whole, so that it is found only now
    (data / "train" / "003.png").write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=1)))
    with pytest.raises(InputError, match=r"003\.png"):
        train(recipe, DataSource(str(data)), tmp_path / "run")
    (data / "train" / "003.png").write_bytes(whole)  # mended, the same command works
    assert train(recipe, DataSource(str(data)), tmp_path / "run").metrics is not None


def test_images_without_boxes_can_be_learnt_from(tmp_path):
    data = write_data(tmp_path / "data", train=6)
    path = data / "annotations" / "instances_train.json"
    content = json.loads(path.read_text())
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] > 4]
    path.write_text(json.dumps(content))
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=2, workers=0)))
    train(recipe, DataSource(str(data)), tmp_path / "run")


def test_rates():
    settings = Optimization(warmup_iterations=10, warmup_factor=0.5, milestones=(2,))
    factors = [rate_factor(step, settings, 20, 3) for step in range(60)]
    assert factors[0] == 0.5
    assert factors[10] == factors[39] == 1.0
    assert factors[40] == pytest.approx(0.1)
    cosine = Optimization(warmup_iterations=0, schedule="cosine")
    factors = [rate_factor(step, cosine, 20, 3) for step in range(61)]
    assert factors[0] == 1
    assert factors[30] == pytest.approx(0.505)
    assert factors[60] == pytest.approx(0.01)
    assert np.all(np.diff(factors) < 0)


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_builds(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        module = TrainingModule(CornerNet(recipe.model, 10), recipe, 100)
    optimizer = module.configure_optimizers()["optimizer"]
    assert optimizer.param_groups[0]["initial_lr"] > 0
