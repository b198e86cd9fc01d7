"""Corner pooling with a reach: against its definition, and what it is for."""

import pytest
import torch

from cornernet.config import Architecture, HourglassConfig
from cornernet.model.corner_pool import corner_pool, corner_pool_near, corner_pool_pair
from cornernet.model.cornernet import CornerNet


def by_definition(x, dim, reverse, reach):
    length, out = x.shape[dim], []
    for i in range(length):
        low, high = (i, min(length, i + reach)) if reverse else (max(0, i - reach + 1), i + 1)
        out.append(x.narrow(dim, low, high - low).amax(dim))
    return torch.stack(out, dim)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dim", [2, 3, -1])
@pytest.mark.parametrize("reach", [1, 2, 3, 7, 8, 30])
@pytest.mark.parametrize("size", [(1, 1), (5, 12), (16, 9)])
def test_it_is_the_maximum_over_so_many_cells(size, reach, dim, reverse):
    x = torch.randn(2, 3, *size)
    expected = by_definition(x, dim, reverse, reach)
    assert torch.equal(corner_pool_near(x, dim, reverse=reverse, window=reach), expected)
    assert torch.equal(corner_pool_near(x.requires_grad_(), dim, reverse=reverse, window=reach), expected)


def test_a_reach_as_long_as_the_map_is_none():
    x = torch.randn(2, 3, 9, 7)
    for dim in (2, 3):
        for reverse in (False, True):
            near = corner_pool_near(x, dim, reverse=reverse, window=9)
            assert torch.equal(near, corner_pool(x, dim, reverse=reverse))


def test_gradients_are_exact():
    x = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    for reverse in (False, True):
        assert torch.autograd.gradcheck(lambda v, r=reverse: corner_pool_pair(v, v.flip(1), reverse=r, window=3), x)


def test_far_objects_no_longer_reach_a_corner():
    """The same pixels in the corner of a larger image: with a reach the heads see there what they saw before."""
    torch.manual_seed(0)
    changes = []
    for reach in (None, 4):
        network = CornerNet(
            Architecture(
                HourglassConfig(num_stacks=1, channels=(32, 32), blocks=(1, 1), feature_channels=16),
                corner_channels=16,
                branch_channels=16,
                pool_window=reach,
            ),
            2,
        ).eval()
        feature = torch.rand(1, 16, 16, 16)
        larger = torch.rand(1, 16, 48, 48)
        larger[..., :16, :16] = feature
        with torch.inference_mode():
            here, there = (network.heads[0].corner_features(f).tl[..., :8, :8] for f in (feature, larger))
        changes.append(float((here - there).abs().max()))
    assert changes[0] > 1e-3
    assert changes[1] == pytest.approx(0, abs=1e-5)
