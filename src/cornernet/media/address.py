"""Addresses of images, videos and streams, and how they are shown: without what gives access to them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_WEB = ("http://", "https://")
_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "rtmps://", "udp://", "tcp://", "rtp://", "srt://")
_PLAYLISTS = (".m3u8", ".mpd")
_SECRET = re.compile(
    r"(?i)([?&;](?:\w*(?:user|usr|login|pass|pwd|token|secret|signature|credential|auth|key)\w*|sig)=)[^&;#]*"
)


def is_web(place: str) -> bool:
    """Whether it is an ``http(s)://`` address."""
    return place.lower().startswith(_WEB)


def is_address(place: str) -> bool:
    """Whether it is an address of the web or of a stream."""
    return place.lower().startswith(_WEB + _STREAMS)


def is_video_address(place: str, suffixes: tuple[str, ...]) -> bool:
    """Whether it is a stream's address, or one of the web whose path ends like a video's or a playlist's."""
    if is_web(place):
        return urlsplit(place).path.lower().endswith(suffixes + _PLAYLISTS)
    return is_address(place)


def shown(place: str) -> str:
    """The address without user, password and keys; other places as they are."""
    if not is_address(place):
        return place
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    while "@" in path.split("?")[0].split("/")[0]:  # a password may have a slash in it
        more, slash, path = path.partition("/")
        host += more
    return _SECRET.sub(r"\1***", f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")
