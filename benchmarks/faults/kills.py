"""Commands that are killed at random moments: what they wrote is whole or absent, and trainings go on exactly.

    python benchmarks/faults/kills.py --kills 100 --seed 0 --out build/kills

SIGKILL, SIGTERM or SIGINT ends a training at any moment between its start and its end, saving and validating included;
`--resume` goes on, and is killed again, until half of the kills are used up. Then it ends by itself: weights, log and
figures must be those of the training that was left alone, to the byte. The other half of the kills ends `data convert`,
`export`, `predict`, `report` and `weights convert`: each output must be absent or the one of a run that was left alone,
and nothing else may lie beside it, but what a SIGKILL leaves, which has a hidden name. OUT/kills.json has the figures.
Exit code 1 if there is a fault.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cornernet.files import atomic_write_json

SIGNALS = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
SAME = ("log.jsonl", "last.safetensors", "best.safetensors", "metrics.json", "predictions.json")
_TRAINING = (
    *("--size", "hourglass-nano", "--epochs", "4", "--augmentation.crop_size", "64", "--validate_every", "1"),
    *("--checkpoint-seconds", "0", "--no-report", "--workers", "0"),
)


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "cornernet", *map(str, words)]


def run(words: Sequence[str]) -> float:
    """Seconds of a command that is left alone; ``SystemExit`` if it fails."""
    began = time.perf_counter()
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(words[3:])}: {ended.stderr}")
    return time.perf_counter() - began


def kill(words: Sequence[str], after: float, number: signal.Signals) -> tuple[int, str]:
    """Start a command, end it ``after`` so many seconds; its exit code and what it said."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=pipe, text=True, start_new_session=True)
    try:
        return process.wait(after), process.stderr.read() if process.stderr else ""
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=120)
        return process.returncode, errors


def trainings(folder: Path, data: Path, kills: int, rng: random.Random) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Trainings with several kills each, until there were so many."""
    counts, faults = Counter[str](), []
    start = ["train", "--data", data, *_TRAINING, "--out"]
    whole = folder / "whole"
    seconds = run(command(*start, whole))
    number = 0
    while counts["kills"] < kills:
        number += 1
        own = folder / f"run-{number}"
        for _ in range(min(rng.randint(1, 8), kills - counts["kills"])):
            chosen = rng.choice(SIGNALS)
            code, errors = kill(begin_or_go_on(start, own), rng.uniform(0, 1.1 * seconds), chosen)
            counts["kills"] += 1
            counts[chosen.name] += 1
            if "Traceback" in errors:
                faults.append({"run": own.name, "signal": chosen.name, "fault": errors[-2000:]})
            if code == 0:
                break
        ended = subprocess.run(begin_or_go_on(start, own), capture_output=True, text=True, check=False)
        different = [name for name in SAME if (own / name).read_bytes() != (whole / name).read_bytes()]
        hidden = [path.name for path in own.glob(".*")]
        counts["trainings"] += 1
        counts["exact"] += not different and not ended.returncode
        if different or ended.returncode:
            faults.append(
                {"run": own.name, "fault": f"exit {ended.returncode}, other {different}: {ended.stderr[-500:]}"}
            )
        counts["left hidden files"] += bool(hidden)
    return counts, faults


def begin_or_go_on(start: Sequence[object], own: Path) -> list[str]:
    """What a user types next: ``--resume`` if a state was saved, else the first command in an empty folder."""
    if (own / "state.ckpt").is_file():
        return command("train", "--resume", own)
    shutil.rmtree(own, ignore_errors=True)
    return command(*start, own)


def others(folder: Path, data: Path, kills: int, rng: random.Random) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Commands that write one thing each, killed in turn."""
    folder.mkdir()
    known = ["--weights", "shapes"]
    kinds = {  # the words, and what they write
        "convert": (["data", "convert", data, folder / "yolo", "--to", "yolo"], "yolo"),
        "predict": (["predict", data / "val", *known, "--save", "json,coco,csv", "--out", folder / "found"], "found"),
        "export": (["export", *known, "--out", folder / "a.onnx"], "a.onnx"),
        "report": (["report", *known, "--data", data, "--out", folder / "a.html"], "a.html"),
        "weights": (["weights", "convert", "shapes", folder / "a.safetensors"], "a.safetensors"),
    }
    counts, faults = Counter[str](), []
    good: dict[str, dict[str, bytes]] = {}
    seconds = {name: run(command(*words)) for name, (words, _) in kinds.items()}
    marks = {path.name for path in folder.rglob(".*")}  # of predict: what it may write over next time
    for name, (_, out) in kinds.items():
        good[name] = files_of(folder / out)
        shutil.rmtree(folder / out) if (folder / out).is_dir() else (folder / out).unlink()
    for number in range(kills):
        name = list(kinds)[number % len(kinds)]
        words, out = kinds[name]
        chosen = rng.choice(SIGNALS)
        code, errors = kill(command(*words), rng.uniform(0, 1.05 * seconds[name]), chosen)
        found = files_of(folder / out)
        bad = [path for path, content in found.items() if not is_same(content, good[name].get(path))]
        hidden = [path for path in folder.rglob(".*") if chosen != signal.SIGKILL and path.name not in marks]
        counts["kills"] += 1
        counts[f"{name}, {'ended before' if code == 0 else 'absent' if not found else 'something there'}"] += 1
        if bad or hidden or "Traceback" in errors:
            what = f"half written: {bad}; left: {[path.name for path in hidden]}; {errors[-1000:]}"
            faults.append({"command": name, "signal": chosen.name, "fault": what})
        for path in list(folder.iterdir()):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return counts, faults


def is_same(content: bytes, good: bytes | None) -> bool:
    """Whether a file is the whole one; a page and a graph have times in them, so their ends and sizes count."""
    if good is None or content == good:
        return good is not None
    return abs(len(content) - len(good)) < 64 and content[-16:] == good[-16:]


def files_of(place: Path) -> dict[str, bytes]:
    """The contents of a file, or of all files of a folder, hidden ones left out."""
    paths = [place] if place.is_file() else sorted(place.rglob("*"))
    return {
        str(path.relative_to(place.parent)): path.read_bytes()
        for path in paths
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(place.parent).parts)
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    given = parser.parse_args()
    given.out.mkdir(parents=True)
    rng, began, data = random.Random(given.seed), time.perf_counter(), given.out / "data"
    run(command("data", "shapes", data, "--train", "24", "--val", "4"))
    trained, faults = trainings(given.out, data, given.kills // 2, rng)
    print(", ".join(f"{name} {count}" for name, count in sorted(trained.items())), flush=True)
    written, more = others(given.out / "others", data, given.kills - given.kills // 2, rng)
    minutes = (time.perf_counter() - began) / 60
    result = {"seed": given.seed, "minutes": minutes, "training": trained, "others": written, "faults": faults + more}
    atomic_write_json(given.out / "kills.json", result)
    print(", ".join(f"{name} {count}" for name, count in sorted(written.items())))
    for fault in faults + more:
        print(fault)
    print(f"{given.kills} kills, {len(faults + more)} faults, {minutes:.1f} minutes")
    return 1 if faults or more else 0


if __name__ == "__main__":
    sys.exit(main())
