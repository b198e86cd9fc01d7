"""``cornernet doctor``."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path


def doctor(*, data: str | None = None, weights: str | None = None, json: bool = False) -> int:
    """Examine this machine: what would stop a training or slow it down, each with its fix in one line.

    Exit code 2 where something would stop a training.

    Args:
        data: Data set in any format: is it one, and do its images come fast enough?
        weights: Weights file or a release's name: can it be used? Nothing is fetched.
        json: Print the findings as JSON.
    """
    from json import dumps

    from cornernet.doctor import inputs, machine, packages
    from cornernet.doctor.finding import examine
    from cornernet.doctor.probe import ask
    from cornernet.files import cache_folder
    from cornernet.hardware import usable_cores, usable_memory
    from cornernet.waiting import chosen_by_user, cores_used_by_others

    if not json:
        print("looking ...", file=sys.stderr)
    facts = ask("torch")
    checks = [
        ("python", packages.check_python),
        ("packages", packages.check_packages),
        ("torch", partial(packages.check_torch, facts)),
        ("torchvision", packages.check_torchvision),
        ("opencv", packages.check_opencv),
        ("imports", packages.check_imports),
        ("gpu", lambda: packages.check_gpu(facts, machine.graphics_cards(), os.environ.get("CUDA_VISIBLE_DEVICES"))),
        ("cores", lambda: machine.check_cores(facts, usable_cores())),
        ("waiting", lambda: machine.check_waiting(facts, chosen_by_user(), cores_used_by_others(0.5))),
        ("memory", lambda: machine.check_memory(usable_memory())),
        ("shared memory", machine.check_shared_memory),
        ("cache", lambda: machine.check_folder("cache", cache_folder(), "set CORNERNET_CACHE to another folder")),
        ("this folder", lambda: machine.check_folder("this folder", Path.cwd(), "train with --out in another folder")),
    ]
    if data:
        need = inputs.GPU_NEED if facts.get("devices") else inputs.CPU_NEED
        checks.append(("data", lambda: inputs.check_dataset(data, usable_cores(), need)))
    if weights:
        checks.append(("weights", lambda: inputs.check_weights(weights, ask("weights", weights))))
    findings = examine(checks)
    if json:
        print(dumps([asdict(finding) for finding in findings], indent=2))
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            print(f"{finding.mark:4}  {finding.what:{width}}  {finding.said}")
            if finding.fix:
                print(f"{'':4}  {'':{width}}  -> {finding.fix}")
        failures, warnings = (sum(finding.mark == mark for finding in findings) for mark in ("FAIL", "warn"))
        print(f"{failures} would stop a training, {warnings} to look at, {len(findings) - failures - warnings} fine")
    return 2 if any(finding.mark == "FAIL" for finding in findings) else 0
