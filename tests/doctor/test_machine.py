"""Cores, memory, GPUs and folders of machines that are not this one."""

import os
import shutil

import pytest

from cornernet.doctor.finding import Finding, examine
from cornernet.doctor.machine import (
    check_cores,
    check_folder,
    check_memory,
    check_shared_memory,
    check_waiting,
    graphics_cards,
)
from cornernet.doctor.packages import check_gpu, check_torch
from cornernet.hardware import busy_seconds, usable_cores, usable_memory

CPU_BUILD = {"version": "2.13.0+cpu", "cuda": None, "threads": 2, "devices": [], "warnings": []}
CUDA_BUILD = CPU_BUILD | {"version": "2.13.0", "cuda": "13.0"}
GPU = {"name": "NVIDIA H100", "free": 70 << 30, "total": 80 << 30}
CARDS = ["NVIDIA H100 (driver 470.1, 81559 MiB)"]


def write(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def only(findings):
    (finding,) = findings
    assert bool(finding.fix) == (finding.mark != "ok")
    return finding.mark, f"{finding.said} -> {finding.fix}"


def test_a_check_that_fails_itself_costs_the_others_nothing():
    def broken():
        raise ZeroDivisionError("oh")

    found = examine([("one", broken), ("two", lambda: [Finding("ok", "two", "fine")])])
    assert [(finding.mark, finding.what) for finding in found] == [("warn", "one"), ("ok", "two")]
    assert "ZeroDivisionError: oh" in found[0].said


def test_a_container_limits_the_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert usable_cores(tmp_path / "none") == 64
    assert usable_cores(write(tmp_path / "free", cpu_dot_max="max 100000\n")) == 64
    assert usable_cores(write(tmp_path / "two", cpu_dot_max="150000 100000\n")) == 1.5
    assert usable_cores(write(tmp_path / "old", cpu__cpu_dot_cfs_quota_us="-1", cpu__cpu_dot_cfs_period_us="9")) == 64
    first = write(tmp_path / "first", cpu__cpu_dot_cfs_quota_us="400000\n", cpu__cpu_dot_cfs_period_us="100000\n")
    assert usable_cores(first) == 4


@pytest.mark.parametrize(
    ("facts", "cores", "mark", "said"),
    [
        (CPU_BUILD | {"threads": 64}, 2.0, "warn", "OMP_NUM_THREADS=2"),
        (CPU_BUILD | {"threads": 2}, 1.5, "ok", "torch takes 2 threads"),
        (CPU_BUILD | {"threads": 1}, 8.0, "warn", "unset OMP_NUM_THREADS"),
        (CUDA_BUILD | {"threads": 1, "devices": [GPU]}, 8.0, "ok", "1 threads"),
        ({"error": "no torch"}, 8.0, "ok", "8 of"),
    ],
)
def test_threads_beside_cores(facts, cores, mark, said):
    found = only(check_cores(facts, cores))
    assert found[0] == mark
    assert said in found[1]


STAT = """cpu  9 9 9 9 9 9 9 9 0 0
cpu0 100 20 30 5000 40 1 2 3 0 0
cpu1 200 0 0 5000 0 0 0 44 0 0
cpu2 900 0 0 0 0 0 0 0 0 0
intr 5
"""


def test_seconds_of_work_on_our_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    (tmp_path / "stat").write_text(STAT)
    assert busy_seconds(tmp_path / "stat") == 4.0  # stolen time, too; no idle time, and no other core's
    (tmp_path / "zeros").write_text("cpu 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0\n")  # a sandbox that does not say
    assert busy_seconds(tmp_path / "zeros") is None
    assert busy_seconds(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("chosen", "others", "facts", "mark", "said"),
    [
        ("", 0.1, {}, "ok", "others use 0.1 cores now; torch's threads spin for a short time"),
        ("", 1.0, {}, "warn", "others use 1.0 cores now; torch's threads sleep while they wait"),
        ("", 1.0, {"libgomp": False}, "warn", "wait as its OpenMP does"),
        ("", None, {}, "ok", "the system does not say how busy the cores are"),
        ("", 1.0, {"threads": 1}, "ok", "spin for a short time"),
        ("OMP_WAIT_POLICY=ACTIVE", 1.0, {}, "warn", "unset OMP_WAIT_POLICY"),
        ("OMP_WAIT_POLICY=ACTIVE", 0.0, {}, "ok", "wait by your OMP_WAIT_POLICY=ACTIVE; others use 0.0 cores"),
        ("OMP_WAIT_POLICY=PASSIVE", 1.0, {}, "ok", "wait by your OMP_WAIT_POLICY=PASSIVE"),
        ("OMP_WAIT_POLICY=ACTIVE GOMP_SPINCOUNT=9", 1.0, {}, "warn", "unset OMP_WAIT_POLICY GOMP_SPINCOUNT"),
    ],
)
def test_threads_that_wait_beside_other_programs(chosen, others, facts, mark, said, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr("cornernet.waiting.usable_cores", lambda: 2.0)
    found = only(check_waiting(CPU_BUILD | {"libgomp": True} | facts, chosen, others))
    assert found[0] == mark
    assert said in found[1]


def test_memory_is_what_the_container_leaves(tmp_path):
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 67108864 kB\nMemFree: 1 kB\nMemAvailable: 33554432 kB\nHugePages_Total: 0\n")
    assert usable_memory(tmp_path, info) == (32 << 30, 64 << 30)
    limited = write(tmp_path / "new", memory_dot_max=f"{4 << 30}\n", memory_dot_current=f"{3 << 30}\n")
    assert usable_memory(limited, info) == (1 << 30, 4 << 30)
    # the copies of files that the system remembers can be had
    stat = f"anon 7\ninactive_file {1 << 30}\n"
    assert usable_memory(write(limited, memory_dot_stat=stat), info) == (2 << 30, 4 << 30)
    assert usable_memory(write(tmp_path / "free", memory_dot_max="max"), info) == (32 << 30, 64 << 30)
    assert usable_memory(tmp_path, tmp_path / "none") is None
    assert only(check_memory((1 << 30, 4 << 30)))[0] == "warn"
    assert only(check_memory((8 << 30, 9 << 30)))[0] == only(check_memory(None))[0] == "ok"


@pytest.mark.parametrize(("free", "mark"), [(1 << 20, "FAIL"), (60 << 20, "warn"), (1 << 30, "ok")])
def test_shared_memory(free, mark, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 0, free))
    found = only(check_shared_memory(tmp_path))
    assert found[0] == mark
    assert mark == "ok" or "--shm-size" in found[1]
    assert check_shared_memory(tmp_path / "none") == []


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert only(check_folder("cache", tmp_path / "not" / "yet", "choose another"))[0] == "ok"
    assert not (tmp_path / "not").exists()
    blocked = only(check_folder("cache", tmp_path / "file" / "below", "choose another"))
    assert blocked[0] == "warn"
    assert "cannot be written to" in blocked[1]
    assert "choose another" in blocked[1]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1))
    assert "free some space" in only(check_folder("cache", tmp_path, "choose another"))[1]


@pytest.mark.parametrize(
    ("facts", "cards", "visible", "mark", "said"),
    [
        (CPU_BUILD, [], None, "ok", "run on the CPU"),
        (CPU_BUILD, CARDS, None, "warn", "built for the CPU -> pip install"),
        (CUDA_BUILD, CARDS, None, "warn", "torch finds none; it is built for CUDA 13.0 -> upgrade the NVIDIA driver"),
        (CUDA_BUILD | {"warnings": ["The CUDA driver is too old"]}, CARDS, "0", "warn", "driver is too old"),
        (CUDA_BUILD, CARDS, "", "warn", "unset CUDA_VISIBLE_DEVICES"),
        (CUDA_BUILD, "Driver/library version mismatch", None, "warn", "restart the machine"),
        (CUDA_BUILD | {"devices": [GPU]}, CARDS, None, "ok", "NVIDIA H100, 70.0 of 80.0 GiB free"),
        (CUDA_BUILD | {"devices": [GPU | {"free": 1 << 30}]}, CARDS, None, "warn", "nvidia-smi shows what uses it"),
        (CUDA_BUILD | {"devices": [GPU | {"error": "no kernel image"}]}, CARDS, None, "FAIL", "no kernel image"),
        ({"error": "torch is broken"}, CARDS, None, "ok", "NVIDIA H100"),
    ],
)
def test_gpus(facts, cards, visible, mark, said):
    found = only(check_gpu(facts, cards, visible))
    assert found[0] == mark
    assert said in found[1]


def test_a_broken_torch_stops_a_training():
    assert only(check_torch({"error": "libc10.so: no such file"}))[0] == "FAIL"
    assert only(check_torch(CUDA_BUILD)) == ("ok", "2.13.0, built for CUDA 13.0 -> ")


@pytest.mark.skipif(os.name != "posix", reason="writes a shell script")
def test_nvidia_smi_is_asked(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert graphics_cards() == []
    program.write_text("#!/bin/sh\necho 'NVIDIA A, 550.1, 100 MiB'\necho 'NVIDIA B, 550.1, 200 MiB'\n")
    program.chmod(0o755)
    assert graphics_cards() == ["NVIDIA A (driver 550.1, 100 MiB)", "NVIDIA B (driver 550.1, 200 MiB)"]
    program.write_text("#!/bin/sh\necho 'Failed to initialize NVML:'\necho mismatch\nexit 18\n")
    assert graphics_cards() == "Failed to initialize NVML: mismatch"
    program.write_text("no program")
    assert isinstance(graphics_cards(), str)
