"""Corner pooling against flip and cummax, and its gradient against loops."""

import itertools
import shutil
import subprocess
import sys

import pytest
import torch

from cornernet.model import corner_pool as module
from cornernet.model.corner_pool import bottom_pool, corner_pool, corner_pool_pair, left_pool, right_pool, top_pool
from cornernet.model.head import CornerModule

POOLS = [(top_pool, 2, True), (left_pool, 3, True), (bottom_pool, 2, False), (right_pool, 3, False)]
every_pool = pytest.mark.parametrize(("pool", "dim", "reverse"), POOLS, ids=["top", "left", "bottom", "right"])

# each takes contiguous (B, C, H, W) to the same shape in another layout
LAYOUTS = {
    "contiguous": lambda x: x,
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "permuted": lambda x: x.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0),
    "every_second": lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, ::2, ::2],
    "middle": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1), value=9.0)[:, :, 3:-1, 1:-2],
    "expanded_batch": lambda x: x[:1].expand_as(x),
    "expanded_channels": lambda x: x[:, :1].expand_as(x),
    "expanded_rows": lambda x: x[:, :, :1].expand_as(x),
    "expanded_columns": lambda x: x[..., :1].expand_as(x),
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def by_cummax(x, dim, reverse):
    return x.flip(dim).cummax(dim).values.flip(dim) if reverse else x.cummax(dim).values


def distinct(*shape, dtype=torch.float64):
    count = torch.Size(shape).numel()
    order = torch.randperm(count, generator=torch.Generator().manual_seed(count))
    return (order.to(dtype) / 4 - count / 8).reshape(shape)


def gradient_by_loops(x, grad, dim, reverse):
    """To the cell that holds the maximum; among equals to the one that the scan meets first."""
    values, incoming = x.movedim(dim, -1).tolist(), grad.movedim(dim, -1).tolist()
    result = torch.zeros(x.movedim(dim, -1).shape, dtype=torch.float64)
    for b, c, i in itertools.product(*map(range, result.shape[:3])):
        line, order = values[b][c][i], list(range(result.shape[3]))
        if reverse:
            order.reverse()
        best = order[0]
        for place in order:
            if line[place] > line[best]:
                best = place
            result[b, c, i, best] += incoming[b][c][i][place]
    return result.movedim(-1, dim)


@every_pool
@every_layout
@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 4, 8, 3), (1, 1, 1, 1), (2, 3, 1, 6), (2, 3, 6, 1), (0, 3, 4, 5)])
def test_values(pool, dim, reverse, layout, shape):
    x = layout(distinct(*shape, dtype=torch.float32))
    before = x.clone()
    assert torch.equal(pool(x), by_cummax(x, dim, reverse))
    assert torch.equal(corner_pool(x, dim - 4, reverse=reverse), by_cummax(x, dim, reverse))
    assert torch.equal(x, before)


@every_pool
@every_layout
def test_gradient_is_the_functions_slope(pool, dim, reverse, layout):
    x = distinct(2, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda t: pool(layout(t)), x)


@every_pool
@every_layout
def test_gradient_at_ties_goes_to_the_maxima_and_none_is_lost(pool, dim, reverse, layout):
    generator = torch.Generator().manual_seed(dim)
    x = layout(torch.randint(0, 3, (2, 2, 6, 7), generator=generator).float())
    leaf = x.detach().requires_grad_()
    grad = torch.rand(x.shape, generator=generator)
    out = pool(leaf)
    out.backward(grad)
    torch.testing.assert_close(leaf.grad.sum(dim), grad.sum(dim))
    assert (leaf.grad[x < out] == 0).all()  # only cells that are the maximum so far
    # each stretch of equal maxima keeps its gradient to itself
    for value in (0.0, 1.0, 2.0):
        mine = (leaf.grad * (x == value)).sum(dim)
        torch.testing.assert_close(mine, (grad * (out == value)).sum(dim))


@every_pool
def test_gradient_of_a_sum_over_an_empty_batch_and_over_one_cell(pool, dim, reverse):
    nothing = torch.zeros(0, 3, 4, 5, requires_grad=True)
    pool(nothing).sum().backward()
    assert nothing.grad.shape == (0, 3, 4, 5)
    one = torch.tensor([[[[2.0]]]], requires_grad=True)
    pool(one).sum().backward()
    assert one.grad.item() == 1


@every_pool
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(pool, dim, reverse, dtype):
    x = torch.randn(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)).to(dtype)
    leaf = x.clone().requires_grad_()
    out = pool(leaf)
    assert out.dtype == dtype
    assert torch.equal(out, by_cummax(x, dim, reverse))
    out.sum().backward()
    assert leaf.grad.dtype == dtype
    assert torch.equal(leaf.grad.double(), gradient_by_loops(x, torch.ones_like(x), dim, reverse))


@every_pool
def test_memory_format_is_kept(pool, dim, reverse):
    for memory_format in (torch.contiguous_format, torch.channels_last):
        x = distinct(2, 3, 4, 5).to(memory_format=memory_format).requires_grad_()
        out = pool(x)
        out.backward(torch.ones_like(out))
        assert out.is_contiguous(memory_format=memory_format)
        assert x.grad.is_contiguous(memory_format=memory_format)


def test_autocast_trains_a_corner_module_nearly_as_float32_does():
    torch.manual_seed(0)
    module, x = CornerModule(8, 8, "br"), torch.randn(2, 8, 12, 10)
    found = []
    for enabled in (False, True):
        module.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = module(x)
        assert out.dtype == (torch.bfloat16 if enabled else torch.float32)
        out.float().square().mean().backward()
        found.append((out.float(), module.vertical.conv.weight.grad.clone()))
    assert found[1][1].dtype == torch.float32
    for exact, rough in zip(*found, strict=True):
        similarity = torch.nn.functional.cosine_similarity(exact.flatten(), rough.flatten(), dim=0)
        assert similarity > 0.98


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "c++", "clang++"))), reason="no C++ compiler: inductor needs one")
def test_compiled_in_one_graph():
    """Each pool has a map of its own: there is nothing else in the graph that a C++ compiler would take seconds for."""

    def all_four(maps):
        return [pool(x) for (pool, _, _), x in zip(POOLS, maps, strict=True)]

    maps = distinct(4, 2, 2, 4, 6, dtype=torch.float32).unbind()
    grads = torch.arange(4 * 2 * 2 * 4 * 6, dtype=torch.float32).reshape(4, 2, 2, 4, 6).unbind()
    results = []
    for function in (all_four, torch.compile(all_four, fullgraph=True)):
        leaves = [x.to(memory_format=torch.channels_last).clone().requires_grad_() for x in maps]
        out = function(leaves)
        results.append([*out, *torch.autograd.grad(out, leaves, grads)])
    for plain, compiled in zip(*results, strict=True):
        assert torch.equal(plain, compiled)
        assert plain.stride() == compiled.stride()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "every_second"])
@pytest.mark.parametrize("dim", [2, 3])
def test_the_custom_op_keeps_pytorchs_rules(layout, dim):
    x = LAYOUTS[layout](distinct(2, 2, 3, 4, dtype=torch.float32)).detach().requires_grad_()
    torch.library.opcheck(torch.ops.cornernet.corner_pool.default, (x, dim, layout == "contiguous"))


@pytest.mark.parametrize(("shape", "dim"), [((1, 2, 3, 4), d) for d in (0, 1, 4, -3, -4)] + [((2, 3, 4), 2)])
def test_another_axis_is_refused(shape, dim):
    with pytest.raises(ValueError, match="axis"):
        corner_pool(torch.zeros(shape), dim, reverse=False)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "every_second"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_pair_is_the_sum_of_both_pools(layout, reverse):
    down_pool, across_pool = (top_pool, left_pool) if reverse else (bottom_pool, right_pool)
    generator = torch.Generator().manual_seed(0)
    maps = [LAYOUTS[layout](torch.randn(2, 3, 5, 7, generator=generator)) for _ in range(2)]
    before = [x.clone() for x in maps]
    expected = down_pool(maps[0]) + across_pool(maps[1])
    assert torch.equal(corner_pool_pair(*maps, reverse=reverse), expected)
    assert all(map(torch.equal, maps, before))
    gradients = []
    for pair in (corner_pool_pair, lambda v, h, reverse: down_pool(v) + across_pool(h)):
        leaves = [x.detach().requires_grad_() for x in maps]
        out = pair(*leaves, reverse=reverse)
        assert torch.equal(out, expected)
        gradients.append(torch.autograd.grad(out, leaves, expected))
    assert all(map(torch.equal, *gradients))


def test_a_pair_of_two_types_gives_the_wider_one():
    wide, narrow = distinct(1, 2, 3, 4, dtype=torch.float32), distinct(1, 2, 3, 4, dtype=torch.bfloat16)
    assert corner_pool_pair(narrow, wide, reverse=True).dtype == torch.float32


@pytest.mark.parametrize("shapes", [((1, 2, 3, 4), (1, 2, 4, 3)), ((2, 3, 4), (2, 3, 4))])
def test_a_pair_of_other_shapes_is_refused(shapes):
    with pytest.raises(ValueError, match="one shape"):
        corner_pool_pair(*map(torch.zeros, shapes), reverse=False)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "every_second"])
def test_the_pairs_operator_does_without_triton_too(layout):
    generator = torch.Generator().manual_seed(0)
    maps = [LAYOUTS[layout](torch.randn(2, 2, 3, 4, generator=generator)).detach().requires_grad_() for _ in range(2)]
    pair = torch.ops.cornernet.corner_pool_pair.default
    torch.library.opcheck(pair, (*maps, True))
    grad = torch.randn(2, 2, 3, 4, generator=generator)
    results = [(out, *torch.autograd.grad(out, maps, grad)) for out in (pair(*maps, True), maps_sum(*maps))]
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def maps_sum(vertical, horizontal):
    return top_pool(vertical) + left_pool(horizontal)


def test_pools_where_triton_is_not_installed():
    code = """
import sys
sys.modules["triton"] = None  # as if it were not there
import torch
from cornernet.model import corner_pool as c
assert not c.HAS_TRITON
x = torch.randn(1, 2, 3, 4)
assert torch.equal(c.top_pool(x), x.flip(2).cummax(2).values.flip(2))
assert torch.equal(c.corner_pool_pair(x, x, reverse=False), x.cummax(2).values + x.cummax(3).values)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_triton_that_does_not_run_is_said_and_done_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "cornernet.model.corner_pool_triton", raising=False)
    with pytest.warns(UserWarning, match="Triton does not run on cpu .* slower"):
        assert module._kernels_on.__wrapped__(torch.device("cpu")) is None
