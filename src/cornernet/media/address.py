"""Addresses of images, videos and streams, and how they are shown: without what gives access to them."""

from __future__ import annotations

import re

_WEB = ("http://", "https://")
_STREAMS = ("rtsp://", "rtsps://", "rtmp://", "rtmps://", "udp://", "tcp://", "rtp://", "srt://")
_SECRET = re.compile(
    r"(?i)([?&;](?:\w*(?:user|usr|login|pass|pwd|token|secret|signature|credential|auth|key)\w*|sig)=)[^&;#]*"
)


def is_web(place: str) -> bool:
    """Whether it is an ``http(s)://`` address."""
    return place.lower().startswith(_WEB)


def is_address(place: str) -> bool:
    """Whether it is an address of the web or of a stream."""
    return place.lower().startswith(_WEB + _STREAMS)


def shown(place: str) -> str:
    """The address without user, password and keys; other places as they are."""
    if not is_address(place):
        return place
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    if ":" in host and "@" in path and not host.rpartition(":")[2].isdecimal():  # a password with a slash in it
        host, slash, path = path.rpartition("@")[2].partition("/")
    return _SECRET.sub(r"\1***", f"{scheme}://{host.rpartition('@')[2]}{slash}{path}")
