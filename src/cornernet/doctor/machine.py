"""GPUs, cores, memory and folders: which are too small, and how to fix it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cornernet.doctor.finding import Finding
from cornernet.waiting import should_sleep

_GIB = 1 << 30
_LITTLE_SHARED = 256 << 20  # bytes; four workers with batches of fourteen images of 511 pixels need a third of it
_NO_SHARED = 16 << 20
_LITTLE_MEMORY = 2 * _GIB  # the small recipes need 1.1 GiB
_LITTLE_SPACE = 2 * _GIB  # a release has 0.8 GB, a run with its state up to 4


def graphics_cards() -> list[str] | str:
    """Name, driver and memory of each NVIDIA GPU; the error's text if ``nvidia-smi`` is installed and fails."""
    program = shutil.which("nvidia-smi")
    if not program:
        return []
    query = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return " ".join(str(error).split())
    if done.returncode:
        return " ".join((done.stdout + done.stderr).split()) or f"exit code {done.returncode}"
    parts = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines() if line.strip()]
    return [f"{part[0]} (driver {', '.join(part[1:])})" for part in parts]


def check_cores(facts: dict[str, Any], cores: float) -> list[Finding]:
    """Torch's threads compared with the cores; ``facts`` are the answer of ``ask("torch")``."""
    said, fix = f"{cores:g} of {os.cpu_count()} cores may be used", ""
    if threads := facts.get("threads"):
        said += f", torch takes {threads} threads"
        if threads > max(1, round(1.5 * cores)):
            fix = f"export OMP_NUM_THREADS={max(1, round(cores))}: more threads than cores wait for each other"
        elif threads == 1 and cores >= 4 and not facts["devices"]:
            fix = "unset OMP_NUM_THREADS: training on the CPU uses one core only"
    return [Finding("warn" if fix else "ok", "cores", said, fix)]


def check_waiting(facts: dict[str, Any], chosen: str, others: float | None) -> list[Finding]:
    """How torch's threads wait for each other, and whether other programs use the cores now.

    ``chosen`` is the answer of `chosen_by_user`, ``others`` that of `cores_used_by_others`.
    """
    busy = others is not None and should_sleep(facts.get("threads", 1), others)
    use = "the system does not say how busy the cores are" if others is None else f"others use {others:.1f} cores now"
    if chosen:
        said = f"torch's threads wait by your {chosen}; {use}"
        names = " ".join(setting.partition("=")[0] for setting in chosen.split())
        fix = "" if chosen.upper() == "OMP_WAIT_POLICY=PASSIVE" else f"unset {names}: then they sleep while they wait"
    elif facts.get("libgomp") and others is not None:
        said = f"{use}; torch's threads {'sleep' if busy else 'spin for a short time'} while they wait for each other"
        fix = "end other programs for full speed"
    else:
        said, fix = f"torch's threads wait as its OpenMP does; {use}", "end other programs for full speed"
    return [Finding("warn", "waiting", said, fix) if busy and fix else Finding("ok", "waiting", said)]


def check_memory(memory: tuple[int, int] | None) -> list[Finding]:
    """Whether ``memory``, the answer of `usable_memory`, is enough."""
    if memory is None:
        return [Finding("ok", "memory", "the system does not say how much there is")]
    said = f"{memory[0] / _GIB:.1f} of {memory[1] / _GIB:.1f} GiB available"
    if memory[0] < _LITTLE_MEMORY:
        return [Finding("warn", "memory", said, "end other programs, or choose a small --batch_size and recipe")]
    return [Finding("ok", "memory", said)]


def check_shared_memory(folder: Path = Path("/dev/shm")) -> list[Finding]:
    """Loader workers pass batches through shared memory, and containers often have little of it."""
    if not folder.is_dir():
        return []
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**20:,.0f} MiB of shared memory free in {folder}"
    if free >= _LITTLE_SHARED:
        return [Finding("ok", "shared memory", said)]
    fix = "start the container with --shm-size 2g or --ipc host, or train with --workers 0"
    return [Finding("FAIL" if free < _NO_SHARED else "warn", "shared memory", said, fix)]


def check_folder(what: str, folder: Path, fix: str) -> list[Finding]:
    """Whether a folder, or the first one above it that exists, can be written to and has space."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return [Finding("warn", what, f"{folder}: cannot be written to ({error.strerror})", fix)]
    said = f"{folder}: can be written to, {free / _GIB:.1f} GiB free"
    if free < _LITTLE_SPACE:
        return [Finding("warn", what, said, f"free some space there, or {fix}")]
    return [Finding("ok", what, said)]
