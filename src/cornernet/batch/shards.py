"""Images in tar files, as WebDataset writes them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any

from cornernet.batch.storage import storage_of
from cornernet.errors import InputError
from cornernet.media.walk import IMAGE_SUFFIXES, is_junk

SHARD_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_LARGEST = 2**28  # bytes of one image


def read_shard_images(place: str, shown: str) -> Iterator[tuple[str, bytes | InputError]]:
    """Name (``shown/MEMBER``) and bytes of every image of a tar file, in its order; nothing is unpacked to disk.

    The end of a damaged file becomes one error, with the file's name. Raises as ``Storage.open``.
    """
    with storage_of(place).open(place) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|*") as shard:
                for member in shard:
                    name = member.name.removeprefix("./")
                    if not member.isfile() or not _is_image(name):
                        continue
                    where = f"{shown}/{name}"
                    if member.size > _LARGEST:
                        yield where, InputError(f"more than {_LARGEST >> 20} MiB", where, "leave it out")
                        continue
                    yield where, _content(shard, member)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            yield shown, InputError(f"truncated or damaged ({reason})", shown, "copy or write it again")


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_junk(name.rpartition("/")[2])


def _content(shard: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file: Any = shard.extractfile(member)
    data = file.read()
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    return data
