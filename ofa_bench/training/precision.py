"""Machine-dependent choices that can change results: CPU threads, autocast; the machine record."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from ofa_bench.hardware import cpu_model
from ofa_bench.recipe.models import Science
from ofa_bench.training.cuda.depthwise import QuickerKernels
from ofa_bench.training.cuda.graphs import Blocks, blocks_of, replays
from ofa_bench.training.devices import Devices

CONTAINERS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
SMALL = 1e8  # MACs of a micro-batch's largest pass, below which one thread is used


def set_threads(macs: float) -> None:
    """Set this process's CPU threads from the MACs of the largest subnet on a micro-batch.

    Results depend on the thread count, so it follows a rule and is recorded. A second thread does
    not speed up the smallest networks on an idle machine, and slows them tenfold on a busy one.
    OMP_NUM_THREADS takes precedence.
    """
    if "OMP_NUM_THREADS" not in os.environ and macs < SMALL:
        torch.set_num_threads(1)


def autocast(precision: str, devices: Devices) -> Callable[[], AbstractContextManager[object]]:
    """The autocast context, entered once per block. Casts are not cached, since a block uses each
    weight once."""
    dtype, kind = CONTAINERS[precision], devices.device.type
    if dtype is None:
        return nullcontext

    @contextmanager
    def half() -> Iterator[None]:
        quicker = QuickerKernels() if kind == "cuda" else nullcontext()
        with torch.autocast(kind, dtype, cache_enabled=False), quicker:
            yield

    return half


def executor(science: Science, devices: Devices, merges: bool) -> Callable[[Any], Blocks]:
    """What makes the executor of a network's blocks in the run's precision, for the supernet and
    for teachers; `merges`: whether an extra merges gradients."""
    half = autocast(science.precision, devices)
    return lambda net: blocks_of(net, devices.device, half, merges)


def describe(devices: Devices, merges: bool) -> dict[str, Any]:
    """The `machine` field of a record; `merges`: whether an extra merges gradients."""
    gpu = torch.cuda.get_device_name(devices.device) if devices.device.type == "cuda" else None
    return {
        "device": devices.device.type,
        "cpu": cpu_model(),
        "gpu": gpu,
        "gpus": devices.world if gpu else 0,
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "memory_format": "channels_last",
        "allocator": os.environ.get("OFA_BENCH_ALLOCATOR", "default"),
        "torch": str(torch.__version__),  # of its own class, which no checkpoint may hold
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "details": {
            "world": devices.world,
            "graphs": replays(devices.device, merges),
            **({"deterministic": True} if torch.are_deterministic_algorithms_enabled() else {}),
        },
    }
