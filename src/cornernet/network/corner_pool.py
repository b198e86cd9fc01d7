"""Corner pooling (paper, section 3.3): at each cell the maximum over everything to one side of it.

A running maximum along one axis. ``torch.cummax`` computes it too, but carries indices and walks memory badly; here
the loop runs over rows or columns, each step one vectorised maximum, so that memory is read in order. Where the axis
is the innermost in memory, columns are strided: there log2(n) doubling shifts are faster, and in training, which
uses channels-last, ``cummax`` itself will do.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import custom_op


def corner_pool(x: Tensor, dim: int, *, reverse: bool) -> Tensor:
    """Running maximum of ``x`` (B, C, H, W) along ``dim`` (2 or 3, or -2, -1); same shape, dtype and layout.

    ``reverse=False`` takes the maximum over the cell and all before it (bottom pool, right pool); ``reverse=True``
    over the cell and all after it (top pool, left pool). Where values tie, the gradient goes to one of them.
    Raises ``ValueError`` for another axis or number of axes.
    """
    if x.dim() != 4 or dim not in (2, 3, -2, -1):
        raise ValueError(f"corner_pool works on axis 2 or 3 of (B, C, H, W), not on axis {dim} of {tuple(x.shape)}")
    dim %= 4
    if x.requires_grad and torch.is_grad_enabled() and x.stride(dim) == 1:  # a scan back over strided columns is slow
        return x.flip(dim).cummax(dim).values.flip(dim) if reverse else x.cummax(dim).values
    return _corner_pool(x, dim, reverse)


def top_pool(x: Tensor) -> Tensor:
    """Maximum over the cell and everything below it; (B, C, H, W) to the same."""
    return corner_pool(x, 2, reverse=True)


def left_pool(x: Tensor) -> Tensor:
    """Maximum over the cell and everything to its right; (B, C, H, W) to the same."""
    return corner_pool(x, 3, reverse=True)


def bottom_pool(x: Tensor) -> Tensor:
    """Maximum over the cell and everything above it; (B, C, H, W) to the same."""
    return corner_pool(x, 2, reverse=False)


def right_pool(x: Tensor) -> Tensor:
    """Maximum over the cell and everything to its left; (B, C, H, W) to the same."""
    return corner_pool(x, 3, reverse=False)


@custom_op("cornernet::corner_pool", mutates_args=())
def _corner_pool(x: Tensor, dim: int, reverse: bool) -> Tensor:
    return _doubling(x, dim, reverse) if x.stride(dim) == 1 else _scan(x, dim, reverse)


@_corner_pool.register_fake
def _(x: Tensor, dim: int, reverse: bool) -> Tensor:
    return torch.empty_like(x)


def _scan(x: Tensor, dim: int, reverse: bool) -> Tensor:
    out = torch.empty_like(x)
    pairs = list(zip(x.unbind(dim), out.unbind(dim), strict=True))
    if reverse:
        pairs.reverse()
    previous = None
    for source, target in pairs:
        if previous is None:
            target.copy_(source)
        else:
            torch.maximum(source, previous, out=target)
        previous = target
    return out


def _doubling(x: Tensor, dim: int, reverse: bool) -> Tensor:
    out = torch.empty_like(x).copy_(x)
    shift, length = 1, x.shape[dim]
    while shift < length:
        near, far = out.narrow(dim, 0, length - shift), out.narrow(dim, shift, length - shift)
        (near if reverse else far).copy_(torch.maximum(near, far))
        shift *= 2
    return out


@custom_op("cornernet::corner_pool_backward", mutates_args=())
def _corner_pool_backward(grad: Tensor, x: Tensor, out: Tensor, dim: int, reverse: bool) -> Tensor:
    """From the far end of the scan back to its start: who did not raise the maximum passes its gradient on."""
    rest = x.shape[dim] - 1
    low, high = (0, 1) if reverse else (1, 0)
    raised = torch.ones_like(x)
    raised.narrow(dim, low, rest).copy_(x.narrow(dim, low, rest) > out.narrow(dim, high, rest))
    result = torch.empty_like(x)
    rows = list(zip(grad.unbind(dim), raised.unbind(dim), result.unbind(dim), strict=True))
    if not reverse:
        rows.reverse()
    carried = torch.zeros_like(rows[0][1])
    for grad_row, raised_row, result_row in rows:
        carried.add_(grad_row)
        torch.mul(carried, raised_row, out=result_row)
        carried.sub_(result_row)
    return result


@_corner_pool_backward.register_fake
def _(grad: Tensor, x: Tensor, out: Tensor, dim: int, reverse: bool) -> Tensor:
    return torch.empty_like(x)


def _setup_context(ctx, inputs: tuple[Tensor, int, bool], output: Tensor) -> None:
    x, ctx.dim, ctx.reverse = inputs
    ctx.save_for_backward(x, output)


def _backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
    x, out = ctx.saved_tensors
    return _corner_pool_backward(grad, x, out, ctx.dim, ctx.reverse), None, None


_corner_pool.register_autograd(_backward, setup_context=_setup_context)
