"""Cores and memory that this process may use, within the limits of its container."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> float:
    """The number of cores that this process may use: by its affinity, and at most the container's share."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    quota, period = (*_text(cgroup / "cpu.max").split(), "", "")[:2]
    if not quota:  # cgroups of the first version
        quota, period = _text(cgroup / "cpu/cpu.cfs_quota_us"), _text(cgroup / "cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        cores = min(cores, int(quota) / int(period))
    return cores


def busy_seconds(stat: Path = Path("/proc/stat")) -> float | None:
    """Seconds for which the cores that this process may use have worked since the system started, for any program.

    Time that a virtual machine's core waited for other machines counts too. ``None`` if unknown.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    lines = [line.split() for line in _text(stat).splitlines()]
    ticks = [
        int(user) + int(nice) + int(system) + sum(map(int, rest[:3]))  # rest: irq, softirq, steal
        for name, user, nice, system, _, _, *rest in (line for line in lines if line[0].startswith("cpu"))
        if name[3:].isdigit() and int(name[3:]) in cores
    ]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if any(ticks) else None


def usable_memory(cgroup: Path = _CGROUP, meminfo: Path = Path("/proc/meminfo")) -> tuple[int, int] | None:
    """Bytes of memory (available, total), within the container's limit; ``None`` if unknown."""
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
            # Cached files count as used, but the system frees them when memory is needed.
            available = min(available, total - int(used or 0) + int(stat.get(cached, 0)))
    return available, total


def available_memory() -> int | None:
    """Bytes of available memory; ``None`` if unknown."""
    memory = usable_memory()
    if memory:
        return memory[0]
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
