"""The box of a mask as Label Studio packs it."""

from __future__ import annotations

from typing import Any

import numpy as np

from cornernet.errors import InputError


def brush_box(packed: Any, height: int, width: int) -> list[float]:
    """The box x y width height of a mask's painted pixels, in pixels of the image.

    ``packed`` is a list of bytes, a sequence of bits: the number of values (32), their size less one (5), four sizes of
    lengths less one (4 each); then runs: whether one value is repeated (1), which size its length has (2), the length
    less one, and the value or values. The values are those of an image with 4 channels; the last one says what is
    painted. Raises ``InputError`` if it is no mask of an image of this size, or an empty one.
    """
    try:
        bits = _Bits(bytes(packed))
        count, size = bits.read(32), bits.read(5) + 1
        lengths = [bits.read(4) + 1 for _ in range(4)]
        if count != 4 * height * width:
            raise InputError(f"a brush region is not of an image of {height}x{width}", "", "export it again")
        values = np.zeros(count, np.uint8)
        done = 0
        while done < count:
            is_repeated = bits.read(1)
            end = done + 1 + bits.read(lengths[bits.read(2)])
            if is_repeated:
                values[done:end] = bits.read(size)
            else:
                values[done:end] = [bits.read(size) for _ in range(end - done)]
            done = end
    except (TypeError, ValueError) as error:
        raise InputError(f"a brush region cannot be unpacked ({error})", "", "export it again") from error
    painted = values.reshape(height, width, 4)[..., 3] > 0
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    x, y = int(columns[0]), int(rows[0])
    return [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]


class _Bits:
    """Reads numbers of some bits each, one after the other."""

    def __init__(self, content: bytes) -> None:
        self.bits, self.at = np.unpackbits(np.frombuffer(content, np.uint8)).tobytes(), 0

    def read(self, count: int) -> int:
        part = self.bits[self.at : self.at + count]
        if len(part) < count:
            raise ValueError("it ends too early")
        self.at += count
        number = 0
        for bit in part:
            number = 2 * number + bit
        return number
