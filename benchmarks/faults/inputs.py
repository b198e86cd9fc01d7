"""Thousands of damaged and hostile files, each given to the command that reads it.

    python benchmarks/faults/inputs.py --count 10000 --seed 0 --out build/faults

From one good small input of every kind (images, videos, labels in every format, archives, recipes, runs, weights of
several dialects, exported files) a file is damaged at random (`mutations.py`), or, where pickles and YAML are read, is
replaced by one that tries to run a program. A fault is: a traceback, an exit code other than 0 and 2, a refusal without
a line that says why, an end by a signal, more than --seconds, more than --memory, a hidden or partial file that stays,
or code of the file that ran. OUT/faults.json has the figures; each file that made a fault is kept in OUT/faults. The
same seed makes the same files. Ctrl-C ends it with the figures so far. Exit code 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import json
import random
import selectors
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from good_inputs import OUT, Kind, make_kinds, payloads
from mutations import mutate

from cornernet.files import atomic_write_json

_HOSTILE = ("recipe", "weights", "run")  # kinds whose files could name code
_HOSTILE_SHARE = 0.1
_AGAIN = 400  # inputs after which a worker is replaced: its peak of memory is that of its life


class Worker:
    """A process that runs commands; a new one takes its place after a crash or a command that hangs."""

    def __init__(self, memory: int) -> None:
        self.memory, self.process, self.done = memory, None, 0

    def __call__(self, words: list[str], seconds: float) -> dict[str, Any]:
        """What became of a command: ``code``, ``errors``, ``seconds``, ``peak``; or ``died``, a signal or "hangs"."""
        if self.process is None or self.done >= _AGAIN:
            self.end()
            command = [sys.executable, str(Path(__file__).parent / "worker.py"), str(self.memory)]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
            self.done = 0
        assert self.process.stdin
        assert self.process.stdout
        self.done += 1
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(self.process.stdout, selectors.EVENT_READ)
            came = ready.select(seconds + (60 if self.done == 1 else 0))  # the first one waits for the imports
        line = self.process.stdout.readline() if came else ""
        if line:
            return json.loads(line)
        if not came:
            self.process.kill()
        died = f"signal {-self.process.wait()}" if came else f"hangs, over {seconds:g} s"
        self.process = None
        return {"died": died}

    def end(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def fault_of(answer: dict[str, Any], seconds: float, out: Path, canary: Path) -> str | None:
    """What is wrong with a command's end, or ``None``."""
    if canary.exists():
        return "code of the file ran"
    if "died" in answer:
        return answer["died"]
    if "Traceback" in str(answer["code"]) or "Traceback" in answer["errors"]:
        return "traceback: " + (str(answer["code"]) + answer["errors"]).strip().splitlines()[-1][:200]
    if answer["code"] not in (0, 2):
        return f"exit code {answer['code']}"
    reasons = [line for line in answer["errors"].splitlines() if line.startswith("cornernet: ")]
    if answer["code"] == 2 and not reasons and "problem" not in answer["said"]:  # of data check
        return "refused without a reason"
    if answer["seconds"] > seconds:
        return f"took {answer['seconds']:.1f} s"
    hidden = [path.name for path in out.parent.rglob(".*")]
    return f"left {hidden[0]}" if hidden else None


def main() -> int:
    """Make the inputs, try them, print and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest time of a command")
    parser.add_argument("--memory", type=int, default=2048, help="MiB that a command may take more than it had before")
    parser.add_argument("--kinds", help="only kinds whose names begin so")
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    kinds = [kind for kind in make_kinds(given.out / "good") if kind.name.startswith(given.kinds or "")]
    canary = (given.out / "canary").absolute()
    hostile = payloads(canary)
    worker, rng = Worker(given.memory), random.Random(given.seed)
    for kind in kinds:
        check_good(worker, kind, given.out / "scratch" / "out")
    found: dict[str, Counter[str]] = {kind.name: Counter() for kind in kinds}
    faults: list[dict[str, Any]] = []
    began, slowest, peak = time.perf_counter(), 0.0, 0.0
    done = 0
    try:
        for number in range(given.count):
            kind = kinds[number % len(kinds)]
            target = rng.choice(kind.files)
            is_hostile = kind.name.startswith(_HOSTILE) and rng.random() < _HOSTILE_SHARE
            bad = rng.choice(hostile) if is_hostile else mutate(target.read_bytes(), rng)
            out = new_folder(given.out / "scratch") / "out"
            answer = with_bad_file(worker, kind, target, bad, out, given.seconds)
            fault = fault_of(answer, given.seconds, out, canary)
            slowest, peak = max(slowest, answer.get("seconds", 0.0)), max(peak, answer.get("peak", 0.0))
            found[kind.name]["faults" if fault else "read" if answer["code"] == 0 else "refused"] += 1
            done += 1
            if fault:
                file = new_folder(given.out / "faults" / f"{number:06d}") / target.name
                file.write_bytes(bad)
                canary.unlink(missing_ok=True)
                faults.append({"number": number, "kind": kind.name, "file": str(file), "fault": fault, **answer})
                print(f"{number}: {kind.name}, {target.name}: {fault}", flush=True)
            if done % 500 == 0:
                print(f"{done} inputs, {len(faults)} faults", flush=True)
    except KeyboardInterrupt:
        print(f"stopped after {done} inputs", flush=True)
    worker.end()
    shutil.rmtree(given.out / "scratch", ignore_errors=True)
    minutes = (time.perf_counter() - began) / 60
    figures = {"count": done, "seed": given.seed, "minutes": minutes, "slowest_s": slowest, "peak_mib": peak}
    atomic_write_json(given.out / "faults.json", figures | {"kinds": found, "faults": faults})
    for name, counts in found.items():
        print(f"{name:28} {counts['read']:6} read {counts['refused']:6} refused {counts['faults']:4} faults")
    print(f"{done} inputs, {len(faults)} faults, {minutes:.1f} minutes, slowest {slowest:.1f} s, {peak:.0f} MiB")
    return 1 if faults else 0


def with_bad_file(worker: Worker, kind: Kind, target: Path, bad: bytes, out: Path, seconds: float) -> dict[str, Any]:
    """What became of a kind's command while ``target`` is ``bad``; afterwards all files are as before."""
    kept = {file: file.read_bytes() for file in kind.files}
    try:
        target.write_bytes(bad)
        return worker([word.replace(OUT, str(out)) for word in kind.words], seconds)
    finally:
        for file, content in kept.items():
            file.write_bytes(content)


def check_good(worker: Worker, kind: Kind, out: Path) -> None:
    """``SystemExit`` if the command does not take its good input."""
    new_folder(out.parent)
    answer = worker([word.replace(OUT, str(out)) for word in kind.words], 120.0)
    if answer.get("code") != kind.code:
        raise SystemExit(f"{kind.name}: the good input is not read: {answer}")


def new_folder(folder: Path) -> Path:
    """An empty folder there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
