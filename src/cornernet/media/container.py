"""Whether a video file is whole, told by its container: what its parts say of their own kinds and lengths."""

from __future__ import annotations

import os
import re
from typing import BinaryIO

import numpy as np

_MP4_FIRST = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ELEMENTS = {  # of Matroska: those that hold clusters or blocks, and what lies beside these
    *map(
        bytes.fromhex, ("114d9b74", "1549a966", "1654ae6b", "1c53bb6b", "1043a770", "1941a469", "1254c367", "1b538667")
    ),
    *map(bytes.fromhex, ("ec", "bf", "e7", "a7", "ab", "a3", "a0", "5854", "af")),
}
_CLUSTER = b"\x1f\x43\xb6\x75"
_FOUR_LETTERS = re.compile(rb"[ -~]{4}")
_FLV_TAGS = (8, 9, 18)
_PACK, _PS_END = b"\0\0\1\xba", 0xB9
_SYNC, _PACKET, _AT_ONCE = 0x47, 188, 2**16
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


def damaged_at(path: str) -> int | None:
    """The byte of an MKV, WebM, AVI, FLV or MPEG file (.ts, .mpg) from which on its parts do not follow each other.

    ``None`` if all do, and for other files: an MP4 has a list of its frames, so none of them is overlooked.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(2 * _PACKET + 8)
            if head[:4] == _EBML:
                return _matroska_damage(file, size)
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return _avi_damage(file, size)
            if head[:3] == b"FLV":
                return _flv_damage(file, size)
            if head[:4] == _PACK:
                return _ps_damage(file, size)
            for length, first in ((_PACKET, 0), (_PACKET + 4, 4)):  # the second one has a time before each packet
                if head[first::length][:2] == bytes([_SYNC, _SYNC]):
                    return _ts_damage(file, size, length, first)
    except OSError:
        pass
    return None


def _matroska_damage(file: BinaryIO, size: int) -> int | None:
    position = 0
    while position < size:
        file.seek(position)
        first = file.read(1)
        name = first + file.read(8 - first[0].bit_length()) if first[0] else first
        length = _vint(file)
        if name in (_SEGMENT, _CLUSTER):
            position = file.tell()
        elif name in _ELEMENTS or name == _EBML:
            if length is None or file.tell() + length > size:
                return position
            position = file.tell() + length
        else:
            return position
    return None


def _avi_damage(file: BinaryIO, size: int) -> int | None:
    """Each list of frames, ``movi``, is looked into."""
    position = 0
    while position + 12 <= size:
        file.seek(position)
        head = file.read(12)
        length = int.from_bytes(head[4:8], "little")
        if not _FOUR_LETTERS.fullmatch(head[:4]):
            return position
        if head[:4] == b"RIFF" or (head[:4] == b"LIST" and head[8:] in (b"movi", b"rec ")):
            position += 12
            continue
        if position + 8 + length > size:
            return None if not 0 < length < _UNFINISHED else position
        position += 8 + length + length % 2
    return None


def _flv_damage(file: BinaryIO, size: int) -> int | None:
    end = _flv_tags(file, size)
    return end if end + 11 <= size else None


def _ps_damage(file: BinaryIO, size: int) -> int | None:
    """Of a .mpg or .vob: packs, each with packets that begin with their length."""
    position = 0
    while position + 14 <= size:
        file.seek(position)
        head = file.read(14)
        if head[:3] != _PACK[:3] or head[3] < _PS_END:
            return position
        if head[3] == _PACK[3]:
            position += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12  # MPEG-2 or MPEG-1
        else:
            position += 4 if head[3] == _PS_END else 6 + int.from_bytes(head[4:6], "big")
    return None


def _ts_damage(file: BinaryIO, size: int, length: int, first: int) -> int | None:
    for begin in range(0, size // length, _AT_ONCE):
        file.seek(begin * length)
        count = min(_AT_ONCE, size // length - begin)
        wrong = np.frombuffer(file.read(count * length), np.uint8)[first::length] != _SYNC
        if wrong.any():
            return (begin + int(wrong.argmax())) * length
    return None


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
    end = _flv_tags(file, size)
    return end if end > size else size


def _flv_tags(file: BinaryIO, size: int) -> int:
    """Where the tags that follow each other end."""
    file.seek(5)
    position = int.from_bytes(file.read(4), "big") + 4
    while 9 < position + 11 <= size:
        file.seek(position)
        head = file.read(11)
        if head[0] & 0x1F not in _FLV_TAGS or any(head[8:]):  # the number of the stream is always 0
            break
        position += 15 + int.from_bytes(head[1:4], "big")
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
