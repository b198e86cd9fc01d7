"""What the header of an MP4 or MOV file says of its video that OpenCV does not: what is cut off, and mirroring.

Phones trim a video by an edit list: all packets stay in the file, and players leave out those outside the list.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

_LARGEST = 2**26  # bytes of a header
_NESTED = (b"edts", b"mdia", b"minf", b"stbl")
_BOX, _EMPTY = 8, -1  # bytes before a box's content; the media time of a pause before the video


class Mp4Track(NamedTuple):
    """``first`` is the time of the first packet in seconds, below 0 if it is cut off; from ``end`` on all are.

    ``is_known`` is false if several parts are put together, or played at another speed. ``is_mirrored`` says whether
    the picture is to be mirrored top to bottom before it is turned.
    """

    first: float = 0.0
    end: float = float("inf")
    is_known: bool = True
    is_mirrored: bool = False


def mp4_track(path: str) -> Mp4Track:
    """Of the first video in a file; of other kinds of files and damaged ones the usual values."""
    try:
        with open(path, "rb") as file:
            header = _header(file)
        movie = dict(_boxes(header))
        for name, content in _boxes(header):
            if name == b"trak" and (parts := _parts(content)).get(b"hdlr", b"")[8:12] == b"vide":
                return _track(parts, movie.get(b"mvhd", b""))
    except (OSError, RecursionError, struct.error):  # also boxes in boxes without end
        pass
    return Mp4Track()


def _header(file: BinaryIO) -> bytes:
    """The content of the box ``moov``; empty if there is none."""
    size, position = os.fstat(file.fileno()).st_size, 0
    while position + _BOX <= size:
        file.seek(position)
        head = file.read(16)
        length, begin = int.from_bytes(head[:4]), _BOX
        if length == 1:
            length, begin = int.from_bytes(head[8:]), 16
        if length < begin:
            break
        if head[4:8] == b"moov" and length <= _LARGEST:
            file.seek(position + begin)
            return file.read(length - begin)
        position += length
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + _BOX <= len(content):
        length = int.from_bytes(content[position : position + 4])
        if length < _BOX:
            return
        yield content[position + 4 : position + _BOX], content[position + _BOX : position + length]
        position += length


def _parts(content: bytes) -> dict[bytes, bytes]:
    """The boxes of a track by name, also those inside others; of each name the first."""
    parts: dict[bytes, bytes] = {}
    for name, inner in _boxes(content):
        for key, value in _parts(inner).items() if name in _NESTED else [(name, inner)]:
            parts.setdefault(key, value)
    return parts


def _track(parts: dict[bytes, bytes], movie_header: bytes) -> Mp4Track:
    header = parts.get(b"tkhd", b"")
    a, b, _, c, d = struct.unpack_from(">5i", header, 52 if header[:1] == b"\1" else 40)
    is_mirrored = a * d - b * c < 0
    edits = list(_edits(parts.get(b"elst", b"")))
    shown = [edit for edit in edits if edit[1] != _EMPTY]
    if len(shown) > 1 or any(rate != 1 for *_, rate in shown):
        return Mp4Track(is_known=False, is_mirrored=is_mirrored)
    if not shown:
        return Mp4Track(is_mirrored=is_mirrored)
    ((duration, begin, _),) = shown
    offsets = parts.get(b"ctts", b"")
    delay = struct.unpack_from(">i", offsets, 12)[0] if len(offsets) >= 16 else 0  # of the first packet
    unit, movie_unit = _unit(parts.get(b"mdhd", b"")), _unit(movie_header)
    end = duration / movie_unit if duration else float("inf")  # 0 in files that are sent while they are made
    return Mp4Track((delay - begin) / unit, end, is_mirrored=is_mirrored)


def _edits(content: bytes) -> Iterator[tuple[int, int, int]]:
    """The duration in the movie's units, the media time in the track's, and the speed of each part."""
    if len(content) < _BOX:
        return
    form = struct.Struct(">Qqhh" if content[0] else ">Iihh")
    for i in range(int.from_bytes(content[4:8])):
        duration, begin, rate, _ = form.unpack_from(content, _BOX + i * form.size)
        yield duration, begin, rate


def _unit(header: bytes) -> int:
    """Units a second, of ``mdhd`` or ``mvhd``."""
    (unit,) = struct.unpack_from(">I", header, 20 if header[:1] == b"\1" else 12)
    return unit or 1
