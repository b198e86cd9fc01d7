"""The network against the reference vectors: same weights, same image, same maps."""

from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import formula_state, load_json, shared_files
from cornernet.config import Architecture, HourglassConfig, Preprocessing
from cornernet.inference.preprocess import to_input
from cornernet.media.images import read_image
from cornernet.model.cornernet import CornerNet
from cornernet.model.fuse import fuse
from cornernet.weights.openmmlab import RENAMING
from cornernet.weights.renaming import infer_architecture

NAMES = {
    "tl_heat": "tl_heatmap",
    "br_heat": "br_heatmap",
    "tl_emb": "tl_pairing",
    "br_emb": "br_pairing",
    "tl_off": "tl_offset",
    "br_off": "br_offset",
}


def spec_architecture(spec: dict) -> Architecture:
    return Architecture(
        HourglassConfig(
            num_stacks=spec["num_stacks"],
            channels=spec["stage_channels"],
            blocks=spec["stage_blocks"],
            feature_channels=spec["feat"],
        )
    )


def compare(model: CornerNet, vectors: dict, image: Path, step: int, tolerance: float, padding: Preprocessing) -> None:
    original = read_image(image)
    pixels, shifts = to_input([original], padding)
    (left, top), (height, width) = shifts[0].tolist(), original.shape[:2]
    np.testing.assert_array_equal(vectors["border"], [top, top + height, left, left + width])
    if "input" in vectors:
        np.testing.assert_allclose(pixels.numpy(), vectors["input"], atol=2e-5)
    model.eval()
    with torch.inference_mode():
        features = model.backbone(pixels)
        heads = model.dense_maps(pixels, last_only=model.fused is not None)
    for stack, maps in zip(range(len(features))[-len(heads) :], heads, strict=True):
        channel = 16 if step > 1 else 1
        found = {f"feat{stack}": features[stack][:, ::channel, ::step, ::step]}
        for short, name in NAMES.items():
            skip = 8 if step > 1 and "heat" in short else 1
            found[f"{short}{stack}"] = getattr(maps, name)[:, ::skip, ::step, ::step]
        for name, value in found.items():
            expected = vectors[name]
            error = np.abs(value.numpy() - expected).max() / np.abs(expected).max()
            assert error <= tolerance, f"{name}: {error:.2e} of the largest value"


@pytest.mark.parametrize("path", shared_files("reference/full_*.json"))
def test_hourglass104(path, shared):
    spec = load_json(path)
    architecture = spec_architecture(spec["spec"])
    assert architecture == Architecture()
    state = RENAMING.state(formula_state(load_json(shared("reference/keys_mmdet.json")), spec))
    assert infer_architecture(state) == (architecture, spec["spec"]["classes"])
    model = CornerNet(architecture, spec["spec"]["classes"])
    model.load_state_dict(state)
    assert abs(sum(p.numel() for p in model.parameters()) / 1e6 - 201.04) < 0.01
    vectors = dict(np.load(path.with_suffix(".npz")))
    image = path.parent / spec["image"]
    compare(model, vectors, image, spec["sample_step"], 1e-3, Preprocessing())
    compare(fuse(model), vectors, image, spec["sample_step"], 1e-3, Preprocessing())


@pytest.mark.parametrize("path", shared_files("reference/tiny_*.json"))
def test_small_hourglass_from_a_released_style_checkpoint(path):
    spec = load_json(path)
    checkpoint = torch.load(path.with_suffix(".pth"), map_location="cpu", weights_only=True)
    state = RENAMING.state(checkpoint["state_dict"])
    architecture, classes = infer_architecture(state)
    assert (architecture, classes) == (spec_architecture(spec["spec"]), spec["spec"]["classes"])
    model = CornerNet(architecture, classes)
    model.load_state_dict(state)
    vectors = dict(np.load(path.with_suffix(".npz")))
    compare(model, vectors, path.parent / spec["image"], 1, 1e-4, Preprocessing())
    compare(fuse(model), vectors, path.parent / spec["image"], 1, 1e-4, Preprocessing())
