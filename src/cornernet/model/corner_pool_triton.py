"""Corner pooling on the GPU, in Triton: every value is read once and written once.

In memory a dense tensor is (outer, length, inner), for any order of its axes: ``length`` is the pooled axis, ``inner``
is its stride, and each of the outer * inner *lines* is pooled separately. If ``inner`` is above 1 (all pools in
channels-last, vertical ones in other layouts), neighbours in memory belong to neighbouring lines: a thread walks along
its lines and has ``ROWS`` reads in flight. If it is 1, a line is contiguous: a block scans whole lines in parallel.

The gradient needs the places where the maximum rose. They are found again from the input, which the ReLU before keeps,
so nothing else has to be kept from forward to backward.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false, reportReturnType=false
# (kernels are Triton's language, not Python's: their launches and loops have no types)

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

ROWS = 16  # read together in a walk; each has one bit in the notes of a walk back
WALK_LINES = 64  # of one warp: 128 bytes a row in half precision
TILE = 4096  # values of a scan, half as many of a scan back
MAX_LENGTH = 2048  # one tile holds a line
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def can_pool(x: Tensor) -> bool:
    """Whether the kernels can pool ``x`` (B, C, H, W): its dtype, its size, and 32-bit addresses."""
    return x.dtype in DTYPES and max(x.shape[2:]) <= MAX_LENGTH and x.numel() < 2**31


def pool(x: Tensor, dim: int, reverse: bool, total: Tensor | None = None) -> Tensor:
    """Running maximum of ``x`` (B, C, H, W) along ``dim`` (2 or 3), as ``corner_pool`` gives it.

    With ``total``, a dense tensor of the shape and dtype of ``x``, the maximum is added to it in place.
    """
    out = torch.empty_like(x) if total is None else total
    x, lines, length, inner = _layout(x, out, dim)
    add = total is not None
    if x.numel() == 0:
        return out
    with torch.cuda.device_of(x):
        if inner > 1:
            grid = (triton.cdiv(lines, WALK_LINES),)
            _walk[grid](x, out, lines, length, inner, reverse, add, WALK_LINES, ROWS, num_warps=1)
        else:
            grid, tile = _tiles(lines, length, TILE)
            _scan[grid](x, out, lines, length, reverse, add, *tile, num_warps=4)
    return out


def pool_backward(grad: Tensor, x: Tensor, dim: int, reverse: bool) -> Tensor:
    """Gradient (B, C, H, W) of ``pool``'s input from the gradient of its output; summed in float32.

    Of equal values the first one of the scan gets the gradient. The gradient of NaN goes to the maximum before it.
    """
    out = torch.empty_like(x)
    x, lines, length, inner = _layout(x, out, dim)
    grad = _laid_out(grad, out)
    if x.numel() == 0:
        return out
    with torch.cuda.device_of(x):
        if inner > 1:
            grid, chunks = (triton.cdiv(lines, WALK_LINES),), triton.cdiv(length, ROWS)
            notes = torch.empty((chunks, lines), dtype=torch.int32, device=x.device)
            _walk_back[grid](grad, x, out, notes, lines, length, inner, reverse, WALK_LINES, ROWS, num_warps=1)
        else:
            grid, tile = _tiles(lines, length, TILE // 2)
            _scan_back[grid](grad, x, out, lines, length, reverse, *tile, num_warps=4)
    return out


def _layout(x: Tensor, out: Tensor, dim: int) -> tuple[Tensor, int, int, int]:
    """``x`` in the layout of ``out``, the number of lines, their length, and the step along them."""
    length = x.shape[dim]
    inner = out.stride(dim) if length > 1 else 1  # the stride of an axis with one place means nothing
    return _laid_out(x, out), x.numel() // max(1, length), length, inner


def _laid_out(x: Tensor, out: Tensor) -> Tensor:
    """``x`` with the strides of ``out``; only slices and expanded tensors are copied."""
    return x if x.stride() == out.stride() else torch.empty_like(out, dtype=x.dtype).copy_(x)


def _tiles(lines: int, length: int, size: int) -> tuple[tuple[int], tuple[int, int]]:
    """Grid and tile (lines, places), both powers of two, of a scan."""
    places = max(16, triton.next_power_of_2(length))
    count = max(1, size // places)
    return (triton.cdiv(lines, count),), (count, places)


@triton.jit
def _larger(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _walk(
    x_ptr,
    out_ptr,
    lines,
    length,
    inner,
    REVERSE: tl.constexpr,
    ADD: tl.constexpr,
    LINES: tl.constexpr,
    ROWS: tl.constexpr,
):
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)
    is_line = line < lines
    start = line // inner * length * inner + line % inner
    best = tl.full((LINES,), -float("inf"), tl.float32)
    for first in range(0, length, ROWS):
        rows, totals = (), ()
        for i in tl.static_range(ROWS):  # start all reads before the first one is needed
            place = length - 1 - first - i if REVERSE else first + i
            inside = is_line & (first + i < length)
            rows += (tl.load(x_ptr + (start + place * inner), inside),)
            if ADD:
                totals += (tl.load(out_ptr + (start + place * inner), inside),)
        for i in tl.static_range(ROWS):
            place = length - 1 - first - i if REVERSE else first + i
            best = _larger(best, rows[i].to(tl.float32))
            value = best
            if ADD:
                value += totals[i].to(tl.float32)
            inside = is_line & (first + i < length)
            tl.store(out_ptr + (start + place * inner), value.to(out_ptr.dtype.element_ty), inside)


@triton.jit
def _walk_back(
    grad_ptr,
    x_ptr,
    out_ptr,
    notes_ptr,
    lines,
    length,
    inner,
    REVERSE: tl.constexpr,
    LINES: tl.constexpr,
    ROWS: tl.constexpr,
):
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)
    is_line = line < lines
    start = line // inner * length * inner + line % inner
    chunks = tl.cdiv(length, ROWS)
    # as in the forward pass; one bit for each row notes whether the maximum rises
    best = tl.full((LINES,), -float("inf"), tl.float32)
    for chunk in range(chunks):
        first = chunk * ROWS
        rows = ()
        for i in tl.static_range(ROWS):
            place = length - 1 - first - i if REVERSE else first + i
            inside = is_line & (first + i < length)
            rows += (tl.load(x_ptr + (start + place * inner), inside),)
        note = tl.zeros((LINES,), tl.int32)
        for i in tl.static_range(ROWS):
            x = rows[i].to(tl.float32)
            note |= ((x > best) | (first + i == 0)).to(tl.int32) << i
            best = _larger(best, x)
        tl.store(notes_ptr + (chunk * lines + line), note, is_line)
    tl.debug_barrier()  # notes are read again below
    # backwards: a row where the maximum rose gets the sum of the gradients passed on by the rows after it
    carried = tl.zeros((LINES,), tl.float32)
    for done in range(chunks):
        chunk = chunks - 1 - done
        first = chunk * ROWS
        note = tl.load(notes_ptr + (chunk * lines + line), is_line)
        rows = ()
        for i in tl.static_range(ROWS):
            place = length - 1 - first - i if REVERSE else first + i
            inside = is_line & (first + i < length)
            rows += (tl.load(grad_ptr + (start + place * inner), inside, other=0),)
        for i in tl.static_range(ROWS - 1, -1, -1):
            place = length - 1 - first - i if REVERSE else first + i
            inside = is_line & (first + i < length)
            rose = ((note >> i) & 1) != 0
            carried += rows[i].to(tl.float32)
            total = tl.where(rose, carried, 0.0)
            tl.store(out_ptr + (start + place * inner), total.to(out_ptr.dtype.element_ty), inside)
            carried = tl.where(rose, 0.0, carried)


@triton.jit
def _scan(
    x_ptr, out_ptr, lines, length, REVERSE: tl.constexpr, ADD: tl.constexpr, LINES: tl.constexpr, PLACES: tl.constexpr
):
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)[:, None]
    place = tl.arange(0, PLACES)[None, :]
    inside = (line < lines) & (place < length)
    at = line * length + place
    x = tl.load(x_ptr + at, inside, other=-float("inf")).to(tl.float32)
    value = tl.associative_scan(x, 1, _larger, reverse=REVERSE)
    if ADD:
        value += tl.load(out_ptr + at, inside, other=0).to(tl.float32)
    tl.store(out_ptr + at, value.to(out_ptr.dtype.element_ty), inside)


@triton.jit
def _hand_down(later, later_rose, here, next_rose):
    """Sum gradients from the end of a stretch; those after a rise belong to the rise."""
    return tl.where(next_rose, here, later + here), later_rose | next_rose


@triton.jit
def _scan_back(
    grad_ptr, x_ptr, out_ptr, lines, length, REVERSE: tl.constexpr, LINES: tl.constexpr, PLACES: tl.constexpr
):
    line = tl.program_id(0) * LINES + tl.arange(0, LINES)[:, None]
    place = tl.arange(0, PLACES)[None, :]
    is_line = line < lines
    inside = is_line & (place < length)
    at = line * length + place
    x = tl.load(x_ptr + at, inside, other=-float("inf")).to(tl.float32)
    # a tile cannot be shifted in place: neighbours are read again, from the cache
    left = tl.load(x_ptr + at - 1, inside & (place > 0), other=-float("inf")).to(tl.float32)
    right = tl.load(x_ptr + at + 1, is_line & (place + 1 < length), other=-float("inf")).to(tl.float32)
    if REVERSE:
        before, after, first = right, left, place == length - 1
    else:
        before, after, first = left, right, place == 0
    best = tl.associative_scan(before, 1, _larger, reverse=REVERSE)  # of all before the place
    rose = (x > best) | first
    next_rose = after > _larger(best, x)
    grad = tl.load(grad_ptr + at, inside, other=0).to(tl.float32)
    carried, _ = tl.associative_scan((grad, next_rose), 1, _hand_down, reverse=not REVERSE)
    tl.store(out_ptr + at, tl.where(rose, carried, 0.0).to(out_ptr.dtype.element_ty), inside)
