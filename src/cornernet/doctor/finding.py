"""The findings of a check of the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Check = Callable[[], list["Finding"]]


@dataclass(frozen=True)
class Finding:
    """One fact about ``what``: ``said`` describes it; ``mark`` is "FAIL" if it would stop a training."""

    mark: Literal["ok", "warn", "FAIL"]
    what: str
    said: str
    fix: str = ""


def examine(checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """All findings of the checks. A check that fails itself gives a warning, and the others still run."""
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings += check()
        except Exception as error:  # a strange machine may raise anything
            said = f"could not be checked ({type(error).__name__}: {error})"
            findings.append(Finding("warn", what, said, "please report it"))
    return findings
