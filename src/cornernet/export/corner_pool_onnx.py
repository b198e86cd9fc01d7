"""Corner pooling in standard ONNX operators, for maps of up to ``LONGEST`` cells a side.

ONNX has no running maximum. A loop over rows (``Scan``) is slow on GPUs, and each of log2(n) doubling shifts reads the
whole map. Here rows are divided into blocks of ``BLOCK``. Maxima inside a block are one operator after another, for all
blocks at once. The maxima of the other blocks come from the same computation on a map of block maxima, with ``BLOCK``
times fewer rows. The work per cell hardly grows with the map.
"""

from __future__ import annotations

from typing import Any

from onnxscript import opset18

op: Any = opset18  # its annotations have only one kind of tensor
BLOCK, LEVELS = 16, 3
LONGEST = BLOCK**LEVELS


def corner_pool_onnx(x: Any, dim: int, reverse: bool) -> Any:
    """``model.corner_pool.corner_pool`` of a map without negative values, as after a ReLU."""
    if dim == 2:
        return _pool_rows(x, reverse, LEVELS)
    return op.Transpose(_pool_rows(op.Transpose(x, perm=[0, 1, 3, 2]), reverse, LEVELS), perm=[0, 1, 3, 2])


def _pool_rows(x: Any, reverse: bool, levels: int) -> Any:
    """Running maximum of (B, C, H, W) along axis 2, over at most ``BLOCK ** levels`` rows."""
    height, width = op.Shape(x, start=2, end=3), op.Shape(x, start=3)
    filled = op.Mul(op.Div(op.Add(height, _numbers(BLOCK - 1)), _numbers(BLOCK)), _numbers(BLOCK))
    padding = op.Concat(_numbers(*[0] * 6), op.Sub(filled, height), _numbers(0), axis=0)
    blocks = op.Reshape(op.Pad(x, padding), op.Concat(_numbers(0, 0, -1, BLOCK), width, axis=0))
    rows = list(op.Split(blocks, axis=3, num_outputs=BLOCK))  # each (B, C, blocks, 1, W)
    if reverse:
        rows.reverse()
    for i in range(1, BLOCK):
        rows[i] = op.Max(rows[i], rows[i - 1])
    block_maxima = rows[-1]
    if reverse:
        rows.reverse()
    pooled = op.Concat(*rows, axis=3)
    if levels > 1:
        others = _shift(op.Squeeze(block_maxima, _numbers(3)), reverse)
        pooled = op.Max(pooled, op.Unsqueeze(_pool_rows(others, reverse, levels - 1), _numbers(3)))
    return op.Slice(op.Reshape(pooled, op.Concat(_numbers(0, 0, -1), width, axis=0)), _numbers(0), height, _numbers(2))


def _shift(x: Any, reverse: bool) -> Any:
    """Each row replaced by the next row with ``reverse``, by the previous row without; 0 at the end."""
    padded = op.Pad(x, _numbers(0, 0, 0, 0, 0, 0, 1, 0) if reverse else _numbers(0, 0, 1, 0, 0, 0, 0, 0))
    start, end = (1, 2**62) if reverse else (0, -1)
    return op.Slice(padded, _numbers(start), _numbers(end), _numbers(2))


def _numbers(*values: int) -> Any:
    return op.Constant(value_ints=list(values))
