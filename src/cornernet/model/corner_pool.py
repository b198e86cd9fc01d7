"""Corner pooling (paper, section 3.4): at each cell the maximum over everything to one side of it.

It is a running maximum along one axis. ``torch.cummax`` also computes indices and does not read memory in order. Here a
loop over rows or columns computes one vectorised maximum in each step and reads memory in order. If the axis is the
innermost in memory, log2(n) doubling shifts are faster; in training, which uses channels-last, ``cummax`` is good
enough for this case. On GPUs with Triton ``corner_pool_triton`` replaces all of them.
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
    over the cell and all after it (top pool, left pool). Of equal values one gets the gradient.
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
    """As ``corner_pool``, but the maximum is over the cell and the ``window`` - 1 cells nearest to one side of it.

    It does not depend on the size of the map. In training it is PyTorch's pooling, whose gradient is fast; otherwise
    log2(window) doubling shifts, which are twice as fast and are standard operators for export.
    """
    axis, far = dim % 4, float("-inf")
    if x.requires_grad and torch.is_grad_enabled():
        ends = _ends(axis, window - 1, reverse)
        return F.max_pool2d(F.pad(x, ends, value=far), (window, 1) if axis == 2 else (1, window), 1)
    covered = 1
    while covered < window:
        shift = min(covered, window - covered)
        padded = F.pad(x, _ends(axis, shift, reverse), value=far)
        x = torch.maximum(x, padded.narrow(axis, shift if reverse else 0, x.shape[axis]))
        covered += shift
    return x


def _ends(axis: int, count: int, at_end: bool) -> list[int]:
    """The argument of ``F.pad`` that adds ``count`` cells at the end or at the start of an axis (2 or 3)."""
    return [0, 0] * (3 - axis) + ([0, count] if at_end else [count, 0])


def corner_pool_pair(vertical: Tensor, horizontal: Tensor, *, reverse: bool, window: int | None = None) -> Tensor:
    """Both pools of a corner: ``vertical`` pooled along axis 2 plus ``horizontal`` along axis 3, all (B, C, H, W).

    ``reverse=True`` is for top-left corners (top + left pool), ``reverse=False`` for bottom-right ones (bottom + right
    pool). ``window`` is the largest number of cells of a maximum (``corner_pool_near``), ``None`` for all.
    Without it, a GPU adds while it pools, and training keeps only the two inputs.
    Raises ``ValueError`` if the shapes differ or do not have four axes.
    """
    if vertical.shape != horizontal.shape or vertical.dim() != 4:
        shapes = f"{tuple(vertical.shape)} and {tuple(horizontal.shape)}"
        raise ValueError(f"corner_pool_pair works on two maps of one shape (B, C, H, W), not on {shapes}")
    if window is not None:
        near = functools.partial(corner_pool_near, reverse=reverse, window=window)
        return near(vertical, 2) + near(horizontal, 3)
    same_dtype = vertical.dtype == horizontal.dtype
    if HAS_TRITON and vertical.is_cuda and horizontal.is_cuda and same_dtype:
        return _corner_pool_pair(vertical, horizontal, reverse)
    down, across = corner_pool(vertical, 2, reverse=reverse), corner_pool(horizontal, 3, reverse=reverse)
    in_place = same_dtype and not (down.requires_grad or across.requires_grad)  # a pool's gradient needs its output
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
    """The Triton kernels if they can pool ``x``."""
    kernels = _kernels_on(x.device) if HAS_TRITON and x.is_cuda else None
    return kernels if kernels and kernels.can_pool(x) else None


@functools.cache
def _kernels_on(device: torch.device) -> ModuleType | None:
    """The Triton kernels if they run: Triton needs a C compiler, and a GPU and a driver that it knows."""
    try:
        from cornernet.model import corner_pool_triton

        corner_pool_triton.pool(torch.zeros((1, 2, 2, 2), device=device), 2, False)
    except Exception as error:  # each cause raises another class
        reason = " ".join(str(error).split())[:200]
        warnings.warn(f"Triton does not run on {device} ({reason}); corner pooling does without, slower", stacklevel=2)
        return None
    return corner_pool_triton


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


def _gradient(grad: Tensor, x: Tensor, out: Tensor | None, dim: int, reverse: bool) -> Tensor:
    """Gradient of ``x``, pooled to ``out``. The kernels do not need ``out``; the loop computes it if it is absent."""
    if kernels := _kernels(x):
        return kernels.pool_backward(grad, x, dim, reverse)
    return _scan_back(grad, x, _pool(x, dim, reverse) if out is None else out, dim, reverse)


def _scan_back(grad: Tensor, x: Tensor, out: Tensor, dim: int, reverse: bool) -> Tensor:
    """From the end of the scan to its start: a cell that did not raise the maximum passes its gradient on."""
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


_corner_pool = custom_op("cornernet::corner_pool", _pool, mutates_args=())
_corner_pool.register_fake(lambda x, dim, reverse: torch.empty_like(x))
_corner_pool_backward = custom_op("cornernet::corner_pool_backward", _gradient, mutates_args=())
_corner_pool_backward.register_fake(lambda grad, x, out, dim, reverse: torch.empty_like(x))


def _setup_context(ctx, inputs: tuple[Tensor, int, bool], output: Tensor) -> None:
    x, ctx.dim, ctx.reverse = inputs
    ctx.save_for_backward(x, output)


def _backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
    x, out = ctx.saved_tensors
    return _corner_pool_backward(grad, x, out, ctx.dim, ctx.reverse), None, None


_corner_pool.register_autograd(_backward, setup_context=_setup_context)


def _pool_pair(vertical: Tensor, horizontal: Tensor, reverse: bool) -> Tensor:
    down = _pool(vertical, 2, reverse)
    if kernels := _kernels(horizontal):
        return kernels.pool(horizontal, 3, reverse, total=down)
    return down.add_(_pool(horizontal, 3, reverse))


def _gradient_pair(grad: Tensor, vertical: Tensor, horizontal: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    return _gradient(grad, vertical, None, 2, reverse), _gradient(grad, horizontal, None, 3, reverse)


_corner_pool_pair = custom_op("cornernet::corner_pool_pair", _pool_pair, mutates_args=())
_corner_pool_pair.register_fake(lambda vertical, horizontal, reverse: torch.empty_like(vertical))
_corner_pool_pair_backward = custom_op("cornernet::corner_pool_pair_backward", _gradient_pair, mutates_args=())
_corner_pool_pair_backward.register_fake(
    lambda grad, vertical, horizontal, reverse: (torch.empty_like(vertical), torch.empty_like(horizontal))
)


def _setup_pair(ctx, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
    vertical, horizontal, ctx.reverse = inputs
    ctx.save_for_backward(vertical, horizontal)


def _backward_pair(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *_corner_pool_pair_backward(grad, *ctx.saved_tensors, ctx.reverse), None


_corner_pool_pair.register_autograd(_backward_pair, setup_context=_setup_pair)
