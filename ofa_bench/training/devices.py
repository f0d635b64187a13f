"""Devices and ranks: the only module that uses torch.distributed."""

from __future__ import annotations

import gc
import io
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import torch

from ofa_bench.errors import BenchError, RankFailed, UsageError
from ofa_bench.hardware import peak_memory
from ofa_bench.processes import stop_with_parent
from ofa_bench.training.rendezvous import Waiting, caught_up, leave, met, reported

CONNECT = 2.0  # seconds a try to reach the store may take, during which no signal is heard
ANSWER = 60.0


@dataclass(frozen=True)
class Devices:
    """A device, and this process's rank among `world` ranks; 1 without torchrun."""

    device: torch.device
    rank: int = 0
    world: int = 1
    store: Any = None
    turns: Iterator[int] = field(default_factory=count, repr=False, compare=False)

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which prints and writes files."""
        return self.rank == 0

    def broadcast(self, tensor: torch.Tensor) -> None:
        """Copy the first rank's values to every rank, in place."""
        if self.world > 1:
            with _collective():
                torch.distributed.broadcast(tensor, 0)

    def sum(self, tensor: torch.Tensor) -> None:
        """Sum over ranks, in place."""
        if self.world > 1:
            with _collective():
                torch.distributed.all_reduce(tensor)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        if self.world == 1:
            return flag
        # On the host, to avoid synchronizing with the accelerator.
        flags = torch.tensor([int(flag)])
        with _collective():
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
        return bool(flags.item())

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with _collective():
            torch.distributed.all_gather_object(values, value)
        return values

    def wait_for_all(self) -> None:
        """Wait until all ranks are here. What only some ranks do may take half an hour, as hashing
        a data set does, and a collective operation that follows it would time out on the others."""
        if self.world > 1:
            with _collective():
                caught_up(self.store, self.rank, self.world, next(self.turns))

    def share(self, value: Any) -> Any:
        """The first rank's value, on every rank."""
        return self.gather(value if self.first else None)[0]

    def share_state(self, state: dict[str, Any] | None) -> dict[str, Any] | None:
        """The first rank's tensors and plain values, on every rank; None if it has none."""
        if self.world == 1:
            return state
        buffer = io.BytesIO()
        if self.first and state is not None:
            torch.save(state, buffer)
        raw = buffer.getvalue()
        size = int(self.share(len(raw)))
        if not size:
            return None
        payload = torch.frombuffer(bytearray(raw or bytes(size)), dtype=torch.uint8)
        self.broadcast(payload)
        stream = io.BytesIO(payload.numpy().tobytes())
        shared: dict[str, Any] = torch.load(stream, map_location=self.device, weights_only=True)
        return state if self.first else shared

    def agree(self, facts: Mapping[str, str]) -> None:
        """Raise UsageError on all ranks if a rank's facts differ from the first rank's, naming the
        first such rank and fact. Waits for ranks that are slower to read their images."""
        self.wait_for_all()
        reports = self.gather({**facts, "host": socket.gethostname()})
        for rank, theirs in enumerate(reports):
            for fact, value in reports[0].items():
                if fact != "host" and theirs[fact] != value:
                    error = UsageError(
                        f"rank {rank} on {theirs['host']} has other {fact} than rank 0 on "
                        f"{reports[0]['host']}: {theirs[fact]}, not {value}",
                        "all ranks read the same images, recipes, weights and code",
                    )
                    error.on_all_ranks = True
                    raise error

    def synchronize(self) -> None:
        """Wait for the accelerator, before reading a clock."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def peak_bytes(self) -> int:
        """Peak memory in bytes: of this run on the accelerator, or of this process on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device)  # includes the memory of CUDA graphs
        return peak_memory()


def resolve_device(name: str, local_rank: int = 0) -> torch.device:
    """The device of a name. Raises UsageError if this machine does not have it."""
    if name == "auto":
        name = f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name} is not a device", "auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"--device {name} is not supported", "auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        index = name.partition(":")[2]  # torch itself counts no further than 255
        number = int(index) if index else local_rank
        if number >= count:
            raise UsageError(
                f"--device {name}: this machine has {count} CUDA devices", "use --device cpu"
            )
        device = torch.device("cuda", number)
    return device


@contextmanager
def open_devices(name: str) -> Iterator[Devices]:
    """This process's devices, with its rank under `torchrun`."""
    threads = torch.get_num_threads()
    try:
        yield from _opened(name)
    finally:
        torch.set_num_threads(threads)  # a run may choose its own


def _number(variable: str, usual: int | None = None) -> int:
    """An integer environment variable. Raises UsageError if it is absent or not a number."""
    value = os.environ.get(variable, "" if usual is None else str(usual))
    if not value.isdecimal():
        wrong = f"is {value!r}, which is not a number" if value else "is absent"
        world = os.environ.get("WORLD_SIZE", "")
        but = "" if variable == "WORLD_SIZE" else f"WORLD_SIZE is {world}, but "
        raise UsageError(
            f"{but}{variable} {wrong}",
            "torchrun sets both; start ranks by torchrun, or unset WORLD_SIZE",
        )
    return int(value)


def _opened(name: str) -> Iterator[Devices]:
    world, local = _number("WORLD_SIZE", 1), _number("LOCAL_RANK", 0)
    device = resolve_device(name, local)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        gc.collect()  # of an earlier run in the same process
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        stop_with_parent()  # torchrun dies of SIGUSR1 and SIGKILL without passing them on
    if world <= 1:
        yield Devices(device)
        return
    rank = _number("RANK")
    store = rendezvous(rank, world)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        with _collective():
            torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=world)
        yield Devices(device, rank, world, store)
    except Exception as error:
        failure = reported(error, store, rank)  # before those that wait go, and ask for it
        leave(store, rank)
        if failure is error:
            raise
        raise failure from error
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _collective() -> Iterator[None]:
    """Raise RankFailed if a collective operation fails because another rank is gone."""
    try:
        yield
    except RuntimeError as error:
        raise RankFailed(
            "another rank is gone, so this one stops",
            "see its own message; without one it was killed, as the kernel does when memory ends",
        ) from error


def rendezvous(rank: int, world: int) -> Any:
    """The distributed store, once all ranks have connected.

    Reports missing ranks after ten seconds; a signal ends the wait. Raises UsageError if the port
    is taken, BenchError if a rank does not connect in time, RankFailed if the store goes meanwhile.
    """
    store, waiting = None, Waiting(rank)
    while store is None:
        store = _store(rank, world, CONNECT)
        if store is None:
            waiting.go_on("rank 0", f"at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}")
    with _collective():
        return _below(store, met(store, rank, world, waiting))


def _below(store: Any, name: str) -> Any:
    """A store whose keys are apart from those of other names."""
    distributed: Any = torch.distributed  # which does not list its stores
    return distributed.PrefixStore(name, store)


def _opens(rank: int) -> bool:
    """Whether this rank opens the store; otherwise the process of torchrun does."""
    return rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"


def _store(rank: int, world: int, seconds: float) -> Any | None:
    """The store of the launcher or of rank 0; None if there is no answer in time."""
    if not os.environ.get("MASTER_ADDR"):
        raise UsageError(
            f"WORLD_SIZE is {world}, but MASTER_ADDR is absent",
            "torchrun sets both; start ranks by torchrun, or unset WORLD_SIZE",
        )
    host, port = os.environ["MASTER_ADDR"], _number("MASTER_PORT")
    distributed: Any = torch.distributed  # which does not list its stores
    try:
        store = distributed.TCPStore(
            host, port, world, _opens(rank), timedelta(seconds=seconds), wait_for_workers=False
        )
    except RuntimeError as error:
        if "EADDRINUSE" in str(error) or "address already in use" in str(error).lower():
            raise UsageError(
                f"port {port} of {host} is taken by another program",
                "name another one: MASTER_PORT, or torchrun --master-port",
            ) from error
        return None
    store.set_timeout(timedelta(seconds=ANSWER))
    return _below(store, "ofa-bench")


def failure_outside(error: BenchError) -> BenchError:
    """As `rendezvous.reported`, for an error raised before the ranks connected; one that all ranks
    raise is shown once."""
    try:
        rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
        store = None if _opens(rank) else _store(rank, world, CONNECT)
        if store is not None:  # whose token no rank knows yet
            store = _below(store, os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        failure = reported(error, store, rank)
    except UsageError:  # stale variables of a launcher: no other rank would show it
        error.rank = -1
        return error
    return failure if isinstance(failure, BenchError) else error
