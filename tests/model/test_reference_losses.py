"""Targets and losses against the reference vectors: values and gradients."""

import numpy as np
import pytest
import torch

from conftest import shared_files
from cornernet.model.targets import Targets, dense_heatmaps, make_targets
from losses import losses_of

CLASSES, INPUT = 5, (255, 255)


def load(path) -> tuple[dict, Targets]:
    stored = dict(np.load(path))
    images = int(stored["num_images"])
    counts = [len(stored[f"gt_boxes_{i}"]) for i in range(images)]
    boxes = torch.zeros(images, max(counts), 4)
    labels = torch.full((images, max(counts)), -1)
    for i, count in enumerate(counts):
        boxes[i, :count] = torch.from_numpy(stored[f"gt_boxes_{i}"])
        labels[i, :count] = torch.from_numpy(stored[f"gt_labels_{i}"])
    return stored, make_targets(boxes, labels, INPUT, stored["tl_heat"].shape[-2:])


def relative(found: torch.Tensor, expected: np.ndarray) -> float:
    return float(np.abs(found.detach().numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("path", shared_files("reference/losses_*.npz"))
def test_targets(path):
    stored, targets = load(path)
    height, width = stored["tl_heat"].shape[-2:]
    heatmaps = dense_heatmaps(targets, stored["tl_heat"].shape[1])
    for side, heatmap in zip(("tl", "br"), heatmaps, strict=True):
        np.testing.assert_allclose(heatmap.numpy(), stored[f"{side}_heat"], atol=1e-5)
        dense = torch.zeros(len(targets.valid), height * width, 2)
        owns, cells = getattr(targets, f"{side}_is_owner"), getattr(targets, f"{side}_cells")
        image = torch.arange(len(owns))[:, None].expand_as(owns)
        dense[image[owns], cells[owns]] = getattr(targets, f"{side}_offsets")[owns]
        found = dense.transpose(1, 2).reshape(-1, 2, height, width)
        np.testing.assert_allclose(found.numpy(), stored[f"{side}_off"], atol=1e-5)
    image = torch.arange(len(targets.valid))[:, None].expand_as(targets.valid)
    rows = [image, targets.tl_cells // width, targets.tl_cells % width]
    rows += [targets.br_cells // width, targets.br_cells % width]
    found = torch.stack([row[targets.valid] for row in rows], dim=1)
    np.testing.assert_array_equal(found.numpy(), stored["match"])


@pytest.mark.parametrize("path", shared_files("reference/losses_*.npz"))
def test_losses_and_gradients(path):
    stored, targets = load(path)
    keys = [f"{side}_{kind}" for side in ("tl", "br") for kind in ("heat", "off", "emb")]
    maps = {key: torch.from_numpy(stored[f"pred_{key}"]).requires_grad_() for key in keys}

    def read(key: str) -> torch.Tensor:
        dense = maps[key].flatten(2).transpose(1, 2)
        cells = targets.tl_cells if key.startswith("tl") else targets.br_cells
        return dense.gather(1, cells[..., None].expand(-1, -1, dense.shape[2]))

    sparse = [read(key) for key in ("tl_off", "br_off", "tl_emb", "br_emb")]
    losses = losses_of(maps["tl_heat"], maps["br_heat"], *sparse, targets=targets)
    for name, key in (("heatmap", "det"), ("offset", "off"), ("pull", "pull"), ("push", "push")):
        assert losses[name].item() == pytest.approx(float(stored[f"loss_{key}_loss"]), rel=1e-5)
    sum(losses.values()).backward()
    for key in keys:
        assert relative(maps[key].grad, stored[f"grad_{key}"]) <= 1e-5, key
