"""The plan of a job in its output folder: what is done in which part, and with what; the parts that are there."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from cornernet.batch.detection_table import read_about
from cornernet.batch.listing import PlannedItem, attempts_place, part_name, part_place
from cornernet.batch.parquet_images import open_parquet
from cornernet.batch.storage import Unreachable, inside, is_remote, storage_of
from cornernet.errors import InputError

_VERSION = 1
_MANIFEST, _PLAN = "manifest.json", "plan.parquet"
_TOGETHER = 2**16  # rows of a row group of the plan
_READERS = 32  # threads that look at parts


@dataclass(frozen=True)
class Manifest:
    """What a folder of detections was made from.

    ``fingerprint`` has everything that changes a row: a job with another one cannot go on with the folder. ``base`` is
    the folder that paths start from.
    """

    fingerprint: dict[str, Any]
    base: str
    class_names: tuple[str, ...]
    parts: int
    items: int
    created: str
    version: int = field(default=_VERSION)


def read_manifest(out: str) -> Manifest | None:
    """The manifest in a folder, ``None`` without one. Raises ``InputError`` if the folder is something else's."""
    place = inside(out, _MANIFEST)
    storage = storage_of(out)
    try:
        if storage.kind(place) == "absent":
            return None
        with storage.open(place) as stream:
            values = json.loads(stream.read())
        version = values["version"]
        if version != _VERSION:
            raise InputError(f"written in format {version}, this program reads {_VERSION}", place, "give another --out")
        return Manifest(**values | {"class_names": tuple(values["class_names"])})
    except (ValueError, KeyError, TypeError):
        raise InputError("no manifest of a job", place, "give another folder with --out") from None
    except (OSError, Unreachable) as error:
        raise refused_place(out, error) from None


def refuse_other(manifest: Manifest, fingerprint: dict[str, Any], out: str) -> None:
    """``InputError`` that names what differs, if a folder's detections were made in another way."""
    for name in {**manifest.fingerprint, **fingerprint}:
        theirs, ours = manifest.fingerprint.get(name), fingerprint.get(name)
        if theirs != ours:
            what = f"holds detections of another run: {name} was {_short(theirs)}, now {_short(ours)}"
            raise InputError(what, out, "give another folder with --out")


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def write_plan(out: str, manifest: Manifest, planned: Sequence[PlannedItem]) -> None:
    """Write the plan, and then the manifest, which says that the plan is whole. Raises ``InputError`` if it cannot."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"part": pa.int32(), "place": pa.string(), "kind": pa.string(), "first": pa.int32(), "last": pa.int32()}
    kinds |= {"height": pa.int32(), "width": pa.int32(), "error": pa.string()}
    columns = dict(zip(PlannedItem._fields, zip(*planned, strict=True), strict=True))
    table = pa.table({name: pa.array(columns[name], kind) for name, kind in kinds.items()})
    data = io.BytesIO()
    pq.write_table(table, data, row_group_size=_TOGETHER, compression="zstd")
    storage = storage_of(out)
    try:
        storage.write(inside(out, _PLAN), data.getvalue())
        storage.write(inside(out, _MANIFEST), json.dumps(asdict(manifest), indent=1, ensure_ascii=False).encode())
    except (OSError, Unreachable) as error:
        raise refused_place(out, error) from None


class Plan:
    """A written plan, to read parts of."""

    def __init__(self, out: str) -> None:
        self.file = open_parquet(inside(out, _PLAN))
        groups = (self.file.metadata.row_group(i).column(0).statistics for i in range(self.file.num_row_groups))
        self.ranges = [(group.min, group.max) for group in groups]

    def items(self, part: int) -> list[PlannedItem]:
        """What is in a part."""
        import pyarrow as pa

        groups = [i for i, (first, last) in enumerate(self.ranges) if first <= part <= last]
        table = self.file.read_row_groups(groups)
        rows = table.filter(pa.array(table["part"].to_numpy() == part)).to_pylist()
        return [PlannedItem(**row) for row in rows]


def find_done(out: str, parts: int) -> dict[int, dict[str, Any]]:
    """What is stored in every part that is there; one that is not whole counts as missing.

    Raises ``InputError`` if the folder cannot be read.
    """
    try:
        there = {file.place.rpartition("/")[2] for file in storage_of(out).files(inside(out, "detections"))}
        found = [part for part in range(parts) if part_name(part) in there]
        with ThreadPoolExecutor(_READERS) as pool:
            about = pool.map(lambda part: about_part(out, part), found)
            return {part: each for part, each in zip(found, about, strict=True) if each is not None}
    except (OSError, Unreachable) as error:
        raise refused_place(out, error) from None


def about_part(out: str, part: int) -> dict[str, Any] | None:
    """What is stored in a part's file; ``None`` if it is not there, or not whole. Raises as ``Storage.open``."""
    try:
        return read_about(part_place(out, part))
    except (InputError, FileNotFoundError):
        return None


def write_json(out: str, name: str, content: dict[str, Any]) -> None:
    """A JSON file in the folder. Raises ``InputError`` if it cannot be written."""
    try:
        storage_of(out).write(inside(out, name), (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    except (OSError, Unreachable) as error:
        raise refused_place(out, error) from None


def refuse_unwritable(out: str) -> None:
    """``InputError`` if nothing can be written to a folder, which is tried."""
    probe = inside(out, ".probe")
    storage = storage_of(out)
    try:
        storage.write(probe, b"")
        storage.remove(probe)
    except (OSError, Unreachable) as error:
        raise refused_place(out, error) from None


def remove_attempts(out: str) -> None:
    """Remove the marks of actors that died; they are of no use when all parts are there."""
    folder = attempts_place(out)
    storage = storage_of(out)
    with suppress(OSError, Unreachable):
        for file in storage.files(folder):
            storage.remove(file.place)
        if not is_remote(out):
            shutil.rmtree(folder, ignore_errors=True)


def refused_place(out: str, error: Exception) -> InputError:
    """The error of an output folder that cannot be used."""
    if isinstance(error, FileNotFoundError):
        return InputError("no such bucket or folder", out, "make it, or give another with --out")
    if isinstance(error, PermissionError):
        return InputError("no permission to use it", out, "give this machine rights to it, or another place with --out")
    return InputError(" ".join(str(error).split()), out, "check the address and the network")


def totals(about: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Images, errors, boxes and seconds of parts, added up."""
    sums = {"images": 0, "errors": 0, "boxes": 0, "seconds": 0.0}
    for each in about:
        for name in sums:
            sums[name] += each[name]
    return sums
