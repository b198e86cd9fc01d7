"""Downloads of weights files: they go on where they ended, and are kept in the cache."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from cornernet.errors import InputError
from cornernet.files import cache_folder, make_folder

_CHUNK = 1 << 20
_ATTEMPTS = 5  # in a row without a new byte

Progress = Callable[[int, int], None]


def is_weights_address(name: str) -> bool:
    """Whether it is the address of a file."""
    return name.lower().startswith(("https://", "http://"))


def fetch_address(address: str, progress: Progress | None = None) -> Path:
    """The file at an address, in the cache; its SHA-256 is printed when it is fetched.

    ``#sha256=HEX`` at the end of the address, or the beginning of HEX, makes sure of the content. Raises ``InputError``
    if it cannot be fetched, is another file, or if $HF_HUB_OFFLINE is set and it is not in the cache.
    """
    url, fragment = urldefrag(address)
    expected = fragment.removeprefix("sha256=").lower() if fragment.startswith("sha256=") else ""
    if expected and not re.fullmatch("[0-9a-f]{8,64}", expected):
        raise InputError("give 8 to 64 hexadecimal digits", f"#sha256={expected}", "or leave it out")
    name = Path(unquote(urlsplit(url).path)).name or "weights"
    target = cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"
    if not target.is_file():
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise InputError("not in the cache, and HF_HUB_OFFLINE is set", url, f"put the file at {target}")
        make_folder(target.parent)
        part = target.with_name(f"{target.name}.part")
        try:
            download_file(url, part, progress or (lambda done, total: None))
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise InputError(
                f"cannot be fetched ({reason})", url, f"fetch it by other means and put it at {target}"
            ) from None
        found = sha256(part)
        if not found.startswith(expected):
            part.unlink()
            raise InputError(f"is another file: its SHA-256 is {found}", address, "see where the address is from")
        part.replace(target)
        print(f"{name}: SHA-256 {found}, kept as {target}", file=sys.stderr)
    elif expected and not (found := sha256(target)).startswith(expected):
        raise InputError(f"in the cache is another file: its SHA-256 is {found}", address, f"remove {target}")
    return target


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download_file(url: str, part: Path, progress: Progress) -> None:
    """Append the rest of ``url`` to ``part``; raise the error after ``_ATTEMPTS`` without progress."""
    failures = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _append(url, part, before, progress):
                return
            problem: Exception = ConnectionError("the connection ends before the file does")
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # no bytes after these
                return
            if error.code < 500:
                raise
            problem = error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            problem = error
        now = part.stat().st_size if part.exists() else 0
        failures = 0 if now > before else failures + 1
        if failures == _ATTEMPTS or (failures and isinstance(problem, urllib.error.URLError)):
            raise problem


def _append(url: str, part: Path, start: int, progress: Progress) -> bool:
    """One request; returns whether the file has the length that the server says."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        resumed = answer.status == 206
        start = start if resumed else 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else 0
        with part.open("ab" if resumed else "wb") as file:
            done = start
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, max(total, done))
    return done >= total
