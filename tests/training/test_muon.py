"""Muon: orthogonal steps for convolutions, PyTorch's Adam for the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cornernet.config import SIZES
from cornernet.model.cornernet import CornerNet
from cornernet.training.muon import Muon, hidden_convolutions, orthogonalize


def muon(model: nn.Module, lr: float, fused: bool) -> Muon:
    hidden = hidden_convolutions(model)
    groups = [
        {"params": [weight for weight in model.parameters() if (weight in hidden) == matrices], "matrices": matrices}
        for matrices in (True, False)
    ]
    return Muon(groups, lr, fused)


@pytest.mark.parametrize("shape", [(3, 8, 40), (2, 40, 8), (1, 16, 16)])
def test_singular_vectors_stay_and_values_come_near_one(shape):
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(shape, generator=generator) * torch.logspace(-3, 3, shape[0])[:, None, None]
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    new = left.mT @ orthogonalize(matrices) @ right.mT
    new_values = new.diagonal(dim1=1, dim2=2)
    torch.testing.assert_close(new, torch.diag_embed(new_values), atol=1e-4, rtol=0)
    shares = values / values.square().sum(dim=1, keepdim=True).sqrt()
    assert (new_values[shares > 0.02] > 0.68).all()
    assert (new_values < 1.21).all()
    assert orthogonalize(torch.zeros(shape)).abs().max() == 0


def test_what_is_no_hidden_convolution_moves_as_by_adam():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    twin = copy.deepcopy(model)
    assert not hidden_convolutions(model)
    ours, adam = muon(model, 0.01, fused=True), torch.optim.Adam(twin.parameters(), 0.01, fused=True)
    images = torch.randn(5, 2, 3, 8, 8)
    for batch in images:
        for network, optimizer in ((model, ours), (twin, adam)):
            optimizer.zero_grad()
            network(batch).square().sum().backward()
            optimizer.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_hidden_convolutions_are_all_but_the_first_and_the_branches_last():
    with torch.device("meta"):
        model = CornerNet(SIZES["hourglass-nano"], 3)
    hidden = hidden_convolutions(model)
    kept = sorted(n for n, weight in model.named_parameters() if weight.ndim == 4 and weight not in hidden)
    branches = [f"heads.0.{corner}_{what}.out.weight" for corner in ("br", "tl") for what in ("heatmap", "offset")]
    pairing = [f"heads.0.pairing.{corner}.out.weight" for corner in ("br", "tl")]
    assert kept == sorted(["backbone.stem.0.conv.weight", *branches, *pairing])
    assert all(weight.ndim == 4 for weight in hidden)


def test_a_step_is_of_the_same_size_for_every_shape_and_goes_on_from_its_state():
    def network() -> nn.Sequential:
        torch.manual_seed(0)
        layers = [nn.Conv2d(4, 4, 1), nn.Conv2d(4, 32, 3), nn.Conv2d(32, 8, 1)]
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step(model: nn.Sequential, optimizer: Muon, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        for weight in model.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()

    straight = network()
    before = [weight.detach().clone() for weight in straight.parameters() if weight.ndim == 4]
    optimizer = muon(straight, 0.01, fused=False)
    step(straight, optimizer, 0)
    moved = [a - b for a, b in zip([w for w in straight.parameters() if w.ndim == 4], before, strict=True)]
    sizes = [move.square().mean().sqrt().item() for move in moved]
    assert sizes == pytest.approx([0.004] * 3, rel=0.25)
    state = copy.deepcopy(optimizer.state_dict())
    resumed = network()
    resumed.load_state_dict(straight.state_dict())
    other = muon(resumed, 0.5, fused=False)
    other.load_state_dict(state)
    step(straight, optimizer, 1)
    step(resumed, other, 1)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))
