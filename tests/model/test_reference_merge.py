"""Merging soft-NMS against the reference vectors, in float64."""

import numpy as np
import pytest
import torch

from conftest import shared_files
from cornernet.model.soft_nms import soft_nms


@pytest.mark.parametrize(("name", "plus_one"), [("plain", 0.0), ("plus1", 1.0)])
@pytest.mark.parametrize("path", shared_files("reference/merge_*.npz"))
def test_boxes_of_all_views_are_merged(path, name, plus_one):
    stored = dict(np.load(path))
    boxes, tl, br, scores, labels = (
        torch.from_numpy(stored[key])[None] for key in ("boxes", "tl_scores", "br_scores", "scores", "labels")
    )
    kept = soft_nms(boxes.double(), scores.double(), labels, plus_one=plus_one, corner_scores=(tl, br))
    keep = kept.valid[0]
    assert keep.sum() == len(stored[f"{name}_scores"])
    np.testing.assert_allclose(kept.scores[0][keep], stored[f"{name}_scores"], atol=1e-5)
    np.testing.assert_array_equal(labels[0, kept.chosen[0][keep]], stored[f"{name}_labels"])
    np.testing.assert_allclose(kept.boxes[0][keep], stored[f"{name}_boxes"], atol=1e-5)
