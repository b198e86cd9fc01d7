"""A recipe made for the data: what it rests on, and that it trains."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from cornernet.commands.train import train as train_command
from cornernet.config import SIZES, EmbeddingConfig, HourglassConfig, SizeConfig
from cornernet.data.coco import find_split, load_coco
from cornernet.data.loading import TrainingImages
from cornernet.data.source import DataSource
from cornernet.errors import InputError
from cornernet.evaluation.cost import training_bytes
from cornernet.model.cornernet import CornerNet
from cornernet.recipes.load import load_recipe
from cornernet.training import trainer
from cornernet.training.auto_recipe import DatasetStats, dataset_stats, make_recipe
from cornernet.training.distributed import World
from small import cornernet, write_data, write_recipe

GIB = 2**30
CPU = DatasetStats(1000, 6, 640, (12.0, 30.0, 60.0), 12, "cpu", 8 * GIB, "bf16-mixed")
GPU = replace(CPU, device="cuda", memory=80 * GIB)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_halves_evenly_what_is_padded_for_it(size):
    architecture = SIZES[size]
    side = architecture.backbone.size_multiple
    with torch.device("meta"):
        model = CornerNet(architecture, 3).eval()
        heatmap = model(torch.empty(1, 3, side, side), last_only=True)[0].tl_heatmap
    assert heatmap.shape[-1] == side // architecture.backbone.stride
    innermost = 2**architecture.backbone.depth if isinstance(architecture.backbone, HourglassConfig) else 1
    assert heatmap.shape[-1] % innermost == 0


def test_small_objects_get_the_fine_map_and_large_ones_the_fast_network():
    large = replace(CPU, box_side=(20.0, 90.0, 200.0))
    for facts, wanted, size in (
        (CPU, None, "small"),
        (large, None, "nano"),
        (GPU, None, "base"),
        (CPU, "hourglass-small", "hourglass-small"),
    ):
        assert replace(make_recipe(facts, wanted)[0].model, pool_window=None, pairing=EmbeddingConfig()) == SIZES[size]
    assert (
        replace(make_recipe(CPU, "hourglass104")[0].model, pool_window=None, pairing=EmbeddingConfig())
        == SIZES["hourglass104"]
    )


def test_photographs_are_scaled_down_until_a_crop_holds_their_objects():
    recipe, reasons = make_recipe(replace(CPU, image_side=4000, box_side=(150.0, 600.0, 1600.0)))
    assert recipe.preprocessing.max_size == 800  # 1,600 pixels become 320
    assert recipe.augmentation.crop_size == 512
    assert any("scaled down to 800" in reason for reason in reasons)


def test_scaling_down_stops_where_the_smallest_objects_would_be_lost():
    recipe, _ = make_recipe(replace(CPU, image_side=4000, box_side=(24.0, 600.0, 1600.0)))
    assert recipe.preprocessing.max_size == 2000  # 24 pixels become 12


def test_as_many_corners_are_paired_as_the_fullest_images_need():
    for most, corners in ((12, 100), (50, 100), (125, 250), (900, 500)):
        recipe, reasons = make_recipe(replace(CPU, most_boxes=most))
        assert recipe.decoding.num_corners == corners
        assert any("corners of each kind are paired" in reason for reason in reasons) == (corners > 100)


def test_small_images_are_seen_whole():
    recipe, _ = make_recipe(replace(CPU, image_side=320))
    assert recipe.augmentation.scales == ()
    assert recipe.augmentation.crop_size >= 320
    recipe, _ = make_recipe(replace(CPU, image_side=1000, box_side=(300.0, 500.0, 1001.0)))  # scaled to 319.7
    assert recipe.augmentation.scales == ()
    assert recipe.preprocessing.max_size == 320 <= recipe.augmentation.crop_size


def test_corner_pools_reach_across_objects_and_crops_lie_at_them():
    assert make_recipe(CPU, "nano")[0].model.pool_window == 12  # cells of 8 pixels: 1.6 x 60
    recipe, _ = make_recipe(CPU, "small")
    assert recipe.model.pool_window == 24  # of 4 pixels
    assert recipe.augmentation.at_objects
    whole, _ = make_recipe(replace(CPU, image_side=320))
    assert whole.model.pool_window is None  # in training as at test they see the whole image
    assert not whole.augmentation.at_objects


def test_a_small_memory_halves_the_batch_and_then_the_network():
    tight, reasons = make_recipe(replace(GPU, memory=GIB // 2))
    assert tight.batch_size < 8
    assert tight.batch_size * tight.accumulate == 8
    assert any(f"batch {tight.batch_size} x {tight.accumulate}" in reason for reason in reasons)
    with pytest.raises(InputError, match=r"hourglass104.*does not fit"):
        make_recipe(replace(CPU, memory=GIB // 2), "hourglass104")


def test_minutes_become_epochs():
    recipe, reasons = make_recipe(CPU, minutes=10, seconds_per_image=lambda recipe, classes: 0.1)
    assert recipe.epochs == 6  # 6,000 images
    assert any("6 epochs: 6,000 images seen, about 10 minutes" in reason for reason in reasons)
    with pytest.raises(InputError, match="minutes"):
        make_recipe(CPU, minutes=0, seconds_per_image=lambda recipe, classes: 0.1)


def test_facts_are_those_of_the_boxes_to_learn(tmp_path):
    data = load_coco(*find_split(write_data(tmp_path, train=30, val=1, size=64), "train"))
    facts = dataset_stats(data)
    assert (facts.images, facts.classes, facts.image_side) == (30, 2, 64)
    low, middle, high = facts.box_side
    assert 10 <= low <= middle <= high < 24  # drawn from 10 to 23


def test_images_are_scaled_down_in_training_with_their_boxes(tmp_path):
    data = load_coco(*find_split(write_data(tmp_path / "data", train=4, val=1, size=64), "train"))
    recipe = load_recipe(str(write_recipe(tmp_path, augmentation={"crop_size": 33, "scales": [], "flip": 0})))
    recipe.augmentation.color_jitter = False
    recipe.preprocessing = replace(recipe.preprocessing, max_size=32)
    sample = TrainingImages(data, recipe)[0, 0]
    assert not isinstance(sample, InputError)
    image, boxes, labels, _ = sample
    assert image.shape == (33, 33, 3)
    np.testing.assert_allclose(np.sort(boxes, axis=0), np.sort(data.images[0].boxes / 2, axis=0), atol=0.6)
    x1, y1, x2, y2 = boxes[labels.tolist().index(1)].round().astype(int)
    blue = image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].reshape(-1, 3).mean(axis=0)
    assert blue[2] > 180 > blue[0]


def test_without_a_recipe_one_is_made_and_kept(tmp_path):
    data = write_data(tmp_path / "data", train=30, val=1)
    shutil.rmtree(data / "val")
    (data / "annotations/instances_val.json").unlink()
    words = "train", "--data", data, "--size", "nano", "--epochs", 1, "--workers", 0, "--no-report", "--out"
    done = cornernet(*words, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "size nano" in done.stderr
    assert "images seen whole" in done.stderr
    kept = load_recipe(str(tmp_path / "run/recipe.yaml"))
    assert kept.model == replace(SIZES["nano"], pairing=SizeConfig())
    assert kept.epochs == 1  # a flag overrides what was chosen
    assert json.loads((tmp_path / "run/run.json").read_text())["source"]["val_share"] == 0.1
    again = cornernet("train", "--resume", tmp_path / "run", "--no-report")
    assert again.returncode == 0, again.stderr
    ranks = cornernet(*words, tmp_path / "ranks", "--devices", 2)  # each is given what was made here
    assert ranks.returncode == 0, ranks.stderr
    assert load_recipe(str(tmp_path / "ranks/recipe.yaml")).model == kept.model
    run = json.loads((tmp_path / "ranks/run.json").read_text())
    assert (run["world"], run["source"]["val_share"]) == (2, 0.1)


def test_what_a_training_begins_with():
    large = replace(CPU, box_side=(20.0, 90.0, 200.0))
    for facts, size, expected in (
        (large, None, "photos"),
        (CPU, None, "photos"),
        (GPU, None, "lite2"),
        (large, "hourglass-small", "shapes"),
        (CPU, "hourglass-small", None),  # small objects: measured to harm
        (large, "hourglass-nano", None),  # the bundled ones are not of this size
    ):
        recipe, reasons = make_recipe(facts, size)
        assert recipe.weights == expected
        assert any(reason.startswith(f"weights {expected}: ") for reason in reasons) == (expected is not None)
        is_trunk = expected in ("photos", "lite2")
        assert (recipe.freeze, recipe.optimization.backbone_lr) == (("early", 0.1) if is_trunk else ("none", 1.0))


def test_without_weights_everything_learns():
    recipe, _ = make_recipe(CPU, pretrained=False)
    assert (recipe.weights, recipe.freeze, recipe.optimization.backbone_lr) == (None, "none", 1.0)


def test_a_short_time_makes_images_smaller_as_far_as_objects_allow():
    large = replace(CPU, images=150, image_side=640, box_side=(60.0, 150.0, 300.0))

    def seconds(recipe, classes):  # for each image
        return 0.2 * (recipe.augmentation.crop_size / 480) ** 2

    for minutes, low, sides in ((12, 60.0, (640, 480)), (6, 60.0, (410, 320)), (6, 16.0, (512, 384))):
        facts = replace(large, box_side=(low, 150.0, 300.0))
        recipe, reasons = make_recipe(facts, "nano", minutes, seconds)
        assert (recipe.preprocessing.max_size or 640, recipe.augmentation.crop_size) == sides
        assert any("else fewer than 3,000 images" in reason for reason in reasons) == (sides[0] < 640)


@pytest.mark.parametrize("words", [(), ("--weights", "none")])
def test_weights_to_begin_with_are_a_field_of_the_recipe(words, tmp_path):
    data = write_data(tmp_path / "data", train=2, val=1)
    recipe = write_recipe(tmp_path, weights="shapes", epochs=1, workers=0)
    done = cornernet("train", recipe, "--data", data, *words, "--no-report", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert ("tensors taken" in done.stderr) == (not words)
    assert load_recipe(str(tmp_path / "run/recipe.yaml")).weights == (None if words else "shapes")


def test_what_does_not_go_together_is_said():
    with pytest.raises(InputError, match="size, backbone and minutes"):
        train_command("shapes", data="anywhere", size="nano")
    with pytest.raises(InputError, match="devices 0"):
        train_command(data="anywhere", devices=0)


def test_many_machines_want_a_written_recipe(monkeypatch):
    monkeypatch.setattr("cornernet.training.distributed.find_world", lambda: World(1, 2))
    with pytest.raises(InputError, match="write the recipe down"):
        train_command(data="anywhere")


def test_many_processes_share_steps_memory_and_time():
    alone, _ = make_recipe(CPU, minutes=10, seconds_per_image=lambda recipe, classes: 0.1)
    recipe, reasons = make_recipe(CPU, minutes=10, seconds_per_image=lambda recipe, classes: 0.1, processes=2)
    assert (recipe.batch_size, recipe.optimization.base_batch_size) == (2, 4)  # together they make the recipe's batch
    assert recipe.optimization.lr == pytest.approx(2**0.5 * alone.optimization.lr)
    assert recipe.epochs == alone.epochs
    assert any(reason.startswith("batch 2 x 2 (2 processes: --devices)") for reason in reasons)
    nano, _ = make_recipe(CPU, "nano")
    one = training_bytes(nano.model, CPU.classes, 1, nano.augmentation.crop_size, frozen="early")
    enough = replace(CPU, memory=int(2 * one / 0.8) + 2)
    assert [make_recipe(enough, "nano", processes=n)[0].batch_size for n in (1, 2)] == [2, 1]


def fails_above(images: int, real):
    def batch_losses(model, pixels, *rest):
        if len(pixels) > images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, pixels, *rest)

    return batch_losses


def test_out_of_memory_halves_the_batch(tmp_path, monkeypatch, capsys):
    from cornernet.training import module

    monkeypatch.setattr(module, "batch_losses", fails_above(2, module.batch_losses))
    data = write_data(tmp_path / "data", train=16, val=1)
    recipe = load_recipe(str(write_recipe(tmp_path, batch_size=8, epochs=1, workers=0)))
    trainer.train(recipe, DataSource(str(data)), tmp_path / "run")
    kept = load_recipe(str(tmp_path / "run/recipe.yaml"))
    assert (kept.batch_size, kept.accumulate) == (2, 4)
    assert "batch 8 is now 4" in capsys.readouterr().err


def test_out_of_memory_at_one_image_says_what_to_do(tmp_path, monkeypatch):
    from cornernet.training import module

    monkeypatch.setattr(module, "batch_losses", fails_above(0, module.batch_losses))
    data = write_data(tmp_path / "data", train=4, val=1)
    recipe = load_recipe(str(write_recipe(tmp_path, epochs=1, workers=0)))
    with pytest.raises(InputError, match=r"out of memory at 1 images a step.*activation_checkpointing"):
        trainer.train(recipe, DataSource(str(data)), tmp_path / "run")
