"""The bundled weights: small enough, and as good as the README says, on scenes nobody looked at."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

import cornernet
from cornernet.config import SIZES
from cornernet.data.coco import find_split, load_coco
from cornernet.data.shapes import CLASS_NAMES, write_shapes
from cornernet.errors import InputError
from cornernet.evaluation.predict import evaluate_dataset
from cornernet.inference.detector import load_detector
from cornernet.weights import BUNDLED
from cornernet.weights.coco_classes import COCO_CLASSES
from cornernet.weights.store import load_weights
from cornernet.weights.zoo import open_weights

PHOTOS = Path(os.environ.get("CORNERNET_SHARED", Path(__file__).parents[3] / "shared")) / "data/coco_photos"


def test_size_and_classes():
    assert BUNDLED["shapes"].stat().st_size <= 8 * 10**6
    assert load_detector(BUNDLED["shapes"]).class_names == CLASS_NAMES


@pytest.mark.parametrize("seed", [20260101, pytest.param(7, marks=pytest.mark.slow)])
def test_average_precision_on_held_back_scenes(seed, tmp_path):
    write_shapes(tmp_path / "scenes", 0, 100, seed)
    metrics, _ = evaluate_dataset(load_detector(BUNDLED["shapes"]), load_coco(*find_split(tmp_path / "scenes", "val")))
    assert metrics.figures["AP"] >= 0.86  # 0.894 and 0.895 on 200 scenes; 100 scenes scatter by about 0.02


def test_photos_are_a_nano_that_knows_cocos_classes_and_tells_its_data():
    assert BUNDLED["photos"].stat().st_size <= 10 * 10**6
    assert cornernet.load().class_names == COCO_CLASSES
    weights = load_weights(BUNDLED["photos"])
    nano = SIZES["nano"]
    assert (weights.architecture.backbone, weights.architecture.corner_channels) == (
        nano.backbone,
        nano.corner_channels,
    )
    assert "1,943 photographs" in weights.info["trained on"]
    assert "val2017" in weights.info["mind"]


def test_a_folder_of_photos_does_not_hide_the_weights(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cornernet.load("photos").class_names == COCO_CLASSES


def test_a_file_with_the_name_of_bundled_weights_and_a_run_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()  # pictures: weights are files
    assert open_weights("photos").class_names == COCO_CLASSES
    shutil.copy(BUNDLED["shapes"], tmp_path / "photos/best.safetensors")
    with pytest.raises(InputError, match=r"not a file; give photos/best.safetensors"):
        open_weights("./photos")
    shutil.copy(BUNDLED["shapes"], tmp_path / "shapes")
    with pytest.raises(InputError, match=r"shapes: weights that come with the package have this name.*write \./shapes"):
        open_weights("shapes")
    assert open_weights("./shapes").class_names == CLASS_NAMES


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"no {PHOTOS}")
def test_photos_find_what_photographs_show(tmp_path):
    content = json.loads((PHOTOS / "annotations/instances_val.json").read_text())
    for category, name in zip(content["categories"], COCO_CLASSES, strict=True):
        category["name"] = name  # four have other names there
    (tmp_path / "val.json").write_text(json.dumps(content))
    metrics, _ = evaluate_dataset(load_detector(BUNDLED["photos"]), load_coco(tmp_path / "val.json", PHOTOS / "val"))
    assert metrics.figures["AP50"] >= 0.12  # 0.130
