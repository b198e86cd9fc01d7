"""How OpenMP's threads wait for each other: they spin while their cores are free, and sleep while others want them.

PyTorch's operators run in parallel regions of OpenMP, and a training step has thousands. A thread that is done with its
part spins until the others are: that is fast, unless another program has the core that the last thread needs. Then the
spinning thread keeps a core from it, and all take many times as long. Sleeping threads give up their cores but wake
slowly, which costs 40 % of a training on quiet cores (docs/benchmarks.md).

libgomp reads how long a thread spins from the environment when it is loaded (`limit_spinning`). Afterwards one thing
still changes it: while a process has more OpenMP threads than cores, they spin 100 times at most, a few microseconds.
`adapt_waiting` adds idle threads while other programs use the cores. The threads that compute stay as many, so results
do not depend on the load.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from cornernet.hardware import busy_seconds, usable_cores

if TYPE_CHECKING:
    from ctypes import CDLL
    from threading import Event, Thread

SPINS = "3000"  # some 50 microseconds: as fast on quiet cores as libgomp's 300,000
USER_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_PERIOD = 1.0  # seconds
_TOLERATED = 0.5  # cores that others may use of ours: with more, sleeping is faster

_watch: Thread | None = None


def chosen_by_user(environment: Mapping[str, str] = os.environ) -> str:
    """The user's own settings of how threads wait, as NAME=value; "" if there are none."""
    chosen = {name: environment[name] for name in USER_SETTINGS if name in environment}
    if chosen == {"GOMP_SPINCOUNT": SPINS}:  # from `limit_spinning`, here or in the process that started this one
        return ""
    return " ".join(f"{name}={value}" for name, value in chosen.items())


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads of a libgomp that is loaded later, here or in a process started from here, spin for a short time.

    The user's own settings stay.
    """
    if not chosen_by_user(environment):
        environment["GOMP_SPINCOUNT"] = SPINS


def adapt_waiting() -> None:
    """From now on let OpenMP's threads sleep while other programs use the cores, and spin while they do not.

    A thread looks once a second. Later calls change nothing. Without effect if the user chose how threads wait, on one
    thread, without libgomp, and where the system does not say how busy its cores are.
    """
    global _watch
    if chosen_by_user() or (_watch and _watch.is_alive()) or busy_seconds() is None or not (library := find_libgomp()):
        return
    from threading import Thread

    threads = library.omp_get_max_threads()
    if threads > 1:
        _watch = Thread(target=_adapt, args=(library, threads), name="cornernet-waiting", daemon=True)
        _watch.start()


def cores_used_by_others(seconds: float) -> float | None:
    """How many of the cores that this process may use other programs used in the next ``seconds``."""
    import time

    def used() -> float | None:
        own = os.times()
        busy = busy_seconds()
        return None if busy is None else busy - own.user - own.system

    start, before = time.monotonic(), used()
    time.sleep(seconds)
    after = used()
    return None if before is None or after is None else max(0.0, (after - before) / (time.monotonic() - start))


def should_sleep(threads: int, others: float | None) -> bool:
    """Whether so many threads wait better asleep: ``others``, cores used by other programs, leave too few for them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return threads > min(usable_cores(), cores - (others or 0.0)) + _TOLERATED


def _adapt(library: CDLL, threads: int) -> None:
    from threading import Event, Thread

    end: Event | None = None  # of the idle threads, while there are some
    seconds = _PERIOD / 10  # at the start, decide soon
    while True:
        sleep = should_sleep(threads, cores_used_by_others(seconds))
        if sleep and end is None:
            end = Event()
            Thread(target=_hold_threads, args=(library, end), name="cornernet-idle", daemon=True).start()
        elif end and not sleep:
            end.set()
            end = None
        seconds = _PERIOD


def _hold_threads(library: CDLL, end: Event) -> None:
    """Have as many more OpenMP threads as there are cores, all asleep, until ``end``."""
    from ctypes import c_uint

    # A parallel region with nothing in it. Its threads belong to the thread that opened it and end with it.
    library.GOMP_parallel(library.omp_get_thread_num, None, c_uint(library.omp_get_num_procs()), c_uint(0))
    end.wait()


def find_libgomp(maps: Path = Path("/proc/self/maps")) -> CDLL | None:
    """The libgomp that this process has loaded; torch's, if other packages have brought theirs."""
    from ctypes import CDLL

    try:
        files = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "libgomp" in line}
        return CDLL(min(files, key=lambda file: ("torch" not in file, file))) if files else None
    except OSError:
        return None
