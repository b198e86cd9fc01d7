"""The findings of a check of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Check = Callable[[], list["Finding"]]


@dataclass(frozen=True)
class Finding:
    """One fact: its ``mark`` ("FAIL" for what would stop a training), ``what`` it is about, and how to ``fix`` it."""

    mark: Literal["ok", "warn", "FAIL"]
    what: str
    said: str
    fix: str = ""


def examine(checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """Everything that the checks find. A check that fails itself gives a warning, and the others still run."""
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings += check()
        except Exception as error:  # whatever a strange machine raises
            reason = f"{type(error).__name__}: {error}"
            findings.append(Finding("warn", what, f"could not be checked ({reason})", "please report it"))
    return findings
