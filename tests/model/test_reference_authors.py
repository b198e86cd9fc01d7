"""The authors' networks against the reference vectors, through the conversion of their checkpoints."""

import re

import numpy as np
import pytest
import torch

from conftest import SHARED, formula_tensor, load_json, shared_files
from cornernet.inference.preprocess import to_input
from cornernet.media.images import read_image
from cornernet.model.cornernet import channels_last
from cornernet.weights.foreign import convert_checkpoint

NAMES = {"heat": "heatmap", "emb": "pairing", "off": "offset"}


@pytest.mark.parametrize(
    "path",
    shared_files("reference/CornerNet_[0-9].npz")
    + shared_files("reference/CornerNet_2018_[0-9].npz")
    + shared_files("reference/CornerNet_Squeeze_[0-9].npz"),
)
def test_last_stack(path):
    name, seed = re.fullmatch(r"(.*)_(\d+)", path.stem).groups()
    shapes = load_json(SHARED / f"reference/keys_{name}.json")
    weights = convert_checkpoint({key: formula_tensor(key, shape, int(seed)) for key, shape in shapes.items()})
    pixels, _ = to_input([read_image(SHARED / "reference/photo_b.png")], weights.preprocessing)
    with torch.inference_mode():
        maps = channels_last(weights.build()).dense_maps(pixels, last_only=True)[-1]
    stored = dict(np.load(path))
    for corner in ("tl", "br"):
        for short, long in NAMES.items():
            found = getattr(maps, f"{corner}_{long}")[:, :: 8 if short == "heat" else 1, ::3, ::3].numpy()
            expected = stored[f"{corner}_{short}"]
            error = np.abs(found - expected).max() / np.abs(expected).max()
            assert error <= 1e-3, f"{corner}_{short}: {error:.2e} of the largest value"
