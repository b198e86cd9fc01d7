"""A job: a plan, the parts that are missing, actors that finish them, and a summary."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cornernet.batch.detector_choice import DetectorChoice
from cornernet.batch.listing import PlannedItem, part_place
from cornernet.batch.manifest import (
    Manifest,
    find_done,
    read_manifest,
    refuse_other,
    refuse_unwritable,
    remove_attempts,
    totals,
    write_json,
    write_plan,
)
from cornernet.batch.part_worker import PartWorker
from cornernet.batch.ray_cluster import connected
from cornernet.batch.storage import SETTINGS, is_remote
from cornernet.errors import InputError

SUMMARY = "summary.json"
_BLOCKS = 20_000  # more parts than this share tasks
_GPU_THREADS = 4  # cores beside a GPU, which decode images


@dataclass(frozen=True)
class Job:
    """What to do, with what, and where the rows go.

    ``settings`` are what people chose: they are compared when a job goes on. ``choice.device`` is ``""`` if the
    cluster decides. ``workers`` are the actors, by default as many as there is room for, and ``threads`` the cores of
    each. ``price`` is that of an actor for an hour.
    """

    out: str
    settings: dict[str, Any]
    choice: DetectorChoice
    class_names: tuple[str, ...]
    part_size: int
    column: str | None = None
    workers: int | None = None
    threads: int | None = None
    price: float | None = None
    from_command: bool = False


@dataclass(frozen=True)
class Summary:
    """What a job found, in all its runs together; ``seconds`` and ``images_per_second`` are those of this run alone.

    ``worker_hours`` is how long actors worked on parts, ``cost`` their price.
    """

    images: int
    errors: int
    boxes: int
    parts: int
    workers: int
    new_images: int
    seconds: float
    images_per_second: float
    worker_hours: float
    cost: float | None


def run_job(
    job: Job,
    address: str | None,
    make_items: Callable[[], list[PlannedItem]],
    *,
    tell: Callable[[str], None],
    progress: Callable[[int, int], None],
) -> tuple[Summary, Manifest]:
    """Do what is missing of a job; every image is in exactly one part, and every part in one file.

    ``make_items`` lists the images, if no earlier run has. ``progress`` gets (done, total) in parts. Raises
    ``InputError`` if the folder holds another job's detections, and if parts could not be read or written: the same
    job, started again, does those.
    """
    start = time.monotonic()
    out = job.out if is_remote(job.out) else os.path.abspath(job.out)
    manifest = read_manifest(out)
    if manifest:
        refuse_other(manifest, _fingerprint(job, manifest.fingerprint["device"]), out)
    refuse_unwritable(out)
    planned = [] if manifest else make_items()
    done = find_done(out, manifest.parts) if manifest else {}
    if manifest and len(done) == manifest.parts:
        return _finished(job, out, manifest, done, done, 0, start), manifest
    with connected(address) as ray:
        device = job.choice.device or ("cuda" if ray.cluster_resources().get("GPU") else "cpu")
        threads = job.threads or (1 if device == "cpu" else _GPU_THREADS)
        fingerprint = _fingerprint(replace(job, threads=threads), device)
        if manifest:
            refuse_other(manifest, fingerprint, out)
            when = manifest.created.replace("T", " ")
            tell(f"{out}: {len(done)} of {manifest.parts} parts are there; it goes on with the images found {when}")
        else:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            parts = planned[-1].part + 1
            manifest = Manifest(fingerprint, os.getcwd(), job.class_names, parts, len(planned), now)
            write_plan(out, manifest, planned)
            del planned
        choice = job.choice.on(device, threads, _store_settings())
        missing = [part for part in range(manifest.parts) if part not in done]
        workers = _number_of_workers(ray, job, device, threads, len(missing))
        arguments = {"out": out, "base": manifest.base, "choice": ray.put(choice)}
        arguments |= {"column": job.column, "from_command": job.from_command}
        before, failures = len(done), Failures(workers)
        progress(before, manifest.parts)
        for row in _rows(ray, missing, workers, threads, device, arguments):
            if row["failure"] is None:
                done[int(row["part"])] = {name: row[name] for name in ("images", "errors", "boxes", "seconds")}
                failures.forget()
                progress(len(done), manifest.parts)
            else:
                failures.add(row["failure"])
    failures.refuse(manifest.parts - len(done))
    fresh = {part: done[part] for part in missing}
    return _finished(job, out, manifest, done, fresh, workers, start), manifest


class Failures:
    """Parts that could not be read or written. A job ends early if nothing but failures comes from all actors."""

    def __init__(self, workers: int) -> None:
        self.limit = max(3, 2 * workers)
        self.first, self.in_a_row = "", 0

    def add(self, reason: str) -> None:
        """Count a failure; raises ``InputError`` if there were only failures for a while."""
        self.first = self.first or reason
        self.in_a_row += 1
        if self.in_a_row >= self.limit:
            raise InputError(f"the job ended: {self.first}", fix="when that is mended, the same command goes on")

    def forget(self) -> None:
        """A part was finished."""
        self.in_a_row = 0

    def refuse(self, missing: int) -> None:
        """``InputError`` if parts are missing at the end."""
        if missing:
            what = f"{missing} parts are missing ({self.first or 'their actors ended'})"
            raise InputError(what, fix="the same command does these alone")


def _fingerprint(job: Job, device: str) -> dict[str, Any]:
    """Everything that changes a row, by names that people know."""
    choice = job.choice
    content = sha256()
    for _, data in choice.files:
        content.update(data)
    options = {name: getattr(choice, name) for name in ("tta", "precision", "max_size", "tile", "threshold")}
    options |= {"batch_size": choice.batch_size, "part_size": job.part_size, "image_column": job.column}
    options["classes"] = None if choice.labels is None else sorted(choice.labels)
    threads = job.threads or (1 if device == "cpu" else _GPU_THREADS)
    made_by = {"device": device, "threads": threads, "cornernet": choice.version}
    return job.settings | {"weights": content.hexdigest()[:16]} | options | made_by  # first what explains the others


def _store_settings() -> tuple[tuple[str, str], ...]:
    return tuple((name, os.environ[name]) for name in SETTINGS if name in os.environ)


def _number_of_workers(ray: Any, job: Job, device: str, threads: int, parts: int) -> int:
    """As many actors as the cluster has room for, or as were chosen, and no more than parts."""
    there = ray.cluster_resources()
    if device.startswith("cuda") and not there.get("GPU"):
        raise InputError("no machine of the cluster has a GPU", f"--device {device}", "leave it out")
    if there.get("CPU", 0) < threads:
        what = f"the cluster's machines have {there.get('CPU', 0):g} cores"
        raise InputError(what, f"--threads {threads}", "give a smaller number")
    room = there["CPU"] // threads if not device.startswith("cuda") else there["GPU"]
    return int(max(1, min(job.workers or room, parts)))


def _rows(
    ray: Any, missing: Sequence[int], workers: int, threads: int, device: str, arguments: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """What actors say of each part, in the order in which they finish."""
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers, initial_size=workers)
    numbers = ray.data.from_items(list(missing), override_num_blocks=min(len(missing), _BLOCKS))
    rows = numbers.map_batches(
        PartWorker,
        fn_constructor_kwargs=arguments,
        batch_size=1,
        compute=pool,
        num_cpus=threads,
        num_gpus=1 if device.startswith("cuda") else 0,
    )
    try:
        yield from rows.iter_rows()
    except Exception as error:  # Ray wraps what an actor raises
        raise _cause(error) from error


def _cause(error: BaseException) -> BaseException:
    """The ``InputError`` of an actor inside the error that Ray raises, or that error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, InputError):
            return InputError(seen.what, seen.where, seen.fix)
        seen = getattr(seen, "cause", None) or seen.__cause__
    return error


def _finished(
    job: Job,
    out: str,
    manifest: Manifest,
    done: dict[int, dict[str, Any]],
    fresh: dict[int, dict[str, Any]],
    workers: int,
    start: float,
) -> Summary:
    """The summary, printed by the caller and written."""
    every, new = totals(done.values()), totals(fresh.values())
    seconds, hours = time.monotonic() - start, every["seconds"] / 3600
    images = int(new["images"] + new["errors"]) if workers else 0
    summary = Summary(
        images=int(every["images"]),
        errors=int(every["errors"]),
        boxes=int(every["boxes"]),
        parts=manifest.parts,
        workers=workers,
        new_images=images,
        seconds=round(seconds, 1),
        images_per_second=round(images / seconds, 3),
        worker_hours=round(hours, 4),
        cost=None if job.price is None else round(hours * job.price, 4),
    )
    if workers:
        write_json(out, SUMMARY, asdict(summary))
        remove_attempts(out)
    return summary


def part_places(out: str, parts: int) -> list[str]:
    """The files of all parts, in order."""
    folder = out if is_remote(out) else os.path.abspath(out)
    return [part_place(folder, part) for part in range(parts)]
