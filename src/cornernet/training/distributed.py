"""Several processes, on one machine or many: the rank of this one, and the connection to the others."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from datetime import timedelta

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from cornernet.devices import is_on_gpu
from cornernet.errors import InputError


@dataclass
class World:
    """This process among all: ``rank`` of ``size``, ``local_size`` of them on this machine.

    ``environment`` is Lightning's view of it; ``None`` for a process alone.
    """

    rank: int = 0
    size: int = 1
    local_size: int = 1
    environment: ClusterEnvironment | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and prints."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """The number of machines."""
        return self.size // self.local_size


def find_world() -> World:
    """The processes that ``torchrun`` or SLURM's ``srun`` has started; otherwise this one alone.

    Raises ``InputError`` if machines run different numbers of processes.
    """
    if TorchElasticEnvironment.detect():
        environment: ClusterEnvironment = TorchElasticEnvironment()
        local = int(os.environ["LOCAL_WORLD_SIZE"])
    elif SLURMEnvironment.detect() and int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        try:
            environment = SLURMEnvironment(auto_requeue=False)
        except RuntimeError as error:
            raise InputError(str(error), "SLURM") from None
        local = int(os.environ["SLURM_NTASKS"]) // int(os.environ.get("SLURM_NNODES", 1))
    else:
        return World()
    size = environment.world_size()
    if size % local:
        raise InputError(f"{size} processes, {local} of them here", fix="run the same number of them on every machine")
    return World(environment.global_rank(), size, local, environment)


def connect(world: World) -> None:
    """Connect to the other processes, if there are any.

    Waits $CORNERNET_CONNECT_SECONDS (300). Raises ``InputError`` with the address and the ranks that are absent.
    """
    if world.environment is None:
        return
    os.environ["MASTER_ADDR"] = address = world.environment.main_address
    os.environ["MASTER_PORT"] = port = str(world.environment.main_port)
    seconds = float(os.environ.get("CORNERNET_CONNECT_SECONDS", 300))
    agent_has_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        is_server = world.is_first and not agent_has_store
        store = TCPStore(address, int(port), None, is_server, timedelta(seconds=seconds), wait_for_workers=False)
        store.set(f"cornernet/{world.rank}", socket.gethostname())
        absent = _wait_for_all(store, world, seconds)
    except (RuntimeError, ValueError) as error:  # torch's DistNetworkError and DistStoreError among them
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(
            f"no answer from {address}:{port} within {seconds:g} s ({reason})",
            f"rank {world.rank}",
            "start every node, let MASTER_ADDR be one that all of them reach, and open the port",
        ) from None
    if absent:
        listed = ", ".join(map(str, absent))
        raise InputError(
            f"at {address}:{port}, after {seconds:g} s, rank {listed} of {world.size} has not come",
            f"rank {world.rank}",
            "start its node, or see why it ended",
        )
    backend = "nccl" if is_on_gpu() else "gloo"
    prefix = PrefixStore(f"cornernet/group/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    torch.distributed.init_process_group(backend, store=prefix, rank=world.rank, world_size=world.size)


def _wait_for_all(store: TCPStore, world: World, seconds: float) -> list[int]:
    """The ranks that are absent after that time."""
    keys = {rank: f"cornernet/{rank}" for rank in range(world.size)}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        keys = {rank: key for rank, key in keys.items() if not store.check([key])}
        if not keys:
            return []
        time.sleep(0.1)
    return list(keys)
