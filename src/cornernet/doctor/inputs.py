"""Checks of a data folder, its speed, and weights."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cornernet.config import Recipe
from cornernet.doctor.finding import Finding
from cornernet.errors import InputError

# Images per second of the fastest training: deeppcb-small on two cores, HourglassNet-104 on a GPU (an estimate).
CPU_NEED, GPU_NEED = 12, 50
_SAMPLE, _SECONDS = 64, 20.0
_AUGMENTATION = 1.56  # time of a training sample / time of decoding it: decoding is 64 % (docs/benchmarks.md)


@dataclass(frozen=True)
class Speed:
    """Seconds of ``reading`` and ``decoding`` ``images`` images, ``size`` bytes; ``broken`` has the others' errors."""

    images: int
    size: int
    reading: float
    decoding: float
    broken: list[str]


def check_dataset(folder: str, cores: float, need: float) -> list[Finding]:
    """What a data set is, and whether its images can be read as fast as a training needs: ``need`` per second."""
    from cornernet.data.find import find_data, read_split
    from cornernet.data.tables import images_below

    try:
        labels = find_data(folder)
        paths = images_below(labels.root if labels.root.is_dir() else labels.root.parent)
        if not paths:  # they are elsewhere: the labels have their paths
            tables = read_split(labels, labels.splits[0])
            paths = [tables.folder / image["file_name"] for image in tables.images]
    except InputError as error:
        return [Finding("FAIL", "data", f"{error.where}: {error.what}", error.fix or "give the folder of a data set")]
    findings = [Finding("ok", "data", f"{labels.title}, splits {', '.join(labels.splits)}")]
    speed = measure(random.Random(0).sample(paths, min(_SAMPLE, len(paths))))
    if speed.broken:
        said = f"{len(speed.broken)} of {speed.images + len(speed.broken)} images cannot be read: {speed.broken[0]}"
        findings.append(Finding("warn", "data", said, f"cornernet data check {folder} --fix CLEAN"))
    if speed.images:
        findings += judge_speed(speed, cores, need)
    return findings


def measure(paths: Sequence[Path]) -> Speed:
    """Read and decode images for at most 20 s; from the disk if the system can drop its cached copies."""
    from cornernet.media.images import read_image

    count, size, reading, decoding, broken = 0, 0, 0.0, 0.0, []
    end = time.perf_counter() + _SECONDS
    for path in paths:
        try:
            if hasattr(os, "posix_fadvise"):  # drop the system's copy of the file in memory
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            start = time.perf_counter()
            data = path.read_bytes()
            middle = time.perf_counter()
            read_image(path)
        except (InputError, OSError) as error:
            broken.append(str(error))
            continue
        count, size = count + 1, size + len(data)
        reading, decoding = reading + middle - start, decoding + time.perf_counter() - middle
        if time.perf_counter() > end:
            break
    return Speed(count, size, reading, decoding, broken)


def judge_speed(speed: Speed, cores: float, need: float) -> list[Finding]:
    """Whether loader workers can feed a training that takes ``need`` images per second."""
    workers = max(1, min(Recipe().workers, int(cores)))
    preparing = _AUGMENTATION * speed.decoding
    rate = workers * speed.images / (speed.reading + preparing)
    said = (
        f"{speed.images} images at random: {speed.size / 1e6 / max(speed.reading, 1e-9):.0f} MB/s read,"
        f" {speed.images / max(speed.decoding, 1e-9):.0f} images/s decoded a core; {workers} workers give about"
        f" {rate:.0f} images/s, a training here takes up to {need:.0f}"
    )
    if rate >= need:
        return [Finding("ok", "data speed", said)]
    if speed.reading > preparing:
        fix = "copy the data to a disk of this machine: reading takes most of the time"
    elif cores > workers:
        fix = f"train with more --workers, up to {int(cores)}, or save smaller copies of the images"
    else:
        fix = "save smaller copies of the images: decoding takes most of the time"
    return [Finding("warn", "data speed", said, fix)]


def check_weights(source: str, answer: dict[str, Any]) -> list[Finding]:
    """Whether weights can be used; ``answer`` is that of ``ask("weights", source)``."""
    if "absent" in answer:
        fix = f"cornernet weights fetch {answer['absent']}"
        return [Finding("warn", "weights", f"{source}: not fetched yet; fetched on first use", fix)]
    if "error" in answer:
        return [Finding("FAIL", "weights", answer["error"], answer.get("fix") or "name another file, or a release")]
    said = f"{source}: {answer['classes']} classes, {1000 * answer['seconds']:.0f} ms for an image of 256x256"
    return [Finding("ok", "weights", said)]
