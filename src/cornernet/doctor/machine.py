"""Cores, memory and folders, as containers limit them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cornernet.doctor.finding import Finding

_GIB = 1 << 30
_CGROUP = Path("/sys/fs/cgroup")
_SHARED_MEMORY = Path("/dev/shm")
_LITTLE_SHARED = 256 << 20  # bytes; four workers with batches of fourteen images of 511 pixels need a third of it
_NO_SHARED = 16 << 20
_LITTLE_MEMORY = 2 * _GIB  # the small recipes need 1.1 GiB
_LITTLE_SPACE = 2 * _GIB  # a release has 0.8 GB, a run with its state up to 4


def graphics_cards() -> list[str] | str:
    """Name, driver and memory of each NVIDIA GPU; a sentence where ``nvidia-smi`` is there and fails."""
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


def usable_cores(cgroup: Path = _CGROUP) -> float:
    """Cores that this process may use: its affinity, at most the container's share."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, period = (*_text(cgroup / "cpu.max").split(), "", "")[:2]
    if not quota:  # cgroups of the first version
        quota, period = _text(cgroup / "cpu/cpu.cfs_quota_us"), _text(cgroup / "cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        cores = min(cores, int(quota) / int(period))
    return cores


def check_cores(facts: dict[str, Any], cores: float) -> list[Finding]:
    """Torch's threads beside the cores there are; ``facts`` are the answer to ``ask("torch")``."""
    said = f"{cores:g} of {os.cpu_count()} cores may be used"
    threads = facts.get("threads")
    if threads is None:
        return [Finding("ok", "cores", said)]
    said += f", torch takes {threads} threads"
    if threads > max(1, round(1.5 * cores)):
        mend = f"export OMP_NUM_THREADS={max(1, round(cores))}: more threads than cores wait for each other"
        return [Finding("warn", "cores", said, mend)]
    if threads == 1 and cores >= 4 and not facts["devices"]:
        return [Finding("warn", "cores", said, "unset OMP_NUM_THREADS: training on the CPU uses one core only")]
    return [Finding("ok", "cores", said)]


def usable_memory(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> tuple[int, int] | None:
    """Bytes of memory (available, all), at most what the container leaves; ``None`` where the system does not say."""
    lines = (line.split() for line in _text(meminfo).splitlines())
    values = {words[0]: int(words[1]) * 1024 for words in lines if len(words) > 1 and words[1].isdigit()}
    if "MemAvailable:" not in values:
        return None
    available, total = values["MemAvailable:"], values["MemTotal:"]
    for limit_file, usage_file, stat_file, cached in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        limit, used = _text(cgroup / limit_file), _text(cgroup / usage_file)
        if limit.isdigit() and int(limit) < total:
            stat = dict(line.split() for line in _text(cgroup / stat_file).splitlines())
            total = int(limit)
            # Copies of files in memory count as used, and go as soon as memory is needed.
            available = min(available, total - int(used or 0) + int(stat.get(cached, 0)))
    return available, total


def check_memory(memory: tuple[int, int] | None) -> list[Finding]:
    """Memory that can still be had."""
    if memory is None:
        return [Finding("ok", "memory", "the system does not say how much there is")]
    said = f"{memory[0] / _GIB:.1f} of {memory[1] / _GIB:.1f} GiB available"
    if memory[0] < _LITTLE_MEMORY:
        return [Finding("warn", "memory", said, "end other programs, or choose a small --batch_size and recipe")]
    return [Finding("ok", "memory", said)]


def check_shared_memory(folder: Path = _SHARED_MEMORY) -> list[Finding]:
    """Loader workers hand batches over in shared memory, of which containers have little."""
    if not folder.is_dir():
        return []
    free = shutil.disk_usage(folder).free
    said = f"{free / 2**20:,.0f} MiB of shared memory free in {folder}"
    if free >= _LITTLE_SHARED:
        return [Finding("ok", "shared memory", said)]
    mend = "start the container with --shm-size 2g or --ipc host, or train with --workers 0"
    return [Finding("FAIL" if free < _NO_SHARED else "warn", "shared memory", said, mend)]


def check_folder(what: str, folder: Path, mend: str) -> list[Finding]:
    """Whether a folder, or the first one above it that exists, can be written to and has space."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as error:
        return [Finding("warn", what, f"{folder}: cannot be written to ({error.strerror})", mend)]
    said = f"{folder}: can be written to, {free / _GIB:.1f} GiB free"
    if free < _LITTLE_SPACE:
        return [Finding("warn", what, said, f"free some space there, or {mend}")]
    return [Finding("ok", what, said)]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
