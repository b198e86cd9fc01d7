"""Runs commands that are read from standard input, one JSON object a line, and answers what became of each."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys
import time
import traceback


def main() -> None:
    """Answer until the input ends. What C libraries print goes to the null device."""
    answers = os.fdopen(os.dup(1), "w")
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    from cornernet.cli import main as command  # the first line of the input waits for this

    limit = int(sys.argv[1]) * 2**20
    for line in sys.stdin:
        words = json.loads(line)
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115 - one line
        resource.setrlimit(resource.RLIMIT_AS, (size + limit, resource.RLIM_INFINITY))
        out, errors, began = io.StringIO(), io.StringIO(), time.perf_counter()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            try:
                code: object = command(words)
            except SystemExit as end:
                code = end.code
            except BaseException:
                code = traceback.format_exc()
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer = {"code": code, "errors": errors.getvalue(), "said": out.getvalue(), "seconds": seconds, "peak": peak}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
