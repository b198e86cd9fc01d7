"""Threads spin while their cores are free, sleep while other programs use them, and wait as the user says."""

import os
import subprocess
import sys
import time

import pytest
import torch  # noqa: F401  # loads libgomp

from cornernet import waiting
from cornernet.waiting import SPINS, chosen_by_user, cores_used_by_others, limit_spinning, should_sleep

has_libgomp = pytest.mark.skipif(waiting.find_libgomp() is None, reason="torch has no libgomp here")
OURS = {"GOMP_SPINCOUNT": SPINS}


def run_python(code: str, **environment: str) -> str:
    """What a new process prints; it has no settings of OpenMP but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=clean | environment, check=True)
    return done.stdout + done.stderr


def spins_of_libgomp(code: str, **environment: str) -> str:
    """The value that libgomp has taken from the environment when it was loaded."""
    shown = run_python(code, OMP_DISPLAY_ENV="verbose", **environment)
    (line,) = {line for line in shown.splitlines() if "GOMP_SPINCOUNT" in line}
    return line.split("'")[1]


@has_libgomp
@pytest.mark.parametrize("code", ["import cornernet, torch", "import cornernet.inference.detector"])
def test_libgomp_is_told_before_torch_loads_it(code):
    assert spins_of_libgomp(code) == SPINS


@has_libgomp
def test_the_users_settings_reach_libgomp():
    assert spins_of_libgomp("import cornernet, torch", GOMP_SPINCOUNT="77") == "77"
    assert spins_of_libgomp("import cornernet, torch", OMP_WAIT_POLICY="passive") == "0"


@pytest.mark.parametrize(
    ("environment", "chosen"),
    [
        ({}, ""),
        ({"OMP_NUM_THREADS": "2"}, ""),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "OMP_WAIT_POLICY=ACTIVE"),
        ({"GOMP_SPINCOUNT": "77"}, "GOMP_SPINCOUNT=77"),
    ],
)
def test_the_users_settings_stay(environment, chosen):
    assert chosen_by_user(environment) == chosen
    after = dict(environment)
    limit_spinning(after)
    assert after == (environment if chosen else environment | OURS)
    assert chosen_by_user(after) == chosen  # also in a process that is started now, for instance by --devices


@pytest.mark.parametrize(
    ("threads", "others", "quota", "sleep"),
    [
        (2, 0.1, 2.0, False),
        (2, 1.0, 2.0, True),
        (1, 1.0, 2.0, False),
        (1, 2.0, 2.0, True),
        (2, 0.4, 2.0, False),
        (2, 0.0, 1.0, True),  # a container's share
        (2, None, 2.0, False),
    ],
)
def test_threads_sleep_where_others_leave_them_too_few_cores(threads, others, quota, sleep, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(waiting, "usable_cores", lambda: quota)
    assert should_sleep(threads, others) == sleep


def test_own_work_is_not_that_of_others(monkeypatch):
    own, all_cores = iter([10.0, 11.5]), iter([1000.0, 1002.0])
    monkeypatch.setattr(os, "times", lambda: os.times_result((next(own), 0.0, 0.0, 0.0, 0.0)))
    monkeypatch.setattr(waiting, "busy_seconds", lambda: next(all_cores))
    moments = iter([0.0, 1.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    assert cores_used_by_others(0.0) == pytest.approx(0.5)


def test_a_system_that_does_not_say_how_busy_it_is(monkeypatch):
    monkeypatch.setattr(waiting, "busy_seconds", lambda: None)
    assert cores_used_by_others(0.0) is None


WATCHED = """
import os, time, torch
from cornernet import waiting
use = 2.0 * os.cpu_count()
def others(seconds):
    time.sleep(0.02)
    return use
waiting.cores_used_by_others = others
values = torch.linspace(-1, 1, 1 << 20)
before = values.exp().sum()
waiting.adapt_waiting()
waiting.adapt_waiting()
counts = []
for use in (use, 0.0, use):
    time.sleep(0.5)
    counts.append(len(os.listdir("/proc/self/task")))
    assert torch.equal(values.exp().sum(), before)
print(counts, torch.get_num_threads(), flush=True)
os._exit(0)
"""


@has_libgomp
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_idle_threads_come_and_go_with_the_load():
    """More OpenMP threads than cores are what makes libgomp spin less; those that compute stay as many."""
    busy, quiet, again = eval(run_python(WATCHED, OMP_NUM_THREADS="2").split(" 2")[0])
    assert busy == again
    assert busy - quiet >= len(os.sched_getaffinity(0))


@has_libgomp
@pytest.mark.parametrize("environment", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_NUM_THREADS": "1"}])
def test_no_thread_looks_where_nothing_may_change(environment):
    code = "import torch, threading; from cornernet.waiting import adapt_waiting; adapt_waiting()"
    assert run_python(f"{code}; print(threading.active_count())", **environment).split()[-1] == "1"


@pytest.mark.slow
@has_libgomp
def test_a_training_step_is_timed_sensibly_beside_busy_programs():
    """With libgomp's own spinning, it once took 15 s an image."""
    code = "from cornernet.recipes.load import load_recipe; from cornernet.training.timing import seconds_per_image; "
    code += "print(seconds_per_image(load_recipe('shapes-demo'), 10))"
    alone = float(run_python(code).split()[-1])
    command = [sys.executable, "-c", "while True: pass"]
    programs = [subprocess.Popen(command, start_new_session=True) for _ in os.sched_getaffinity(0)]
    try:
        assert float(run_python(code).split()[-1]) < 10 * alone
    finally:
        for program in programs:
            program.kill()
            program.wait()
