"""An image's bytes from the web, with limits of time, size and number of redirects."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from typing import Any

from cornernet.errors import InputError

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


def download(url: str, *, seconds: float = 30.0) -> bytes:
    """The content of an ``http(s)://`` address. Raises ``InputError`` if that fails.

    The server may be silent for ``seconds`` and take twice as long for all bytes. Redirects and size have limits too.
    """
    end = time.monotonic() + 2 * seconds
    request = urllib.request.Request(url, headers={"User-Agent": "cornernet", "Accept": "image/*,*/*;q=0.5"})
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=seconds) as answer:
            data = bytearray()
            while chunk := answer.read1(_CHUNK):  # in small pieces, so that a slow server meets the time limit
                data += chunk
                if len(data) > _LARGEST:
                    raise InputError(f"more than {_LARGEST >> 20} MiB", url, "download it and give the file")
                if time.monotonic() > end:
                    raise TimeoutError
            missing = answer.length  # bytes that were announced and did not come
    except TimeoutError:
        raise InputError("no whole answer in time", url, "try again, or download it and give the file") from None
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (301, 302, 303, 307, 308):
            what = f"redirected more than {_REDIRECTS} times, or to what is no web address"
            raise InputError(what, url, "give the image's own address") from None
        raise InputError(f"the server answers {error.code} {error.reason}", url, "check the address") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise InputError(f"no answer within {seconds:g} s", url, "try again, or check the address") from None
        raise InputError(f"cannot be fetched ({reason})", url, "check the address and the network") from None
    if missing:
        raise InputError(f"the connection ended {missing} bytes early", url, "try again")
    return bytes(data)
