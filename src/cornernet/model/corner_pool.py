"""Corner pooling (paper, section 3.4): at each cell the maximum over everything to one side of it.

A running maximum along one axis. ``torch.cummax`` computes it too, but carries indices and walks memory badly; here
the loop runs over rows or columns, each step one vectorised maximum, so that memory is read in order. Where the axis
is the innermost in memory, columns are strided: there log2(n) doubling shifts are faster, and in training, which
uses channels-last, ``cummax`` itself will do. On a GPU ``corner_pool_triton`` takes their place where Triton is there.
"""

from __future__ import annotations

import functools
import warnings
from importlib.util import find_spec
from types import ModuleType

import torch
from torch import Tensor
from torch.library import custom_op
from torch.nn import functional as F

HAS_TRITON = find_spec("triton") is not None


def corner_pool(x: Tensor, dim: int, *, reverse: bool) -> Tensor:
    """Running maximum of ``x`` (B, C, H, W) along ``dim`` (2 or 3, or -2, -1); same shape, dtype and layout.

    ``reverse=False`` takes the maximum over the cell and all before it (bottom pool, right pool); ``reverse=True``
    over the cell and all after it (top pool, left pool). Where values tie, the gradient goes to one of them.
    Raises ``ValueError`` for another axis or number of axes.
    """
    if x.dim() != 4 or dim not in (2, 3, -2, -1):
        raise ValueError(f"corner_pool works on axis 2 or 3 of (B, C, H, W), not on axis {dim} of {tuple(x.shape)}")
    dim %= 4
    fast = HAS_TRITON and x.is_cuda
    if x.requires_grad and torch.is_grad_enabled() and x.stride(dim) == 1 and not fast:
        return cummax_pool(x, dim, reverse)  # strided scans are slow
    return _corner_pool(x, dim, reverse)


def cummax_pool(x: Tensor, dim: int, reverse: bool) -> Tensor:
    """``corner_pool`` in PyTorch's own operators."""
    return x.flip(dim).cummax(dim).values.flip(dim) if reverse else x.cummax(dim).values


def corner_pool_near(x: Tensor, dim: int, *, reverse: bool, window: int) -> Tensor:
    """As ``corner_pool``, but the maximum is over the cell and the ``reach`` - 1 nearest to one side of it.

    What a cell sees then depends no longer on how large the map is. In training PyTorch's own pooling, whose gradient
    is fast; else log2(reach) doubling shifts, which are twice as fast as that, and standard operators for export.
    """
    axis, far = dim % 4, float("-inf")
    if x.requires_grad and torch.is_grad_enabled():
        ends = _ends(axis, window - 1, reverse)
        return F.max_pool2d(F.pad(x, ends, value=far), (window, 1) if axis == 2 else (1, window), 1)
    seen = 1
    while seen < window:
        shift = min(seen, window - seen)
        padded = F.pad(x, _ends(axis, shift, reverse), value=far)
        x, seen = torch.maximum(x, padded.narrow(axis, shift if reverse else 0, x.shape[axis])), seen + shift
    return x


def _ends(axis: int, count: int, behind: bool) -> list[int]:
    """What ``F.pad`` adds to get ``count`` cells more along an axis (2 or 3), behind or before it."""
    return [0, 0] * (3 - axis) + ([0, count] if behind else [count, 0])


def corner_pool_pair(vertical: Tensor, horizontal: Tensor, *, reverse: bool, window: int | None = None) -> Tensor:
    """What a corner needs: ``vertical`` pooled along axis 2 plus ``horizontal`` along axis 3, all (B, C, H, W).

    ``reverse=True`` for top-left corners (top pool + left pool), ``reverse=False`` for bottom-right ones (bottom pool
    + right pool). ``reach``: how many cells a maximum is over at most (``corner_pool_near``), ``None`` for all.
    On a GPU the sum over all is formed while pooling, and training keeps nothing but the two inputs.
    Raises ``ValueError`` where the shapes differ or have other than four axes.
    """
    if vertical.shape != horizontal.shape or vertical.dim() != 4:
        shapes = f"{tuple(vertical.shape)} and {tuple(horizontal.shape)}"
        raise ValueError(f"corner_pool_pair works on two maps of one shape (B, C, H, W), not on {shapes}")
    if window is not None:
        down, across = (
            corner_pool_near(x, dim, reverse=reverse, window=window) for x, dim in ((vertical, 2), (horizontal, 3))
        )
        return down + across
    alike = vertical.dtype == horizontal.dtype
    if HAS_TRITON and vertical.is_cuda and horizontal.is_cuda and alike:
        return _corner_pool_pair(vertical, horizontal, reverse)
    down, across = corner_pool(vertical, 2, reverse=reverse), corner_pool(horizontal, 3, reverse=reverse)
    in_place = alike and not (down.requires_grad or across.requires_grad)  # a pool's gradient needs its output
    return down.add_(across) if in_place else down + across


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


def _kernels(x: Tensor) -> ModuleType | None:
    """The Triton kernels, where they can pool ``x``."""
    kernels = _kernels_on(x.device) if HAS_TRITON and x.is_cuda else None
    return kernels if kernels and kernels.can_pool(x) else None


@functools.cache
def _kernels_on(device: torch.device) -> ModuleType | None:
    """The Triton kernels, where they run: Triton needs a C compiler, and a GPU and a driver that it knows."""
    try:
        from cornernet.model import corner_pool_triton

        corner_pool_triton.pool(torch.zeros((1, 2, 2, 2), device=device), 2, False)
    except Exception as error:  # each cause raises something else
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"Triton does not run on {device} ({reason}); corner pooling does without, slower", stacklevel=2)
        return None
    return corner_pool_triton


@custom_op("cornernet::corner_pool", mutates_args=())
def _corner_pool(x: Tensor, dim: int, reverse: bool) -> Tensor:
    return _pool(x, dim, reverse)


@_corner_pool.register_fake
def _(x: Tensor, dim: int, reverse: bool) -> Tensor:
    return torch.empty_like(x)


def _pool(x: Tensor, dim: int, reverse: bool) -> Tensor:
    if kernels := _kernels(x):
        return kernels.pool(x, dim, reverse)
    return _doubling(x, dim, reverse) if x.stride(dim) == 1 else _scan(x, dim, reverse)


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
    return _gradient(grad, x, out, dim, reverse)


@_corner_pool_backward.register_fake
def _(grad: Tensor, x: Tensor, out: Tensor, dim: int, reverse: bool) -> Tensor:
    return torch.empty_like(x)


def _gradient(grad: Tensor, x: Tensor, out: Tensor | None, dim: int, reverse: bool) -> Tensor:
    """Gradient of ``x``; ``out``, its pool, may be absent: the kernels do without, the loop computes it again."""
    if kernels := _kernels(x):
        return kernels.pool_backward(grad, x, dim, reverse)
    return _scan_back(grad, x, _pool(x, dim, reverse) if out is None else out, dim, reverse)


def _scan_back(grad: Tensor, x: Tensor, out: Tensor, dim: int, reverse: bool) -> Tensor:
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


def _setup_context(ctx, inputs: tuple[Tensor, int, bool], output: Tensor) -> None:
    x, ctx.dim, ctx.reverse = inputs
    ctx.save_for_backward(x, output)


def _backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
    x, out = ctx.saved_tensors
    return _corner_pool_backward(grad, x, out, ctx.dim, ctx.reverse), None, None


_corner_pool.register_autograd(_backward, setup_context=_setup_context)


@custom_op("cornernet::corner_pool_pair", mutates_args=())
def _corner_pool_pair(vertical: Tensor, horizontal: Tensor, reverse: bool) -> Tensor:
    down = _pool(vertical, 2, reverse)
    if kernels := _kernels(horizontal):
        return kernels.pool(horizontal, 3, reverse, total=down)
    return down.add_(_pool(horizontal, 3, reverse))


@_corner_pool_pair.register_fake
def _(vertical: Tensor, horizontal: Tensor, reverse: bool) -> Tensor:
    return torch.empty_like(vertical)


@custom_op("cornernet::corner_pool_pair_backward", mutates_args=())
def _corner_pool_pair_backward(
    grad: Tensor, vertical: Tensor, horizontal: Tensor, reverse: bool
) -> tuple[Tensor, Tensor]:
    return _gradient(grad, vertical, None, 2, reverse), _gradient(grad, horizontal, None, 3, reverse)


@_corner_pool_pair_backward.register_fake
def _(grad: Tensor, vertical: Tensor, horizontal: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    return torch.empty_like(vertical), torch.empty_like(horizontal)


def _setup_pair(ctx, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
    vertical, horizontal, ctx.reverse = inputs
    ctx.save_for_backward(vertical, horizontal)


def _backward_pair(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *_corner_pool_pair_backward(grad, *ctx.saved_tensors, ctx.reverse), None


_corner_pool_pair.register_autograd(_backward_pair, setup_context=_setup_pair)
