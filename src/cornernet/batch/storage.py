"""Files of this machine and of object stores, by their address: listed, read and written whole, with patience.

A fault of the network is never a fault of an image: what fails for such a reason is tried again, and after `PATIENCE`
seconds it raises ``Unreachable``.
"""

from __future__ import annotations

import io
import os
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from cornernet.errors import InputError
from cornernet.files import atomic_write
from cornernet.media.walk import is_junk

PATIENCE = 300.0  # seconds
PATIENCE_VARIABLE = "CORNERNET_STORAGE_PATIENCE"
SETTINGS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", PATIENCE_VARIABLE)
"""Environment variables that say where a store is; they hold no secret."""
_CONNECT, _ANSWER = 5.0, 20.0  # seconds to wait for a store
_LONGEST_PAUSE = 20.0
_FORBIDDEN = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "HTTP status 403", "Forbidden")
_ABSENT = ("NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND", "HTTP status 404")
_T = TypeVar("_T")


class Unreachable(Exception):
    """A store that did not answer well for `PATIENCE` seconds."""


class StoredFile(NamedTuple):
    """A file's address, and its size in bytes."""

    place: str
    size: int


class Storage(ABC):
    """Where files lie. Methods take whole addresses.

    They raise ``FileNotFoundError`` and ``PermissionError``, other ``OSError`` of this machine's disks, and
    ``Unreachable``.
    """

    @abstractmethod
    def kind(self, place: str) -> Literal["file", "folder", "absent"]:
        """What is there."""

    @abstractmethod
    def files(self, place: str) -> list[StoredFile]:
        """Every file below a folder, sorted by address; none if there is no such folder."""

    @abstractmethod
    def open(self, place: str) -> io.RawIOBase | io.BufferedIOBase:
        """The bytes of a file, to read in pieces from any position."""

    @abstractmethod
    def write(self, place: str, data: bytes) -> None:
        """Write a file, whole or not at all; folders are made."""

    @abstractmethod
    def remove(self, place: str) -> None:
        """Remove a file, if it is there."""


def is_remote(place: str) -> bool:
    """Whether it is an address of a store, not a path."""
    return "://" in place and not place.startswith("file://")


def inside(folder: str, name: str) -> str:
    """The address of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}"


def storage_of(place: str) -> Storage:
    """The storage of an address. Raises ``InputError`` for one of an unknown kind, or with a password in it."""
    if not is_remote(place):
        return _LOCAL
    scheme, _, rest = place.partition("://")
    if "@" in rest.partition("/")[0]:
        shown = f"{scheme}://***@{rest.partition('@')[2]}"
        raise InputError("has a key or a password in it", shown, "give them by the store's environment variables")
    return _remote(scheme.lower(), rest.partition("/")[0])


class _LocalStorage(Storage):
    def kind(self, place: str) -> Literal["file", "folder", "absent"]:
        path = _local_path(place)
        return "folder" if path.is_dir() else "file" if path.exists() else "absent"

    def files(self, place: str) -> list[StoredFile]:
        folder = _local_path(place)
        if not folder.is_dir():
            return []
        return [StoredFile(str(path), path.stat().st_size) for path in sorted(folder.rglob("*")) if path.is_file()]

    def open(self, place: str) -> io.BufferedIOBase:
        return open(_local_path(place), "rb")

    def write(self, place: str, data: bytes) -> None:
        atomic_write(_local_path(place), data)

    def remove(self, place: str) -> None:
        _local_path(place).unlink(missing_ok=True)


_LOCAL = _LocalStorage()


def _local_path(place: str) -> Path:
    return Path(place.removeprefix("file://")).expanduser()


class RemoteStorage(Storage):
    """A store that Arrow reads: its own file systems, and those of fsspec."""

    def __init__(self, scheme: str, filesystem: Any) -> None:
        self.prefix, self.filesystem = f"{scheme}://", filesystem

    def kind(self, place: str) -> Literal["file", "folder", "absent"]:
        from pyarrow.fs import FileType

        found = self._patiently(lambda: self.filesystem.get_file_info(self._path(place)), place).type
        return "file" if found == FileType.File else "folder" if found == FileType.Directory else "absent"

    def files(self, place: str) -> list[StoredFile]:
        from pyarrow.fs import FileSelector

        selector = FileSelector(self._path(place), allow_not_found=True, recursive=True)
        found = self._patiently(lambda: self.filesystem.get_file_info(selector), place)
        return sorted(StoredFile(self.prefix + info.path, info.size) for info in found if info.is_file)

    def open(self, place: str) -> io.RawIOBase:
        return _PatientFile(self, place)

    def write(self, place: str, data: bytes) -> None:
        """One stream, closed at the end: stores show an object only when it is whole."""

        def attempt() -> None:
            stream = self.filesystem.open_output_stream(self._path(place))
            stream.write(data)
            stream.close()

        self._patiently(attempt, place)

    def remove(self, place: str) -> None:
        with suppress(FileNotFoundError):
            self._patiently(lambda: self.filesystem.delete_file(self._path(place)), place)

    def opened(self, place: str) -> Any:
        """Arrow's file, opened once; for `_PatientFile`."""
        return self.filesystem.open_input_file(self._path(place))

    def _path(self, place: str) -> str:
        return place.removeprefix(self.prefix)

    def _patiently(self, action: Callable[[], _T], place: str) -> _T:
        return patiently(action, place)


class _PatientFile(io.RawIOBase):
    """A file of a store that is opened anew, at the same position, when its connection breaks."""

    def __init__(self, storage: RemoteStorage, place: str) -> None:
        self.storage, self.place, self.position = storage, place, 0
        self.file: Any = None
        self.length: int = patiently(lambda: self._fresh().size(), place)

    def _fresh(self) -> Any:
        if self.file is None:
            self.file = self.storage.opened(self.place)
        return self.file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.length}[whence]
        self.position = max(0, start + offset)
        return self.position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.length - self.position)
        if count <= 0:
            return 0
        data = patiently(lambda: self._read(count), self.place)
        view[: len(data)] = data
        self.position += len(data)
        return len(data)

    def _read(self, count: int) -> bytes:
        try:
            file = self._fresh()
            file.seek(self.position)
            data = file.read(count)
            if not data:
                raise OSError("the file ended early")
            return data
        except OSError:
            self.file = None  # the next attempt opens it anew
            raise


def patiently(action: Callable[[], _T], place: str) -> _T:
    """What ``action`` returns, tried again while it fails for reasons that pass.

    Raises ``FileNotFoundError`` and ``PermissionError`` at once, and ``Unreachable`` when patience is at its end.
    """
    end = time.monotonic() + float(os.environ.get(PATIENCE_VARIABLE) or PATIENCE)
    pause = 0.2
    while True:
        try:
            return action()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:  # what Arrow and fsspec raise for anything that a store answers
            said = " ".join(str(error).split())
            if any(word in said for word in _FORBIDDEN):
                raise PermissionError(said) from None
            if any(word in said for word in _ABSENT):
                raise FileNotFoundError(said) from None
            if time.monotonic() + pause > end:
                raise Unreachable(f"{place}: the store does not answer ({said[:200]})") from None
        time.sleep(pause * random.uniform(0.5, 1.0))
        pause = min(2 * pause, _LONGEST_PAUSE)


@lru_cache(maxsize=64)
def _remote(scheme: str, bucket: str) -> RemoteStorage:
    return RemoteStorage(scheme, _filesystem(scheme, bucket))


def _filesystem(scheme: str, bucket: str) -> Any:
    """Arrow's file system for addresses of this kind: its own for S3 and Google's, fsspec's for all others."""
    fs = _import_fs()
    if scheme == "s3":
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if not region and not endpoint:
            try:
                region = patiently(lambda: fs.resolve_s3_region(bucket), f"s3://{bucket}")
            except FileNotFoundError:
                raise InputError("no such bucket", f"s3://{bucket}", "check its name") from None
        settings: dict[str, Any] = {"region": region or "us-east-1"}
        if endpoint:
            kind, _, host = endpoint.partition("://")
            settings |= {"scheme": kind, "endpoint_override": host.rstrip("/")}
        settings |= {"connect_timeout": _CONNECT, "request_timeout": _ANSWER}
        return fs.S3FileSystem(allow_delayed_open=True, **settings)  # one request for a small file, not three
    if scheme in ("gs", "gcs"):
        return fs.GcsFileSystem()
    import fsspec

    try:
        return fs.PyFileSystem(fs.FSSpecHandler(fsspec.filesystem(scheme)))
    except ImportError as error:
        package = "'cornernet[hub]'" if scheme == "hf" else getattr(error, "name", None) or "the package it needs"
        raise InputError("needs another package", f"{scheme}://{bucket}", f"pip install {package}") from None
    except ValueError:
        what = "addresses of this kind cannot be read"
        raise InputError(what, f"{scheme}://{bucket}", "give a path, s3://, gs:// or hf://") from None


def _import_fs() -> Any:
    try:
        import pyarrow.fs
    except ImportError:
        raise InputError("pyarrow is not installed", "object stores", "pip install 'cornernet[ray]'") from None
    return pyarrow.fs


def is_hidden(place: str, folder: str) -> bool:
    """Whether a name below the folder is hidden, or a system's own."""
    return any(is_junk(part) for part in place.removeprefix(folder).split("/") if part)
