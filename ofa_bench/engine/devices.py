"""Where a run computes, and with whom: the only module that knows of other ranks."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ofa_bench.errors import UsageError
from ofa_bench.hardware import peak_memory


@dataclass(frozen=True)
class Devices:
    """A device, and this process's place in a world of ranks; a plain start is a world of one."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this rank speaks and writes."""
        return self.rank == 0

    def broadcast(self, tensor: torch.Tensor) -> None:
        """Give every rank the first rank's values, in place."""
        if self.world > 1:
            torch.distributed.broadcast(tensor, 0)

    def sum(self, tensor: torch.Tensor) -> None:
        """Sum over ranks, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(tensor)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        if self.world == 1:
            return flag
        # On the host, so that asking does not wait for the accelerator.
        told = torch.tensor([int(flag)])
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        return bool(told.item())

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def share(self, value: Any) -> Any:
        """The first rank's value, on every rank."""
        return self.gather(value if self.first else None)[0]

    def synchronize(self) -> None:
        """Wait for the accelerator, so that a clock read next is honest."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def peak_bytes(self) -> int:
        """The most memory this run has held on the accelerator, or this process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device)  # with what recorded blocks keep
        return peak_memory()


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """The device a user named; UsageError if this machine does not have it."""
    if name == "auto":
        name = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name} is no device", "auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name} is not supported", "auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        said = name.partition(":")[2]  # torch itself counts no further than 255
        number = int(said) if said else local_rank
        if number >= count:
            raise UsageError(
                f"--device {name}: this machine has {count} CUDA devices", "use --device cpu"
            )
        device = torch.device("cuda", number)
    return device


@contextmanager
def open_devices(name: str) -> Iterator[Devices]:
    """This process's devices; under `torchrun`, its place among the ranks it started."""
    threads = torch.get_num_threads()
    try:
        yield from _opened(name)
    finally:
        torch.set_num_threads(threads)  # a run may choose its own


def _told(variable: str, usually: int) -> int:
    """What a launcher set; UsageError where that is no number."""
    value = os.environ.get(variable, str(usually))
    if not value.isdecimal():
        raise UsageError(
            f"{variable} is {value!r}, which is no number", "torchrun sets it; unset it"
        )
    return int(value)


def _opened(name: str) -> Iterator[Devices]:
    world, local = _told("WORLD_SIZE", 1), _told("LOCAL_RANK", 0)
    device = resolve_device(name, local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        gc.collect()  # the run before, in the same process
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    if world == 1:
        yield Devices(device)
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        torch.distributed.init_process_group(backend)
    except ValueError as error:  # not all that a launcher sets is there
        raise UsageError(
            f"WORLD_SIZE is {world}, but {error}", "start ranks by torchrun"
        ) from error
    try:
        yield Devices(device, torch.distributed.get_rank(), world)
    finally:
        torch.distributed.destroy_process_group()
