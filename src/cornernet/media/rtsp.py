"""Why a stream's server gives no video: OpenCV does not tell."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

_PORT = 554
_LONGEST = 4096  # bytes of an answer that are looked at


def why_refused(address: str, *, seconds: float = 5.0) -> str:
    """What the server of an ``rtsp://`` address answers when asked about it; "" if it would give it, or says nothing.

    It is asked without user and password: what it says to them is not known.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port or _PORT
    except ValueError:
        return "no address of a stream: special letters in a user or password are written as in %40 for @"
    plain = f"rtsp://{parts.netloc.rpartition('@')[2]}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    question = f"DESCRIBE {plain} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\nUser-Agent: cornernet\r\n\r\n"
    try:
        with socket.create_connection((host, port), seconds) as connection:
            connection.sendall(question.encode())
            answer = connection.recv(_LONGEST).decode("latin-1")
    except ConnectionRefusedError:
        return f"no server answers at port {port}"
    except socket.gaierror:
        return f"there is no host {host}"
    except (OSError, UnicodeError):
        return ""
    version, _, rest = answer.partition("\r\n")[0].partition(" ")
    code, _, reason = rest.partition(" ")
    if not version.startswith("RTSP/") or code == "200":
        return ""
    if code == "401":
        if parts.username is None:
            return "the server wants a user and a password (rtsp://USER:PASSWORD@...)"
        return "the server refuses this user and password, or has no such stream"
    return f"the server answers {code} {reason}".strip()
