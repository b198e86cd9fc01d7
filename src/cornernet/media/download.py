"""An image's bytes from the web, with limits of time, size and number of redirects."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.parse import unquote, urlsplit

from cornernet.errors import InputError
from cornernet.media.address import shown

_LARGEST = 2**28  # bytes
_CHUNK = 2**16
_REDIRECTS = 5


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS
    max_repeats = 2

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.lower().startswith(("http://", "https://")):
            return None  # such as ftp, which the base class follows
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def announced(url: str, *, seconds: float = 10.0) -> tuple[str, int | None]:
    """The type of content that a server names for an address, and its length if it has one; ``""`` if it fails."""
    try:
        with urllib.request.build_opener(_Redirects).open(_request(url), timeout=seconds) as answer:
            return answer.headers.get_content_type(), answer.length
    except (OSError, http.client.HTTPException, ValueError):
        return "", None


def _request(url: str) -> urllib.request.Request:
    """A request; a user and a password in the address become a header."""
    headers = {"User-Agent": "cornernet", "Accept": "image/*,*/*;q=0.5"}
    parts = urlsplit(url)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return urllib.request.Request(url, headers=headers)


def download(url: str, *, seconds: float = 30.0) -> bytes:
    """The content of an ``http(s)://`` address. Raises ``InputError`` if that fails.

    The server may be silent for ``seconds`` and take twice as long for all bytes. Redirects and size have limits too.
    """
    end = time.monotonic() + 2 * seconds
    where = shown(url)
    try:
        with urllib.request.build_opener(_Redirects).open(_request(url), timeout=seconds) as answer:
            data = bytearray()
            while chunk := answer.read1(_CHUNK):  # in small pieces, so that a slow server meets the time limit
                data += chunk
                if len(data) > _LARGEST:
                    raise InputError(f"more than {_LARGEST >> 20} MiB", where, "download it and give the file")
                if time.monotonic() > end:
                    raise TimeoutError
            missing = answer.length  # bytes that were announced and did not come
    except TimeoutError:
        raise InputError("no whole answer in time", where, "try again, or download it and give the file") from None
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (301, 302, 303, 307, 308):
            what = f"redirected more than {_REDIRECTS} times, or to what is no web address"
            raise InputError(what, where, "give the image's own address") from None
        raise InputError(f"the server answers {error.code} {error.reason}", where, "check the address") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise InputError(f"no answer within {seconds:g} s", where, "try again, or check the address") from None
        raise InputError(f"cannot be fetched ({reason})", where, "check the address and the network") from None
    if missing:
        raise InputError(f"the connection ended {missing} bytes early", where, "try again")
    return bytes(data)
