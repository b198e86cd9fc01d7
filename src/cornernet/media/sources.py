"""Frames from image files, folders, archives, globs, lists, addresses, videos, cameras, streams and standard input.

Frames are read shortly before they are needed and are not kept: a long video needs the memory of a few frames.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, takewhile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cornernet.errors import InputError
from cornernet.media.address import is_address, shown
from cornernet.media.animation import Animation, is_animation
from cornernet.media.archive import is_called_archive, unpack
from cornernet.media.download import download
from cornernet.media.images import FilePicture, Pixels, image_size, read_pictures
from cornernet.media.lists import is_list, read_list
from cornernet.media.opening import has_heif
from cornernet.media.prefetch import ahead
from cornernet.media.video import VIDEO_SUFFIXES, Video, VideoFrame, is_video_address
from cornernet.media.walk import HEIF_SUFFIXES, IMAGE_SUFFIXES, PassedOver, find_images, is_heif, read_head

CAMERA = "camera:"
STDIN = "-"
_LARGEST = 2**28  # bytes of one image on standard input
LONGEST_NAME = 60  # characters of up to 4 bytes each: file systems take 255 bytes


@dataclass(frozen=True)
class Frame:
    """One image of a source.

    ``source`` is what the user gave (a path, an address without its password); ``name`` is unique among the sources of
    one call. ``pixels`` are (H, W, 3) RGB, or the error if they cannot be read. ``video``, and ``seconds`` since the
    first frame, are given for frames of a video, a camera, a stream or an animation; ``index``, counted from 0, for
    these and for the pages of a file that holds several. ``duration`` is how long an animation shows a frame.
    """

    source: str
    name: str
    pixels: Pixels | InputError
    video: Video | Animation | None = None
    index: int | None = None
    seconds: float | None = None
    duration: float | None = None

    @property
    def stem(self) -> str:
        """The name of files about this frame; frames and pages are numbered files in a folder ``name``."""
        return self.name if self.index is None else f"{self.name}/{self.index:06d}"


@dataclass(frozen=True)
class Source:
    """One image, video, camera or stream, or the error if it cannot be opened; ``name`` is unique among the sources.

    ``place`` is what the user gave, which may have a password in it; ``shown`` is for people and files.
    """

    place: str
    name: str
    video: Video | None = None
    error: InputError | None = None

    @property
    def shown(self) -> str:
        return shown(self.place)

    @property
    def may_move(self) -> bool:
        """Whether it has frames in time, or may have some: the web and standard input are not read to see that."""
        return self.video is not None or (not self.error and (_is_direct(self.place) or is_animation(self.place)))

    @property
    def length(self) -> int | None:
        """Its number of frames, 1 for an image file; ``None`` if unknown."""
        return self.video.length if self.video else 1


def _ignore(_: str) -> None:
    pass


def find_sources(places: Sequence[str], tell: Callable[[str], None] = _ignore) -> list[Source]:
    """The sources at ``places``, in that order; ``tell`` is called with a line about what was passed over in them.

    A place is a file; a folder (searched with its subfolders), a zip or tar, or a glob of images and videos; a text
    file with a place on each line; an ``http(s)://`` address of an image or a video; a stream's (``rtsp://`` ...); a
    camera, ``camera:0`` or ``0``; or ``-``, one image's bytes on standard input. Videos are opened for a moment; one
    that cannot be opened, or a line of a list that names no file, becomes a source with its error. Raises
    ``InputError`` if a place has no image.
    """
    taken: set[str] = set()
    return [_source(place, error, taken) for place, error in find_places(places, tell).items()]


def find_places(
    places: Sequence[str], tell: Callable[[str], None] = _ignore, also: tuple[str, ...] = ()
) -> dict[str, InputError | None]:
    """Where each source is, as `find_sources` has them, with the error of a line that names no file; none is opened.

    In folders, files with the endings ``also`` are found too.
    """
    if not places:
        raise InputError("no images given", fix="name files, folders, globs, addresses, camera:0 or - (standard input)")
    found: dict[str, InputError | None] = {}
    for place in places:
        for each, error in _listed(place, tell, also):
            found.setdefault(each, error)
    seen: dict[str, tuple[str, InputError | None]] = {}  # two spellings of a path are one file
    for place, error in found.items():
        seen.setdefault(place if _is_direct(place) else os.path.realpath(place), (place, error))
    return dict(seen.values())


def _listed(place: str, tell: Callable[[str], None], also: tuple[str, ...]) -> Iterator[tuple[str, InputError | None]]:
    """The files that a place stands for; those of a list each on its own, so that an error stops none of the others."""
    if not is_list(place):
        yield from ((each, None) for each in _expanded(place, tell, also))
        return
    for line in read_list(place):
        try:
            yield from ((each, None) for each in _expanded(line, tell, also))
        except InputError as error:
            yield line, InputError(f"{error.what} (named in {place})", error.where, error.fix)


def _source(place: str, error: InputError | None, taken: set[str]) -> Source:
    video = None
    try:
        video = None if error else _video(place)
    except InputError as caught:  # the other sources are still read
        error = caught
    return Source(place, free_name(_stem(place), taken), video, error)


def _video(place: str) -> Video | None:
    """The video, camera or stream there, ``None`` for an image; a file with an unknown ending is tried as both."""
    if (number := _camera_number(place)) is not None:
        return Video(number, place)
    if place == STDIN or (is_address(place) and not is_video_address(place)):
        return None
    if is_address(place) or place.lower().endswith(VIDEO_SUFFIXES):
        return Video(place, shown(place))
    if place.lower().endswith(IMAGE_SUFFIXES):
        return None
    try:
        image_size(place)
    except InputError:  # the image's error is told if it is no video either
        try:
            return Video(place, place)
        except InputError:
            pass
    return None


def total_frames(sources: Sequence[Source], every: int = 1) -> int | None:
    """The number of frames that `read_frames` gives; ``None`` if one source's is unknown, such as a camera's."""
    lengths = [source.length for source in sources]
    return None if None in lengths else sum(math.ceil(length / every) for length in lengths if length)


def read_frames(sources: Sequence[Source], depth: int, every: int = 1) -> Iterator[Frame]:
    """The frames of all sources, in order; threads read at most ``depth`` of them ahead.

    Videos, animations, cameras and streams give the first of ``every`` so many frames. An image that cannot be read
    becomes a frame with its error. A file with several pictures gives one frame each, by its ``index``. A video that
    ends too early gives one more frame, with an error that says so.
    """
    images: list[Source] = []
    for source in sources:
        if source.video is None:
            images.append(source)
            continue
        yield from _read_images(images, depth, every)
        images = []
        yield from _read_video(source, source.video, depth, every)
    yield from _read_images(images, depth, every)


def _read_images(sources: Sequence[Source], depth: int, every: int) -> Iterator[Frame]:
    for source, pictures, data in ahead(_read_image, sources, depth=depth):
        if isinstance(pictures, InputError):
            yield Frame(source.shown, source.name, pictures)
            continue
        seconds, animation = 0.0, Animation(data)
        for index, picture in enumerate(pictures):
            if picture.seconds is not None:
                if index % every == 0 or isinstance(picture.pixels, InputError):
                    yield Frame(source.shown, source.name, picture.pixels, animation, index, seconds, picture.seconds)
                seconds += picture.seconds
            else:
                yield Frame(source.shown, source.name, picture.pixels, index=index if picture.total > 1 else None)


def _read_image(source: Source) -> tuple[Source, Iterator[FilePicture] | InputError, str | bytes]:
    """The pictures of a file, or the error of the first; the others are read when they are asked for."""
    try:
        if source.error:
            raise source.error
        data, name = _content(source.place)
        pictures = read_pictures(data, name=name)
        return source, chain([next(pictures)], pictures), data
    except InputError as error:
        return source, error, b""


def _read_video(source: Source, video: Video, depth: int, every: int) -> Iterator[Frame]:
    frames = video.frames(every)
    # One thread, because frames have an order; requests after the last frame get `None`.
    read = ahead(lambda _: next(frames, None), repeat(None), workers=1, depth=depth, stop=video.stop)
    found: VideoFrame | InputError
    index = -1
    for found in takewhile(lambda found: found is not None, read):
        seconds, pixels, index = (None, found, index + 1) if isinstance(found, InputError) else found
        yield Frame(source.shown, source.name, pixels, video, index, seconds)


def _content(place: str) -> tuple[str | bytes, str]:
    """An image's path, or its bytes; and its name in errors."""
    if place != STDIN and not is_address(place):
        return place, place
    data, name = (_standard_input(), "standard input") if place == STDIN else (download(place), shown(place))
    if data[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise InputError("a web page, not an image", name, "give the address of the image itself")
    return data, name


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read(_LARGEST + 1)
    if not data:
        raise InputError("nothing came", "standard input", "pipe an image's bytes into it, as in `... - < photo.jpg`")
    if len(data) > _LARGEST:
        raise InputError(f"more than {_LARGEST >> 20} MiB", "standard input", "give the image as a file")
    return data


def _expanded(place: str, tell: Callable[[str], None], also: tuple[str, ...]) -> list[str]:
    """Every image and video file there, each once also if links lead to it; other kinds of places as they are."""
    if _is_direct(place):
        return [place]
    if "://" in place:
        raise InputError("addresses of this kind cannot be read", place, "give http(s)://, rtsp://, or a file")
    if is_called_archive(Path(place)) and not place.lower().endswith(also):
        return _expanded_archive(place, tell, also)
    passed, repeated = PassedOver(), 0
    paths = find_images([place], IMAGE_SUFFIXES + VIDEO_SUFFIXES + also, passed)
    if not os.path.isfile(place):
        for path in filter(_is_typescript, paths):
            passed.add(path)
        paths = [path for path in paths if not _is_typescript(path)]
        if not has_heif():
            lacking = {path for path in paths if path.suffix.lower() in HEIF_SUFFIXES and is_heif(read_head(path))}
            paths = [path for path in paths if path not in lacking]
            if lacking and not paths:
                what = f"no image there that can be read, only {len(lacking)} HEIC images"
                raise InputError(what, place, "pip install 'cornernet[heif]'")
            if lacking:
                tell(f"{len(lacking)} HEIC images in {place} were not looked at; pip install 'cornernet[heif]'")
    found: dict[str, str] = {}
    for path in sorted(paths, key=os.path.islink):  # by their own names
        repeated += found.setdefault(os.path.realpath(path), str(path)) != str(path)
    if repeated:
        tell(f"{repeated} of the names in {place} lead to files that others lead to too; each is looked at once")
    for line in passed.lines(place):
        tell(line)
    return list(found.values())


def _expanded_archive(archive: str, tell: Callable[[str], None], also: tuple[str, ...]) -> list[str]:
    """Every image and video file in an archive, unpacked."""
    folder = str(unpack(Path(archive)))
    try:
        return _expanded(folder, lambda line: tell(line.replace(folder, archive)), also)
    except InputError as error:
        raise InputError(error.what, archive, error.fix.replace(folder, archive)) from error


def _is_direct(place: str) -> bool:
    """Whether it is no path."""
    return place == STDIN or is_address(place) or _camera_number(place) is not None


def _is_typescript(path: Path) -> bool:
    """Whether a .ts file in a folder is a program's text: each packet of a video begins with G."""
    if path.suffix.lower() != ".ts":
        return False
    with open(path, "rb") as file:
        head = file.read(189)
    return head[:1] != b"G" or head[188:] not in (b"G", b"")


def _camera_number(place: str) -> int | None:
    """Of ``camera:0``, ``/dev/video0``, or ``0`` if there is no such file; ``None`` for other places."""
    number = place.removeprefix(CAMERA).removeprefix("/dev/video")
    if number.isascii() and number.isdecimal():
        return int(number) if number != place or not os.path.exists(place) else None
    if place.startswith(CAMERA):
        raise InputError("give the camera's number, as camera:0", place)
    return None


def _stem(place: str) -> str:
    if place == STDIN:
        return "stdin"
    if (number := _camera_number(place)) is not None:
        return f"camera_{number}"
    if is_address(place):
        parts = urlsplit(shown(place))
        name = unquote(parts.path).rstrip("/").rsplit("/", 1)[-1] or (parts.hostname or "")
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(name).stem).strip(".")
        return stem[:LONGEST_NAME] or "image"
    return Path(place).stem


def free_name(stem: str, taken: set[str]) -> str:
    """The stem, with a number if it is ``taken``, which grows. On many disks case makes no difference."""
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}_{number}", number + 1
    taken.add(name.casefold())
    return name
