"""What a check of the machine has to say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Check = Callable[[], list["Finding"]]


@dataclass(frozen=True)
class Finding:
    """One fact: ``mark`` ``"FAIL"`` for what would stop a training, ``what`` it is about, how to ``mend`` it."""

    mark: Literal["ok", "warn", "FAIL"]
    what: str
    said: str
    fix: str = ""


def examine(checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """Everything that the checks find; one that fails itself is a warning, and costs the others nothing."""
    findings: list[Finding] = []
    for what, check in checks:
        try:
            findings += check()
        except Exception as error:  # whatever a strange machine raises
            reason = f"{type(error).__name__}: {error}"
            findings.append(Finding("warn", what, f"could not be checked ({reason})", "please report it"))
    return findings
