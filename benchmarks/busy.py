"""How fast this program is beside other busy programs, by the way in which its threads wait for each other.

Every side is a process of its own; in it, the same work is timed on quiet cores, beside one and beside two programs
that never stop. Each of these is in a session of its own, as a program in another terminal is: Linux shares cores
among sessions first. A cell is measured again if something else used the cores meanwhile.

    python benchmarks/busy.py --tasks training --out busy.json     # three minutes
    python benchmarks/busy.py --tasks detection onnx openvino --out busy.json     # adds to the file
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import Any

from cornernet.evaluation.cost import cpu_model
from cornernet.export.write import to_onnx, write_onnx, write_openvino
from cornernet.files import atomic_write_json
from cornernet.hardware import busy_seconds
from cornernet.waiting import USER_SETTINGS
from cornernet.weights.zoo import open_weights

HERE = Path(__file__).parent
BESIDE = (0, 1, 2)  # busy programs
OPENMP = {  # side: environment
    "libgomp's default": {"GOMP_SPINCOUNT": "300000"},
    "10,000 spins": {"GOMP_SPINCOUNT": "10000"},
    "3,000 spins": {"GOMP_SPINCOUNT": "3001"},  # 3000 would be ours
    "1,000 spins": {"GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "ours": {},
}
SPINNING, DURATION = "session.intra_op.allow_spinning", "session.intra_op.spin_duration_us"
ONNX = {  # side: what is unlike a worker of ONNX Runtime itself
    "its default": {"entries": {}},
    "spins 0.1 ms": {"entries": {DURATION: "100"}},
    "spins 0.02 ms": {"entries": {DURATION: "20"}},
    "sleeps": {"entries": {SPINNING: "0"}},
    "one thread": {"entries": {}, "threads": 1},
}
FP32 = {"INFERENCE_PRECISION_HINT": "f32"}  # as ours
OPENVINO = {
    "its default": {"entries": FP32},
    "not pinned": {"entries": FP32 | {"ENABLE_CPU_PINNING": False}},
    "one thread": {"entries": FP32 | {"INFERENCE_NUM_THREADS": 1}},
}
TASKS = ("training", "detection", "onnx", "openvino")
TITLES = {
    "training": "training step, 2 x 256x256",
    "detection": "detection, 320x320",
    "onnx": "detection, ONNX Runtime",
    "openvino": "detection, OpenVINO",
}
_FOREIGN = 0.1  # cores


def sides_of(task: str, folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, str]]]:
    """The job and environment of every side."""
    if task in ("training", "detection"):
        return {side: ({"task": task}, environment) for side, environment in OPENMP.items()}
    file = str(folder / {"onnx": "shapes.onnx", "openvino": "shapes.xml"}[task])
    bare = {"onnx": ONNX, "openvino": OPENVINO}[task]
    sides: dict[str, Any] = {side: ({"task": f"bare {task}", "file": file} | job, {}) for side, job in bare.items()}
    return sides | {"ours": ({"task": task, "file": file}, {})}


@contextmanager
def busy_programs(count: int) -> Iterator[list[int]]:
    """So many programs that never stop, as process numbers; each has a session of its own."""
    command = [sys.executable, "-c", "while True: pass"]
    programs = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    try:
        time.sleep(1.5 if count else 0)  # so that a side that looks at the load has seen it
        yield [program.pid for program in programs]
    finally:
        for program in programs:
            program.kill()
            program.wait()


def cpu_seconds(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def time_cell(worker: subprocess.Popen[str], count: int, seconds: float, patience: float) -> dict[str, float]:
    """Milliseconds of a repetition, mean of ``seconds``, beside ``count`` busy programs.

    ``foreign`` is how many cores others used; with too many, the cell is measured again for ``patience`` seconds.
    """
    source, sink = worker.stdout, worker.stdin
    assert source
    assert sink
    end, best = time.monotonic() + patience, {"ms": 0.0, "foreign": float("inf")}
    with busy_programs(count) as programs:
        while best["foreign"] > _FOREIGN and (time.monotonic() < end or not best["ms"]):
            known = [worker.pid, *programs]
            start, before = time.monotonic(), (busy_seconds() or 0) - sum(map(cpu_seconds, known))
            sink.write(f"{seconds}\n")
            sink.flush()
            times = json.loads(source.readline())
            foreign = (busy_seconds() or 0) - sum(map(cpu_seconds, known)) - before
            cell = {"ms": 1000 * mean(times), "foreign": max(0.0, foreign / (time.monotonic() - start))}
            best = min(best, cell, key=lambda each: each["foreign"])
    return best


def measure(
    job: dict[str, Any], environment: dict[str, str], seconds: float, patience: float
) -> list[dict[str, float]]:
    """A side's cells, in a process of its own."""
    own = {name: value for name, value in os.environ.items() if name not in (*USER_SETTINGS, "OMP_NUM_THREADS")}
    command = [sys.executable, str(HERE / "busy_worker.py"), json.dumps(job)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=own | environment, start_new_session=True, **pipes) as worker:
        assert worker.stdin
        assert worker.stdout
        if worker.stdout.readline().strip() != "ready":
            raise SystemExit(f"{job['task']}: the worker failed")
        cells = [time_cell(worker, count, seconds, patience) for count in BESIDE]
        worker.stdin.close()
    return cells


def table(results: dict[str, dict[str, list[list[dict[str, float]]]]]) -> str:
    """A Markdown table: medians of the rounds without foreign load, or of all if there are none."""
    lines = ["| ms | quiet | beside one | beside two |", "|---|--:|--:|--:|"]
    for task, sides in results.items():
        lines.append(f"| **{TITLES[task]}** | | | |")
        for side, rounds in sides.items():
            lines.append(f"| {side} | {' | '.join(f'{cell:.0f}' for cell in median_cells(rounds))} |")
    return "\n".join(lines)


def median_cells(rounds: list[list[dict[str, float]]]) -> list[float]:
    """Milliseconds quiet, beside one and beside two, from the rounds in which nothing else ran, or the quietest."""
    found = []
    for cells in zip(*rounds, strict=True):
        undisturbed = [cell for cell in cells if cell["foreign"] <= _FOREIGN]
        chosen = undisturbed or [min(cells, key=lambda cell: cell["foreign"])]
        values = sorted(cell["ms"] for cell in chosen)
        found.append((values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2)
    return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--sides", nargs="+", help="only these")
    parser.add_argument("--seconds", type=float, default=4, help="of each cell")
    parser.add_argument("--patience", type=float, default=8, help="seconds to repeat a disturbed cell")
    parser.add_argument("--out", type=Path, default=Path("busy.json"), help="rounds are added to those in the file")
    options = parser.parse_args()
    results = json.loads(options.out.read_text())["results"] if options.out.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if {"onnx", "openvino"} & set(options.tasks):
            graph = to_onnx(open_weights("shapes"))
            write_onnx(folder / "shapes.onnx", graph)
            write_openvino(folder / "shapes.xml", graph)
        for task in options.tasks:
            for side, (job, environment) in sides_of(task, folder).items():
                if options.sides and side not in options.sides:
                    continue
                cells = measure(job, environment, options.seconds, options.patience)
                told = ", ".join(f"{cell['ms']:.0f} (others: {cell['foreign']:.2f})" for cell in cells)
                print(f"{task}, {side}: {told}", file=sys.stderr, flush=True)
                results.setdefault(task, {}).setdefault(side, []).append(cells)
                machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "system": os.uname().release}
                atomic_write_json(options.out, {"machine": machine, "results": results})
    print(f"{cpu_model()}, {os.cpu_count()} cores\n\n{table(results)}")


if __name__ == "__main__":
    main()
