"""What a source holds, in an order that is always the same, cut into parts."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from cornernet.batch.parquet_images import find_row_groups
from cornernet.batch.shards import SHARD_SUFFIXES
from cornernet.batch.storage import Unreachable, inside, is_hidden, is_remote, storage_of
from cornernet.errors import InputError
from cornernet.media.address import is_address, is_web, shown
from cornernet.media.lists import is_list, read_list
from cornernet.media.sources import find_places
from cornernet.media.video import VIDEO_SUFFIXES, is_video_address
from cornernet.media.walk import IMAGE_SUFFIXES

PARQUET_SUFFIXES = (".parquet", ".pq")
_CONTAINERS = SHARD_SUFFIXES + PARQUET_SUFFIXES


class PlannedItem(NamedTuple):
    """An image file, a tar file, or the row groups ``first`` to ``last`` of a Parquet file; a part holds some.

    ``place`` is its path, absolute or from the plan's folder, or its address. ``size`` is the (height, width) that a
    label file gives. A line of a list that names nothing has an ``error`` instead.
    """

    part: int
    place: str
    kind: str = "image"  # "shard", "rows"
    first: int | None = None
    last: int | None = None
    height: int | None = None
    width: int | None = None
    error: str | None = None


def _ignore(_: str) -> None:
    pass


def plan_items(
    sources: Sequence[str], part_size: int, *, column: str | None = None, tell: Callable[[str], None] = _ignore
) -> list[PlannedItem]:
    """Everything at ``sources``, in the order given and sorted below a folder, in parts of ``part_size`` images.

    A tar file is a part; row groups of a Parquet file are together until they have that many rows. ``tell`` gets lines
    about what is passed over. Raises ``InputError`` for a source without images, and for videos.
    """
    found = find_images_at(sources, tell)
    parquets = [place for place in found if place.lower().endswith(PARQUET_SUFFIXES)]
    with ThreadPoolExecutor(16) as pool:
        groups = dict(zip(parquets, pool.map(lambda place: _row_groups(place, column), parquets), strict=True))
    planned: list[PlannedItem] = []
    part, room = -1, 0
    for place, error in found.items():
        if place in groups:
            for first, last in _together(groups[place], part_size):
                part += 1
                planned.append(PlannedItem(part, place, "rows", first, last))
            room = 0
        elif place.lower().endswith(SHARD_SUFFIXES) and not error:
            part, room = part + 1, 0
            planned.append(PlannedItem(part, place, "shard"))
        else:
            if not room:
                part, room = part + 1, part_size
            planned.append(PlannedItem(part, place, error=str(error) if error else None))
            room -= 1
    if not planned:
        raise InputError("no image in it", ", ".join(map(shown, sources)))
    return planned


def find_images_at(sources: Sequence[str], tell: Callable[[str], None] = _ignore) -> dict[str, InputError | None]:
    """Image, tar and Parquet files at ``sources``, each once, with the error of a list's line that names none."""
    if not sources:
        raise InputError("no images given", fix="name files, folders, globs or addresses")
    found: dict[str, InputError | None] = {}
    for place, of_list in _lines(sources):
        try:
            if is_remote(place) and not is_address(place):
                for each in _remote_places(place, tell):
                    found.setdefault(each)
            else:
                for each, error in find_places([place], tell, _CONTAINERS).items():
                    found.setdefault(each, error)
        except InputError as error:
            if not of_list:
                raise
            found[place] = InputError(f"{error.what} (named in {of_list})", error.where, error.fix)
    videos = [place for place in found if _is_video(place)]
    if videos and len(videos) == len(found):
        raise InputError("a video, and --ray reads images", shown(videos[0]), "leave --ray out")
    if videos:
        tell(f"{len(videos)} videos were not looked at, such as {shown(videos[0])}; leave --ray out for them")
    for video in videos:
        del found[video]
    return found


def _lines(sources: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """The sources, those in a list each with the list's name."""
    for source in sources:
        if is_list(source):
            yield from ((line, source) for line in read_list(source))
        else:
            yield source, None


def _is_video(place: str) -> bool:
    if is_address(place):
        return not is_web(place) or (not place.lower().endswith(_CONTAINERS) and is_video_address(place))
    camera = place.startswith(("camera:", "/dev/video")) or (place.isdecimal() and not os.path.exists(place))
    return camera or place == "-" or place.lower().endswith(VIDEO_SUFFIXES)


def _remote_places(source: str, tell: Callable[[str], None]) -> list[str]:
    """A file of a store, or those of a folder or a pattern."""
    storage = storage_of(source)
    magic = glob.has_magic(source)
    folder = source[: re.search(r"[*?[]", source).start()].rpartition("/")[0] if magic else source.rstrip("/")  # type: ignore[union-attr]
    try:
        kind = storage.kind(folder)
        if kind == "file" and not magic:
            return [folder]
        files = [] if kind == "absent" else storage.files(folder)
    except FileNotFoundError:
        raise InputError("no such bucket", source, "check its name") from None
    except PermissionError:
        raise InputError("no permission to read it", source, "give this machine rights to it") from None
    except Unreachable as error:
        raise InputError(str(error).removeprefix(f"{folder}: "), source, "check the address and the network") from None
    pattern = re.compile(_regex(source)) if magic else None
    wanted = [file.place for file in files if not is_hidden(file.place, folder)]
    wanted = [place for place in wanted if pattern is None or pattern.fullmatch(place)]
    images = [place for place in wanted if place.lower().endswith(IMAGE_SUFFIXES + _CONTAINERS)]
    if not images:
        there = f", only {len(wanted)} other files" if wanted else ""
        what = f"no image there{there}" if kind != "absent" else "no such file or folder"
        raise InputError(what, source, "check the address")
    if len(images) < len(wanted):
        tell(f"{len(wanted) - len(images)} files in {source} were not looked at")
    return images


def _regex(pattern: str) -> str:
    """A glob as a regular expression: ``*`` stays in a folder, ``**`` does not."""
    parts = [fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z") for part in pattern.split("**")]
    return ".*".join(part.replace(".*", "[^/]*") for part in parts).replace(".*/", "(?:.*/)?")


def _row_groups(place: str, column: str | None) -> tuple[int, ...]:
    try:
        return find_row_groups(place, column).rows
    except FileNotFoundError:
        raise InputError("no such file", place, "check the path") from None
    except PermissionError:
        raise InputError("no permission to read it", place, "give this machine rights to it") from None
    except Unreachable as error:
        raise InputError(str(error), fix="check the address and the network") from None


def _together(rows: Sequence[int], part_size: int) -> Iterator[tuple[int, int]]:
    """Neighbouring row groups until they have ``part_size`` rows: the first and the last of each part."""
    first, count = 0, 0
    for i, each in enumerate(rows):
        count += each
        if count >= part_size or i == len(rows) - 1:
            yield first, i
            first, count = i + 1, 0


def absolute(place: str, base: str) -> str:
    """An item's path as seen from any folder; addresses as they are."""
    return place if is_remote(place) else os.path.join(base, os.path.expanduser(place))


def part_name(part: int) -> str:
    """The file name of a part's rows."""
    return f"part-{part:06d}.parquet"


def part_place(out: str, part: int) -> str:
    """Where a part's rows are written."""
    return inside(inside(out, "detections"), part_name(part))


def attempts_place(out: str, part: int | None = None) -> str:
    """The folder of marks of actors that began a part after a death, or of all parts; most jobs have none."""
    folder = inside(out, "attempts")
    return folder if part is None else inside(folder, f"part-{part:06d}")
