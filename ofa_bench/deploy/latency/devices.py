"""What measures the latency of a module: the interface of devices, and torch's own two."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from ofa_bench.errors import PluginError, UsageError
from ofa_bench.hardware import cpu_model
from ofa_bench.hooks.catalogue import Catalogue, discover

Call = Callable[[], float]
"""Runs a prepared module once on one batch, and returns the milliseconds that it took."""

SEED = 0


class LatencyDevice(Protocol):
    """Registered as `catalogue.device(name, "package.module:Class")`; used by one thread."""

    def __init__(self, threads: int) -> None:
        """A device that computes with so many threads. Raises UsageError if it is not there."""

    @property
    def processor(self) -> str:
        """The model of the processor that computes."""
        ...

    def versions(self) -> Mapping[str, str]:
        """The libraries whose version may change a latency, by name."""
        ...

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Call:
        """Load a plain module, in evaluation mode, for inputs of this shape, batch first.

        The module may be changed or freed afterwards. Its weights and the values of the input do
        not matter, its layers and the shape do.
        """
        ...

    def close(self) -> None:
        """Free what was loaded, and undo settings of the process."""
        ...


@contextmanager
def open_device(
    name: str, threads: int, catalogue: Catalogue | None = None
) -> Iterator[LatencyDevice]:
    """A device of the catalogue, closed at the end. Raises UnknownName, or UsageError where this
    machine lacks it."""
    made = (catalogue or discover().catalogue).get("device", name).load()
    device: LatencyDevice = made(threads)
    missing = [part for part in ("prepare", "versions", "close") if not hasattr(device, part)]
    if missing:
        raise PluginError(f"device {name!r} has no {missing[0]}", "see docs/deploy.md, Latency")
    try:
        yield device
    finally:
        device.close()


def noise(shape: tuple[int, ...]) -> torch.Tensor:
    """Standard normal inputs of a shape, the same at every call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(SEED))


class TorchCpu:
    """torch on the CPU, without compilation."""

    def __init__(self, threads: int) -> None:
        self.processor = cpu_model()
        self._before = torch.get_num_threads()
        torch.set_num_threads(threads)

    def versions(self) -> Mapping[str, str]:
        return {"torch": torch.__version__}

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Call:
        module, x = module.eval(), noise(shape)

        def call() -> float:
            with torch.inference_mode():
                began = time.perf_counter_ns()
                module(x)
                return (time.perf_counter_ns() - began) / 1e6

        return call

    def close(self) -> None:
        torch.set_num_threads(self._before)


class Cuda:
    """torch on the first NVIDIA GPU, in fp32, timed by the GPU's own events: launches that the
    GPU waits for are part of it."""

    def __init__(self, threads: int) -> None:
        if not torch.cuda.is_available():
            raise UsageError(
                "there is no CUDA device here that torch can use",
                "measure with --device torch-cpu or onnx-cpu, or on a machine that has one",
            )
        self.processor = torch.cuda.get_device_name()
        self._before = torch.get_num_threads()
        torch.set_num_threads(threads)

    def versions(self) -> Mapping[str, str]:
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return {
            "torch": torch.__version__,
            "cuda": str(torch.version.cuda),
            "cudnn": str(cudnn),
        }

    def prepare(self, module: nn.Module, shape: tuple[int, ...]) -> Call:
        """A call between two events; it returns when the GPU is done."""
        module, x = module.eval().to("cuda"), noise(shape).to("cuda")
        event: Any = torch.cuda.Event  # untyped
        began, ended = event(enable_timing=True), event(enable_timing=True)

        def call() -> float:
            with torch.inference_mode():
                began.record()
                module(x)
                ended.record()
            ended.synchronize()
            return float(began.elapsed_time(ended))

        return call

    def close(self) -> None:
        torch.set_num_threads(self._before)
        torch.cuda.empty_cache()
