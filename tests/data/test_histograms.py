"""Boxes counted by size, shape and class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from cornernet.data.coco import load_coco
from cornernet.data.dataset import CocoDataset
from cornernet.data.histograms import as_lines, draw_histograms, histograms


def load(folder: Path, boxes: list[tuple[float, float]], classes: int = 2) -> CocoDataset:
    """One image with boxes of these widths and heights, of each class in turn."""
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 1000, "height": 1000}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": i % classes + 1, "bbox": [0, 0, *size]}
            for i, size in enumerate(boxes, 1)
        ],
        "categories": [{"id": i, "name": f"class {i} 🐈 猫"} for i in range(1, classes + 1)],
    }
    (folder / "a.json").write_text(json.dumps(content))
    return load_coco(folder / "a.json", folder)


def test_counts(tmp_path):
    data = load(tmp_path, [(4, 4), (8, 8), (10, 10), (100, 20), (900, 900)])
    sizes, aspects, classes = histograms([data, data])
    assert dict(sizes.rows) | {"under 8": 2, "8 to 16": 4, "32 to 64": 2, "over 512": 2} == dict(sizes.rows)
    assert {name: count for name, count in aspects.rows if count} == {"4:5 to 5:4": 8, "over 4:1": 2}
    assert classes.rows == [("class 2 🐈 猫", 6), ("class 1 🐈 猫", 4)]
    assert as_lines(classes, bar=6)[1:] == ["  class 2 🐈 猫  6  ######", "  class 1 🐈 猫  4  ####"]


def test_many_classes_end_in_a_sum(tmp_path):
    *_, classes = histograms([load(tmp_path, [(9, 9)] * 45, classes=40)])
    assert len(classes.rows) == 30
    assert as_lines(classes)[-1] == "  and 10 more classes with 10 boxes"


def test_no_boxes_at_all(tmp_path):
    shown = histograms([load(tmp_path, [])])
    assert [count for histogram in shown for _, count in histogram.rows] == [0] * 17
    assert draw_histograms(shown).shape[2] == 3


def test_the_longest_bar_is_the_most_frequent(tmp_path):
    picture = draw_histograms(histograms([load(tmp_path, [(9, 9)] * 3 + [(90, 90)])])[:1])
    blue = (picture == np.array([86, 180, 233])).all(axis=2).sum(axis=1)
    assert sorted(set(blue)) == [0, 80, 240]
