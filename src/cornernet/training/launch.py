"""Starts the processes of a training on this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

import torch

from cornernet.devices import is_on_gpu
from cornernet.errors import CornerNetError, DivergedError, InputError
from cornernet.hardware import usable_cores


def threads_each(processes: int) -> int:
    """The number of threads for each of so many processes."""
    return max(1, int(usable_cores()) // processes)


def launch(processes: int, arguments: Sequence[str]) -> None:
    """Run ``cornernet`` with these arguments in that many processes on this machine, and wait for them.

    Raises a ``CornerNetError`` with the first rank that failed and its exit code, after the others were stopped.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if is_on_gpu() and processes > torch.cuda.device_count():
        raise InputError(
            f"this machine has {torch.cuda.device_count()} GPUs", f"--devices {processes}", "choose as many or fewer"
        )
    config = LaunchConfig(1, 1, processes, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads_each(processes)))
    try:
        elastic_launch(config, sys.executable)("-m", "cornernet", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code in (InputError.exit_code, DivergedError.exit_code):
            raise _ended(f"rank {rank} ended with exit code {code}, for the reason above", code) from None
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        raise _ended(f"rank {rank} {how}; the others were stopped; go on with --resume", code) from None
    except SignalException as error:
        raise _ended(f"{signal.Signals(error.sigval).name}: stopped all processes", 128 + error.sigval) from None


def _ended(message: str, code: int) -> CornerNetError:
    error = CornerNetError(message)
    error.exit_code = code if code > 0 else 1
    return error
