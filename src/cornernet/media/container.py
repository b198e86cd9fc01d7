"""Whether a video file is whole, told by its container: what its outermost parts say of their own lengths."""

from __future__ import annotations

import os
from typing import BinaryIO

_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_UNFINISHED = 0xFFFFFFF0  # a RIFF that nobody finished has about this length, or 0


def missing_bytes(path: str) -> int:
    """How many bytes an MP4, MOV, 3GP, MKV, WebM, AVI or FLV file lacks at its end; 0 for others, which do not tell."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(12)
            file.seek(0)
            if head[4:8] in _MP4_FIRST:
                return max(0, _mp4_end(file, size) - size)
            if head[:4] == _EBML:
                return max(0, _matroska_end(file) - size)
            if head[:3] == b"FLV":
                return max(0, _flv_end(file, size) - size)
            if head[:4] == b"RIFF":
                length = int.from_bytes(head[4:8], "little")
                return max(0, 8 + length - size - 1) if 0 < length < _UNFINISHED else 0  # a byte may be padding
    except OSError:
        pass
    return 0


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last box ends."""
    position = 0
    while position + 8 <= size:
        file.seek(position)
        head = file.read(16)
        length, begin = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        if length < begin or not head[4:8].isascii():  # 0: to the end of the file; else no box
            return size
        position += length
    return position


def _flv_end(file: BinaryIO, size: int) -> int:
    """Where the last tag ends."""
    file.seek(5)
    position = int.from_bytes(file.read(4), "big") + 4
    while 9 < position + 11 <= size:
        file.seek(position + 1)
        position += 15 + int.from_bytes(file.read(3), "big")
    return position


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment ends, or 0 if it does not say, as in streams."""
    file.seek(4)
    file.seek(_vint(file) or 0, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length = _vint(file)
    return file.tell() + length if length is not None else 0


def _vint(file: BinaryIO) -> int | None:
    """A number of Matroska: its first bits say how many bytes it has; all ones stand for an unknown one."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value
