"""The images of a part, read ahead by threads while the network is busy."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from cornernet.batch.listing import PlannedItem, absolute
from cornernet.batch.parquet_images import read_parquet_images
from cornernet.batch.shards import read_shard_images
from cornernet.batch.storage import is_remote, storage_of
from cornernet.errors import InputError
from cornernet.media.address import is_web, shown
from cornernet.media.download import download
from cornernet.media.images import FilePicture, read_image, read_pictures
from cornernet.media.opening import as_one_line
from cornernet.media.prefetch import ahead
from cornernet.media.sources import Frame

_FETCHING = 8  # threads that wait for a store
_LARGEST = 2**28  # bytes of one image
_PAUSES = (1.0, 3.0)  # seconds between attempts at an address of the web
_FINAL = ("answers 401", "answers 403", "answers 404", "answers 410", "a web page")


class EncodedImage(NamedTuple):
    """An image's name, and its path, its bytes or its error; the (height, width) that a label file gives."""

    name: str
    data: str | bytes | InputError
    size: tuple[int, int] | None = None


def read_part_frames(
    items: Sequence[PlannedItem], base: str, column: str | None = None, threads: int = 1
) -> Iterator[Frame]:
    """A frame for each image of a part, in order; one that cannot be read becomes a frame with its error.

    ``base`` is the folder that paths start from, ``threads`` decode images. Raises ``Unreachable`` if the network
    fails.
    """
    images = encoded_images(items, base, column)
    for image, pictures in ahead(_decode, images, workers=threads, depth=threads + 1):
        yield from _frames(image, pictures)


def frames_of(image: EncodedImage) -> Iterator[Frame]:
    """The frames of one image, read now."""
    yield from _frames(*_decode(image))


def _frames(image: EncodedImage, pictures: Iterable[FilePicture] | InputError) -> Iterator[Frame]:
    if isinstance(pictures, InputError):
        yield Frame(image.name, "", pictures)
        return
    for index, picture in enumerate(pictures):
        yield Frame(image.name, "", picture.pixels, index=index if picture.total > 1 else None)


def encoded_images(items: Sequence[PlannedItem], base: str, column: str | None) -> Iterator[EncodedImage]:
    """Every image of a part, in order, not yet decoded. Raises ``Unreachable``."""
    if all(item.kind == "image" for item in items):
        workers = _FETCHING if any(is_remote(item.place) for item in items) else 1
        yield from ahead(lambda item: _fetch(item, base), items, workers=workers, depth=2 * workers)
        return
    for item in items:
        place = absolute(item.place, base)
        try:
            found: Iterable[tuple[str, bytes | InputError]] = (
                read_shard_images(place, item.place)
                if item.kind == "shard"
                else read_parquet_images(place, item.place, item.first or 0, item.last or 0, column)
            )
            for name, data in found:
                yield EncodedImage(name, data)
        except InputError as error:
            yield EncodedImage(item.place, error)
        except OSError as error:
            yield EncodedImage(item.place, _refused(item.place, error))


def _fetch(item: PlannedItem, base: str) -> EncodedImage:
    """An image file's path, or its bytes where it has none on this machine."""
    size = None if item.height is None or item.width is None else (item.height, item.width)
    name, place = shown(item.place), absolute(item.place, base)
    if item.error is not None:
        return EncodedImage(name, InputError(item.error))
    if not is_remote(place):
        return EncodedImage(name, place, size)
    try:
        return EncodedImage(name, _from_web(place) if is_web(place) else _from_store(place), size)
    except InputError as error:
        return EncodedImage(name, error)
    except OSError as error:
        return EncodedImage(name, _refused(name, error))


def _from_store(place: str) -> bytes:
    with storage_of(place).open(place) as stream:
        data = stream.read(_LARGEST + 1)
        while len(data) <= _LARGEST and (more := stream.read(_LARGEST + 1 - len(data))):  # raw reads may be short
            data += more
    if len(data) > _LARGEST:
        raise InputError(f"more than {_LARGEST >> 20} MiB", place, "download it and give the file")
    return data


def _from_web(place: str) -> bytes:
    for pause in _PAUSES:
        try:
            return _image_of_web(place)
        except InputError as error:
            if any(word in error.what for word in _FINAL):
                raise
        time.sleep(pause)
    return _image_of_web(place)


def _image_of_web(place: str) -> bytes:
    data = download(place)
    if data[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InputError("a web page, not an image", shown(place), "give the address of the image itself")
    return data


def _decode(image: EncodedImage) -> tuple[EncodedImage, Iterable[FilePicture] | InputError]:
    """An image's pictures; those after the first are decoded when they are asked for."""
    try:
        if isinstance(image.data, InputError):
            raise image.data
        if image.size is not None:
            return image, [FilePicture(read_image(image.data, name=image.name, size=image.size), 1)]
        pictures = read_pictures(image.data, name=image.name)
        return image, chain([next(pictures)], pictures)
    except InputError as error:
        return image, error
    except Exception as error:  # a job does not end for one image
        return image, InputError(f"cannot be read ({type(error).__name__}: {as_one_line(error)})", image.name)


def _refused(name: str, error: OSError) -> InputError:
    """The error of a file that its storage does not give, in the words that are used for files of this machine."""
    if isinstance(error, FileNotFoundError):
        return InputError("no such file", name, "check the path")
    if isinstance(error, PermissionError):
        return InputError("no permission to read it", name, "change the file's permissions")
    return InputError(f"cannot be read ({' '.join(str(error).split())})", name)
