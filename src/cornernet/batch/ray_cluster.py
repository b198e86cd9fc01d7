"""A cluster of Ray: one of this machine alone, made for a job, or one that runs already."""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from threading import Event, Thread
from typing import Any

from cornernet.errors import InputError
from cornernet.files import silent_stderr
from cornernet.hardware import usable_cores
from cornernet.telemetry import disable_telemetry

_WAIT = 5.0  # seconds for a connection
_SETTINGS = b"\x04"  # the type of a frame of HTTP/2, which Ray speaks
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + _SETTINGS + bytes(5)  # how a client of HTTP/2 begins
_LOOK, _ABSENCES = 2.0, 5  # seconds between looks at the head, and how often it may be gone
_QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # to the terminal; Ray's files have everything
    "RAY_TQDM": "0",
    "RAY_gcs_rpc_server_connect_timeout_s": "30",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "60",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def import_ray() -> Any:
    """The package ``ray`` with ``ray.data``, silent and without its reports. Raises ``InputError`` without it."""
    disable_telemetry()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        name = getattr(error, "name", None)
        what = "ray is not installed" if name in ("ray", "pyarrow", "pandas") else f"ray cannot be loaded ({error})"
        raise InputError(what, "--ray", "pip install 'cornernet[ray]'") from None
    for each in ("ray", "ray.data"):
        logging.getLogger(each).setLevel(logging.ERROR)
    return ray


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """``ray``, connected to the cluster at ``address``, or to one of this machine's cores that ends with the block.

    An address is host:port, ray://host:port, or auto for the one that runs on this machine. Raises ``InputError`` if no
    cluster answers there, or one of other versions.
    """
    if address is not None:
        _refuse_address(address)
    ray = import_ray()
    local = {"num_cpus": max(1, int(usable_cores())), "include_dashboard": False} if address is None else {}
    try:
        with silent_stderr():  # Ray's compiled code tells of its log level there
            ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except Exception as error:  # Ray has a class for each fault, of every base
        ray.shutdown()  # it may be connected in part
        raise _not_connected(address, error) from None
    ended = Event()
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        Thread(target=_watch_head, args=(ray.get_runtime_context().gcs_address, ended), daemon=True).start()
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # Ray's paragraphs about actors that died
            yield ray
    finally:
        ended.set()
        ray.shutdown()


def _watch_head(address: str, ended: Event) -> None:
    """End this process with a line when the cluster's head is gone: Ray would end it without one."""
    host, _, port = address.rpartition(":")
    absences = 0
    while not ended.wait(_LOOK):
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT).close()
            absences = 0
        except OSError:
            absences += 1
        if absences == _ABSENCES and not ended.is_set():
            line = f"cornernet: {address}: the head of the Ray cluster is gone; the same command goes on with the job"
            print(line, file=sys.stderr, flush=True)
            os._exit(2)


def _refuse_address(address: str) -> None:
    """``InputError`` for what is no address, and for one where nothing listens."""
    where = f"--ray {address}"
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d{1,5})", address)
    if not found:
        fix = "write the images before the options, or give the address as host:port"
        raise InputError("no address of a Ray cluster", where, fix)
    try:
        with socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=_WAIT) as connection:
            connection.sendall(_HELLO)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "no answer"
        raise InputError(f"no Ray cluster answers there ({reason})", where, "ray start --head begins one") from None
    if answer[3:4] != _SETTINGS:  # Ray's own client would end this process without a word
        raise InputError("another program answers there, no Ray cluster", where, "ray start --head begins one")


def _not_connected(address: str | None, error: Exception) -> InputError:
    said = " ".join(str(error).split())
    where = f"--ray {address}" if address else "--ray"
    if "ersion mismatch" in said:
        return InputError(f"other versions run there ({said[:300]})", where, "use the cluster's Python and Ray here")
    if address:
        return InputError(f"no Ray cluster answers there ({said[:200]})", where, "ray start --head begins one")
    return InputError(f"Ray does not start ({said[:300]})", where, "ray's files below /tmp/ray say more")
