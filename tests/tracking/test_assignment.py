"""The cheapest assignment, found by trying all of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from cornernet.tracking.assignment import assign


def gain(costs, pairs, limit):
    return sum(limit - costs[pair] for pair in pairs)


def best_gain(costs, limit):
    wide = costs if costs.shape[0] <= costs.shape[1] else costs.T
    saved = np.maximum(limit - wide, 0)
    rows = range(len(wide))
    return max(saved[rows, columns].sum() for columns in permutations(range(wide.shape[1]), len(wide)))


@pytest.mark.parametrize("seed", range(40))
def test_no_other_assignment_is_cheaper(seed):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        costs, limit = rng.random(rng.integers(1, 6, 2)).round(1 + seed % 2), rng.uniform(0.2, 1.1)
        costs[rng.random(costs.shape) < 0.3] = np.inf
        pairs = assign(costs, limit)
        assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
        assert all(costs[pair] < limit for pair in pairs)
        assert gain(costs, pairs, limit) == pytest.approx(best_gain(costs, limit))


def test_nothing_belongs_to_nothing():
    assert assign(np.zeros((0, 3)), 1) == assign(np.zeros((3, 0)), 1) == []
    assert assign(np.full((2, 2), np.inf), 1) == []
    assert assign(np.array([[0.9]]), 0.8) == []


def test_many_rows_are_no_trouble():
    order = np.random.default_rng(0).permutation(100)
    costs = np.full((100, 100), 0.9)
    costs[np.arange(100), order] = 0.1
    assert assign(costs, 0.8) == list(enumerate(order.tolist()))
