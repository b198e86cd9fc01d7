"""All measurements on a GPU, in one command of at most ten minutes: a JSON file, and its Markdown tables.

    PYTHONPATH=src python benchmarks/gpu.py --out gpu.json

Corner pooling against flip and ``torch.cummax``; HourglassNet-104 from a 480x640 image to boxes, one at a time; its
training step with 6 crops of 511x511; target building. Images are drawn at random, weights too. Needs only torch
and numpy. With ``--peer`` also mmdetection's CornerNet, if mmdet can be imported; both take longer than ten
minutes, so run it in parts: ``--peer --only inference``, ``--peer --only training targets``.

Each measurement is a process of its own: for one that fails or takes too long the error is written, and the others
go on. ``torch.compile`` runs first, in parallel; afterwards one process at a time is measured. TF32
and cuDNN's search for the fastest algorithm are off unless a variant has them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cornernet.config import Architecture, HourglassConfig
from cornernet.files import atomic_write_json
from cornernet.model.checkpointing import checkpoint_activations
from cornernet.model.corner_pool import HAS_TRITON
from cornernet.model.cornernet import CornerNet

WORKER = Path(__file__).resolve().parent / "gpu_worker.py"
SIDES = {"own": "cornernet", "peer": "mmdetection"}
Job = dict[str, Any]  # section, variant (its name), side, device, quick, seconds
Answer = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One way to run the network; ``compiled`` is a mode of ``torch.compile``, ``search`` cuDNN's.

    ``precision``: ``fp32`` (IEEE), ``tf32`` (float32 whose products are rounded to TF32), ``bf16``, ``fp16``.
    ``change`` prepares our network, in place. ``quick`` ones are run by ``--quick``, ``peer`` ones by mmdetection, too.
    """

    name: str
    precision: str
    compiled: str | None = None
    search: bool = False
    change: Callable[[CornerNet], None] | None = None
    quick: bool = False
    peer: bool = False

    def describe(self) -> dict[str, Any]:
        """For the report."""
        names = ("name", "precision", "compiled", "search")
        return {name: getattr(self, name) for name in names} | {"tf32": self.precision == "tf32"}


GRAPHS = "reduce-overhead"  # CUDA graphs: with one image the GPU waits for Python otherwise
VARIANTS = {
    "inference": (
        Variant("float32", "fp32", peer=True),
        Variant("TF32", "tf32", peer=True),
        Variant("bfloat16", "bf16", quick=True, peer=True),
        Variant("bfloat16, cuDNN search", "bf16", search=True),
        Variant("float16", "fp16", peer=True),
        Variant("TF32, compiled", "tf32", compiled=GRAPHS),
        Variant("bfloat16, compiled", "bf16", compiled=GRAPHS, peer=True),
        Variant("float16, compiled", "fp16", compiled=GRAPHS),
    ),
    "training": (
        Variant("float32", "fp32", peer=True),
        Variant("TF32", "tf32", peer=True),
        Variant("bfloat16", "bf16", peer=True),
        Variant("bfloat16, cuDNN search", "bf16", search=True),
        Variant("bfloat16, checkpointed", "bf16", change=checkpoint_activations),
        Variant("TF32, compiled", "tf32", compiled="default"),
        Variant("bfloat16, compiled", "bf16", compiled="default", quick=True, peer=True),
    ),
    "targets": (Variant("48 images, 80 classes", "fp32", quick=True, peer=True),),
    "pooling": (Variant("every pool", "fp32", quick=True),),
}
SECONDS = {"compiling": 240, "inference": 45, "training": 60, "targets": 45, "pooling": 110}  # at most


@dataclass(frozen=True)
class Scale:
    """How large everything is: images and crops in pixels, shapes (B, C, H, W) in cells, sizes in bytes."""

    architecture: Architecture
    classes: int
    image: tuple[int, int]
    pad_mask: int
    crop: int
    batch: int
    target_images: int
    objects: int  # an image
    pooled: tuple[tuple[int, int, int, int], ...]
    repeats: int
    backend: str  # of torch.compile
    copied: int  # to measure the bandwidth
    fresh: int  # inputs taken in turns, so that no cache holds them all


FULL = Scale(
    Architecture(),
    classes=80,
    image=(480, 640),
    pad_mask=127,
    crop=511,
    batch=6,
    target_images=48,
    objects=20,
    pooled=((6, 128, 128, 128), (1, 128, 128, 192)),  # of a training step, of a padded image
    repeats=20,
    backend="inductor",
    copied=2**30,
    fresh=2**28,
)
QUICK = Scale(
    Architecture(
        HourglassConfig(num_stacks=1, channels=(8, 8, 16), blocks=(1, 1, 1), feature_channels=8),
        corner_channels=8,
        branch_channels=8,
    ),
    classes=3,
    image=(48, 64),
    pad_mask=15,
    crop=63,
    batch=2,
    target_images=2,
    objects=3,
    pooled=((1, 8, 16, 24),),
    repeats=2,
    backend="aot_eager",
    copied=2**20,
    fresh=2**10,
)


def scale_of(job: Job) -> Scale:
    """The sizes of a job."""
    return QUICK if job["quick"] else FULL


def variant_of(job: Job) -> Variant:
    """The entry of ``VARIANTS`` that a job names."""
    return next(v for v in VARIANTS[job["section"]] if v.name == job["variant"])


class Worker:
    """A process for one job; it is ended if it takes too long."""

    def __init__(self, job: Job) -> None:
        self.job, self.late = job, False
        self.answer: Answer | None = None
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process lives
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "4"},  # several compile at once
            start_new_session=True,
        )

    def prepare(self, seconds: float) -> None:
        """Wait until it can measure, or has failed."""
        line = self._read(seconds)
        if line != "ready":
            self.answer = self._conclude(line, "preparing", seconds)

    def measure(self, seconds: float) -> Answer:
        """Its figures, or its ``error``."""
        if self.answer is None:
            with contextlib.suppress(BrokenPipeError):
                print("go", file=self.process.stdin, flush=True)
            self.answer = self._conclude(self._read(seconds), "measuring", seconds)
        self.end()
        return self.answer

    def end(self) -> None:
        """No process is left behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _read(self, seconds: float) -> str:
        timer = threading.Timer(max(0.0, seconds), self._stop)
        timer.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        timer.cancel()
        return line

    def _stop(self) -> None:
        self.late = True
        self.end()

    def _conclude(self, line: str, doing: str, seconds: float) -> Answer:
        if line.startswith("{"):
            return json.loads(line)
        if self.late:
            return {"error": f"stopped: {doing} took longer than {max(0.0, seconds):.0f} s"}
        code = self.process.wait()
        self.log.seek(0)
        lines = self.log.read().strip().splitlines() or ["no message"]
        return {"error": f"ended with code {code}: {lines[-1][:300]}"}


def plan(options: argparse.Namespace) -> list[Job]:
    """All jobs, in the order of measuring: what is compiled first, then ours, then the peer's."""
    jobs = []
    for side, section in product(("own", "peer") if options.peer else ("own",), options.only or VARIANTS):
        for variant in VARIANTS[section]:
            if (side == "own" or variant.peer) and (variant.quick or not options.quick):
                job = {"section": section, "variant": variant.name, "side": side, "device": options.device}
                jobs.append(job | {"quick": options.quick, "seconds": SECONDS[section]})
    return sorted(jobs, key=lambda job: variant_of(job).compiled is None)


def run(jobs: list[Job], minutes: float, tell: Callable[[Job, Answer], None]) -> None:
    """Run the jobs one after another and call ``tell`` with each answer; without time left, the answer says so."""
    end = time.monotonic() + minutes * 60
    workers: list[Worker] = []

    def left(seconds: float) -> float:
        return min(seconds, end - time.monotonic())

    try:
        workers += [Worker(job) for job in jobs if variant_of(job).compiled]
        limit = time.monotonic() + left(SECONDS["compiling"])
        for worker in workers:
            worker.prepare(limit - time.monotonic())
        for worker in workers:
            tell(worker.job, worker.measure(left(worker.job["seconds"])))
        for job in jobs[len(workers) :]:
            seconds, begun = left(job["seconds"]), time.monotonic()
            if seconds < 5:
                tell(job, {"error": f"left out: the {minutes:g} minutes were over"})
                continue
            worker = Worker(job | {"seconds": seconds})
            workers.append(worker)
            worker.prepare(seconds)
            tell(job, worker.measure(begun + seconds - time.monotonic()))
    finally:
        for worker in workers:
            worker.end()


def machine(device: str) -> dict[str, Any]:
    """The machine of the measurement."""
    found: dict[str, Any] = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    found |= {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "device": device}
    if HAS_TRITON:
        import triton

        found["triton"] = triton.__version__
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        found |= {
            "gpu": card.name,
            "gpu_mib": card.total_memory // 2**20,
            "multiprocessors": card.multi_processor_count,
        }
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found


def table(section: str, results: list[dict[str, Any]]) -> str:
    """One section's figures in Markdown."""
    rows, notes = [dict(result) for result in results], []
    if section == "pooling":
        measured = [result for result in results if "rows" in result]
        notes = [f"copy: {r['copy_gb_per_s']} GB/s read and written; {r['left_out']} pools left out" for r in measured]
        rows = [row for result in results for row in result.get("rows", [result])]
    for row in rows:
        row |= {f"{stage}, ms": value for stage, value in row.pop("stages_ms", {}).items()}
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    cells = [["" if row.get(name) is None else str(row[name]) for name in columns] for row in rows]
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([f"### {section}", "", *lines, "", *notes, ""])


def measure_all(options: argparse.Namespace) -> None:
    """Measure, write the JSON file after every measurement, print the tables."""
    start, jobs = time.monotonic(), plan(options)
    results: dict[str, list[dict[str, Any]]] = {job["section"]: [] for job in jobs}
    variants = {section: [v.describe() for v in VARIANTS[section]] for section in results}
    report = {"machine": machine(options.device), "variants": variants, "results": results, "minutes": 0.0}

    def tell(job: Job, answer: Answer) -> None:
        results[job["section"]].append({"side": SIDES[job["side"]], "variant": job["variant"]} | answer)
        seconds = time.monotonic() - start
        report["minutes"] = round(seconds / 60, 2)
        said = answer.get("error", f"{answer['median_ms']} ms" if "median_ms" in answer else "done")
        print(f"{seconds:5.0f} s  {SIDES[job['side']]}, {job['section']}, {job['variant']}: {said}", file=sys.stderr)
        atomic_write_json(options.out, report)

    run(jobs, options.minutes, tell)
    for section, rows in results.items():
        print(table(section, rows))
    print(", ".join(f"{name} {value}" for name, value in machine(options.device).items()))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file to write")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--minutes", type=float, default=9.5, help="over by then, whatever is left out")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), help="these sections alone")
    parser.add_argument("--peer", action="store_true", help="mmdetection's CornerNet, too")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, few variants: to see that it runs")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: no GPU here; --device cpu --quick shows that the benchmark runs")
    measure_all(options)


if __name__ == "__main__":
    main()
