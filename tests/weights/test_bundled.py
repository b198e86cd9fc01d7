"""The bundled weights: small enough, and as good as the README says, on scenes nobody looked at."""

from __future__ import annotations

import pytest

from cornernet.data.coco import find_split, load_coco
from cornernet.data.shapes import CLASS_NAMES, write_shapes
from cornernet.evaluation.predict import evaluate_dataset
from cornernet.inference.detector import load_detector
from cornernet.weights import BUNDLED


def test_size_and_classes():
    assert BUNDLED["shapes"].stat().st_size <= 8 * 10**6
    assert load_detector(BUNDLED["shapes"]).class_names == CLASS_NAMES


@pytest.mark.parametrize("seed", [20260101, 7])
def test_average_precision_on_held_back_scenes(seed, tmp_path):
    write_shapes(tmp_path / "scenes", 0, 100, seed)
    metrics, _ = evaluate_dataset(load_detector(BUNDLED["shapes"]), load_coco(*find_split(tmp_path / "scenes", "val")))
    assert metrics.figures["AP"] >= 0.86  # 0.894 and 0.895 on 200 scenes; 100 scenes scatter by about 0.02
