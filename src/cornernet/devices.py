"""The device that a training or a detector runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cornernet.errors import InputError, nearest

if TYPE_CHECKING:
    import torch

_chosen: ContextVar[str | None] = ContextVar("device", default=None)


def devices_here() -> list[str]:
    """The names of the devices that torch finds on this machine: cpu, cuda:0 ..., mps, xpu:0 ..."""
    import torch

    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0))]
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, *(f"xpu:{i}" for i in range(torch.xpu.device_count() if torch.xpu.is_available() else 0))]


def find_device(name: str | None = None) -> torch.device:
    """The device of that name: cpu, cuda, cuda:1, mps, xpu. By default that of ``on_device``, the CUDA GPU, or cpu.

    Raises ``InputError`` if torch does not find it on this machine.
    """
    import torch

    name = name or _chosen.get() or ("cuda" if torch.cuda.is_available() else "cpu")
    here = devices_here()
    if not any(name in (each, each.split(":")[0]) for each in here):
        fix = nearest(name, here, f"there is {', '.join(here)}") if len(here) > 1 else "leave it out: there is cpu"
        raise InputError("not usable here", f"--device {name}", fix)
    return torch.device(name)


def chosen_device() -> str | None:
    """The name of the device that ``on_device`` chose."""
    return _chosen.get()


@contextmanager
def on_device(name: str | None) -> Iterator[None]:
    """For the block, ``find_device`` finds this one by default; ``InputError`` if it is not on this machine."""
    if name is None:
        yield
        return
    find_device(name)
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def is_on_gpu() -> bool:
    """Whether the device in use is a GPU of CUDA."""
    return find_device().type == "cuda"
