"""cornernet and mmdetection's CornerNet side by side on the CPU: a training iteration, and detecting in one image.

Both have the network, batch, crop, optimiser and threads of one recipe, weights from scratch, and read their batches
from the same folder in the training process. Each measurement is a process of its own, nothing else
is started meanwhile, and the candidates take turns, round after round. The peer is timed in both memory layouts; the
faster one counts. Close other programs first.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from cornernet.data.coco import find_split
from cornernet.errors import InputError
from cornernet.evaluation.cost import cpu_model
from cornernet.files import atomic_write_json
from cornernet.recipes.load import load_recipe

T = TypeVar("T")
TASKS, WARMUP = ("train", "infer"), 3
HERE = Path(__file__).parent
OWN, PEER = ("32-true", "bf16-mixed"), ("contiguous", "channels_last")
TITLES = {
    "32-true": "cornernet, float32",
    "bf16-mixed": "cornernet, bfloat16",
    "contiguous": "mmdetection, float32",
    "channels_last": "mmdetection, float32, channels-last",
}
OWN_VERSIONS, PEER_VERSIONS = ("torch", "lightning", "numpy"), ("torch", "mmdet", "mmcv", "mmengine", "numpy")


def find_python(name: str, needed: str) -> str:
    """The program ``--peer-python`` names; ``InputError`` with its required packages if there is none."""
    if (program := shutil.which(name)) is None:
        raise InputError(
            f"--peer-python {name}: no such program; make an environment with {needed}, and give its bin/python"
        )
    return program


def run(command: list[str], threads: int) -> Any:
    """The JSON in the last line that a command prints; ``InputError`` with the end of its errors if it fails."""
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise InputError(f"{' '.join(command[:2])} failed ({done.returncode}):\n{done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def title(variant: str) -> str:
    """A row's name: for an exported file, the file's."""
    return TITLES.get(variant) or f"exported, {Path(variant).name}"


def versions(python: str, names: tuple[str, ...]) -> dict[str, str]:
    """Version of a python and of packages in its environment, all of which must import."""
    code = "import importlib, json, platform, sys; found = {n: importlib.import_module(n) for n in sys.argv[1:]}; "
    code += "print(json.dumps({'python': platform.python_version()} | {n: m.__version__ for n, m in found.items()}))"
    return run([python, "-c", code, *names], 1)


def make_job(name: str, data: str, side: int | None, iterations: int, threads: int) -> dict[str, Any]:
    """The job of every worker; the peer has the recipe's sizes, too."""
    recipe = load_recipe(name)
    annotations, images = find_split(data, "val")
    table = json.loads(annotations.read_text())
    sizes = {
        "num_stacks": recipe.model.num_stacks,
        "channels": recipe.model.channels,
        "blocks": recipe.model.blocks,
        "feature_channels": recipe.model.feature_channels,
        "crop_size": recipe.augmentation.crop_size,
        "scales": recipe.augmentation.scales,
        "pad_mask": recipe.preprocessing.pad_mask,
        "batch_size": recipe.batch_size,
        "lr": recipe.optimization.lr * recipe.batch_size / recipe.optimization.base_batch_size,
        "gradient_clip": recipe.optimization.gradient_clip,
    }
    return {
        "recipe": name,
        "data": str(Path(data).resolve()),
        "image": str((images / table["images"][0]["file_name"]).resolve()),
        "side": side,
        "class_names": [category["name"] for category in table["categories"]],
        "sizes": sizes,
        "warmup": WARMUP,
        "iterations": iterations,
        "threads": threads,
    }


def measure(
    job: dict[str, Any], peer_python: str, rounds: int, tasks: Sequence[str], exported: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """All seconds, and the processes' largest peak memory in MiB, for each task and variant."""
    order = [(sys.executable, "own_worker.py", variant) for variant in OWN]
    order += [(peer_python, "peer_worker.py", variant) for variant in PEER]
    files = [(sys.executable, "exported_worker.py", path) for path in exported]
    found: dict[str, dict[str, Any]] = {task: {} for task in tasks}
    for number in range(rounds):
        for task, results in found.items():
            for python, worker, variant in order + (files if task == "infer" else []):
                print(f"round {number + 1} of {rounds}: {task}, {title(variant)}", file=sys.stderr, flush=True)
                told = json.dumps(job | {"task": task, "variant": variant})
                answer = run([python, str(HERE / worker), told], job["threads"])
                if answer["threads"] != job["threads"]:
                    raise InputError(f"{worker} ran with {answer['threads']} threads, not {job['threads']}")
                entry = results.setdefault(variant, {"seconds": [], "peak_mib": 0.0})
                entry["parameters"] = answer.get("parameters")  # nobody counts an exported file's
                entry["seconds"] += answer["seconds"]
                entry["peak_mib"] = max(entry["peak_mib"], answer["peak_mib"])
    counts = {entry["parameters"] for results in found.values() for entry in results.values()} - {None}
    if len(counts) > 1:
        raise InputError(f"the networks differ: {sorted(counts)} parameters; the comparison would mean nothing")
    return found


def conclude(found: dict[str, dict[str, Any]]) -> None:
    """Add medians, rates and speed relative to the peer's better layout to what ``measure`` found."""
    for results in found.values():
        for entry in results.values():
            entry["median_seconds"] = median(entry["seconds"])
            entry["per_second"] = 1 / entry["median_seconds"]
        best = max(results[variant]["per_second"] for variant in PEER)
        for entry in results.values():
            entry["speed_relative_to_peer"] = entry["per_second"] / best


def table(found: dict[str, dict[str, Any]]) -> str:
    """The figures as Markdown."""
    lines = []
    titles = {"train": ("training", "iterations/s"), "infer": ("one image, pixels to boxes", "images/s")}
    for task, results in found.items():
        work, unit = titles[task]
        lines += [
            f"| {work} | median, ms | {unit} | relative to the peer | peak memory, MiB |",
            "|---|--:|--:|--:|--:|",
        ]
        for variant, entry in results.items():
            numbers = f"{entry['median_seconds'] * 1000:.1f} | {entry['per_second']:.3f}"
            relative = f"{entry['speed_relative_to_peer']:.2f}x"
            lines.append(f"| {title(variant)} | {numbers} | {relative} | {entry['peak_mib']:.0f} |")
        lines.append("")
    return "\n".join(lines)


def compare(options: argparse.Namespace) -> None:
    """Measure, print, and write the JSON file if asked."""
    needed = "mmdet 3.3.0, mmengine 0.10.7 and mmcv 2.1.0 with its compiled operators"
    peer_python = find_python(options.peer_python, needed)
    job = make_job(options.recipe, options.data, options.side, options.iterations, options.threads)
    machine = {"cpu": cpu_model(), "cores": os.cpu_count(), "system": platform.platform(), "threads": options.threads}
    machine["load_before"] = round(os.getloadavg()[0], 2)
    packages = {"cornernet": versions(sys.executable, OWN_VERSIONS), "peer": versions(peer_python, PEER_VERSIONS)}
    found = measure(job, peer_python, options.rounds, options.tasks, options.exported)
    conclude(found)
    print(table(found))
    print(
        f"{machine['cpu']}, {machine['cores']} cores, {options.threads} threads; load before: {machine['load_before']}"
    )
    for name, chosen in packages.items():
        print(f"{name}: {', '.join(f'{package} {version}' for package, version in chosen.items())}")
    count = options.rounds * options.iterations
    print(f"medians of {count} steps in {options.rounds} rounds, {WARMUP} steps of warm-up before each")
    if options.out:
        report = {"machine": machine, "packages": packages, "rounds": options.rounds, "job": job, "results": found}
        atomic_write_json(options.out, report)


def positive(text: str) -> int:
    """A whole number above 0."""
    if (value := int(text)) < 1:
        raise ValueError
    return value


def one_line_errors(compare: Callable[[argparse.Namespace], T], options: argparse.Namespace) -> T:
    """Compare; an ``InputError`` ends the program with one line."""
    try:
        return compare(options)
    except InputError as error:
        sys.exit(f"error: {error}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True, help="python of an environment with mmdet 3.3.0")
    parser.add_argument("--data", required=True, help="folder with annotations/instances_{train,val}.json, train, val")
    parser.add_argument("--recipe", default="deeppcb-small")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--exported", nargs="+", default=[], help="files of the same network to detect with, too")
    parser.add_argument("--side", type=positive, help="resize the image to detect in to this many pixels a side")
    parser.add_argument("--iterations", type=positive, default=12, help="timed steps in each process")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    one_line_errors(compare, parser.parse_args())


if __name__ == "__main__":
    main()
