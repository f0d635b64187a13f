"""Execution of blocks; on a GPU, frequent blocks are recorded and replayed as CUDA graphs.

Small networks are bound by kernel launches: forward and backward, a block is about seventy kernels
of a few microseconds. A CUDA graph of them is one launch each way. Subnets differ at every step,
but their blocks recur: a block has few (kernel, width) pairs.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet

VARIABLE = "OFA_BENCH_GRAPHS"
PAYS = 4  # runs of a block in one shape before it is recorded, which costs about as much
FULL = 0.8  # share of the device's memory in use, beyond which nothing more is recorded

Autocast = Callable[[], AbstractContextManager[object]]
Work = Callable[[], None]


class Blocks:
    """Runs the blocks of a network in the run's precision."""

    warm = 1  # runs before the speed is steady

    def __init__(self, net: Supernet, autocast: Autocast = nullcontext) -> None:
        self.net, self.autocast = net, autocast

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        """The output of one block."""
        with self.autocast():
            return self.net.run(index, x, subnet, generator)


class Replays(Blocks):
    """Runs the same kernels in the same order, with frequent blocks recorded.

    Only one key of a block is in use at a time: draws branch at a block, and each finishes before
    the next begins. So all keys of a block share memory for the input and for the backward pass,
    and an output may be overwritten once the following blocks have run.
    """

    warm = PAYS + 1

    def __init__(
        self, net: Any, autocast: Autocast = nullcontext, record: OnCuda | None = None
    ) -> None:
        super().__init__(net, autocast)
        # A block may use parameters of any module.
        self._parameters = [value for value in net.parameters() if value.requires_grad]
        self._record = record or OnCuda()
        self._counts: Counter[Hashable] = Counter()
        self._replays: dict[Hashable, Replay | None] = {}
        self._inputs: dict[Hashable, Tensor] = {}
        self._refused: set[int] = set()

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        """The output of one block, valid until the same block runs again; that of the last block
        stays valid."""
        if generator is not None and index in self.net.stochastic:
            return super().run(index, x, subnet, generator)
        shape = (x.shape, x.stride(), x.dtype, x.requires_grad, torch.is_grad_enabled())
        key = (index, shape, self.net.key(subnet, index))
        replay = self._replays.get(key)
        if replay is None:
            self._counts[key] += 1
            if self._counts[key] >= PAYS and index not in self._refused and not self._record.full:
                replay = self._replays[key] = self._recorded(index, x, subnet, key[:2])
        if replay is None:
            return super().run(index, x, subnet, None)
        y = replay(x)
        return y.clone() if self._ends(index, subnet) else y

    def _ends(self, index: int, subnet: Subnet) -> bool:
        after = range(index + 1, len(self.net.blocks))
        return all(self.net.key(subnet, later) is None for later in after)

    def _recorded(self, index: int, x: Tensor, subnet: Subnet, shape: Hashable) -> Replay | None:
        """The recorded block; None, permanently, if that fails or its output differs."""
        plain = super().run
        if shape not in self._inputs:
            self._inputs[shape] = torch.empty_like(x).requires_grad_(x.requires_grad)
        try:
            replay = Replay(
                lambda value: plain(index, value, subnet, None),
                self._inputs[shape],
                self._parameters,
                lambda work: self._record(index, work),
            )
            with torch.no_grad():
                if torch.equal(replay.forward(x), plain(index, x.clone(), subnet, None)):
                    return replay
        except RuntimeError:
            pass  # it synchronizes, uses something that cannot be recorded, or is too large
        self._refused.add(index)
        return None


class Replay:
    """A recorded block: `forward` and, if gradients are enabled, `backward`, in static memory."""

    def __init__(
        self,
        run: Callable[[Tensor], Tensor],
        x: Tensor,
        parameters: list[torch.nn.Parameter],
        record: Callable[[Work], Work],
    ) -> None:
        self._run, self._x, self._parameters = run, x, parameters
        self._learns = torch.is_grad_enabled()
        self._anchor = x.new_zeros(()).requires_grad_(self._learns)
        self._dx: Tensor | None = None
        self._y: Tensor
        self._forward = record(self._forth)
        if self._learns:
            self._dy = torch.empty_like(self._y)
            self._backward = record(self._back)
            self._y = self._y.detach()  # frees what the recorded backward holds by itself

    def _forth(self) -> None:
        with torch.set_grad_enabled(self._learns):
            self._y = self._run(self._x)

    def _back(self) -> None:
        """Compute the gradient of the input, and add those of the parameters to their `grad`."""
        inputs = [*([self._x] if self._x.requires_grad else []), *self._parameters]
        grads = list(torch.autograd.grad(self._y, inputs, self._dy, allow_unused=True))
        self._dx = grads.pop(0) if self._x.requires_grad else None
        sums, new = [], []
        for owner, grad in zip(self._parameters, grads, strict=True):
            if grad is not None:
                assert owner.grad is not None, "every parameter has a gradient buffer"
                sums.append(owner.grad)
                new.append(grad)
        if sums:
            with torch.no_grad():
                torch._foreach_add_(sums, new)

    def __call__(self, x: Tensor) -> Tensor:
        """The output, recorded by autograd if gradients are enabled."""
        if not self._learns:
            return self.forward(x)
        y: Tensor = _OnTape.apply(self._anchor, x, self)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """The output, without autograd."""
        with torch.no_grad():
            self._x.copy_(x)
        self._forward()
        return self._y.detach()

    def backward(self, dy: Tensor) -> Tensor | None:
        """The gradient of the input; those of the parameters are accumulated."""
        self._dy.copy_(dy)
        self._backward()
        return self._dx


class _OnTape(torch.autograd.Function):
    """A replay as an autograd function; `anchor` makes autograd call backward."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, x: Tensor, replay: Replay) -> Tensor:
        ctx.replay, ctx.kept = replay, x.is_leaf
        return replay.forward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[None, Tensor | None, None]:
        dx = ctx.replay.backward(dy)
        # A leaf keeps its gradient tensor, while inner nodes consume it at once.
        return None, dx.clone() if ctx.kept and dx is not None else dx, None


class OnCuda:
    """Records CUDA graphs, with one memory pool per block and one stream."""

    def __init__(self) -> None:
        self._pools: dict[int, Any] = {}
        self._aside: Any = None
        # Destroying one would free workspaces shared by the stream.
        self._graphs: list[Any] = []

    @property
    def full(self) -> bool:
        """Whether more than FULL of the device's memory is reserved."""
        return torch.cuda.memory_reserved() > FULL * torch.cuda.get_device_properties().total_memory

    def __call__(self, index: int, work: Work) -> Work:
        """Record the kernels of `work` as one graph without running it; the returned function runs
        it. Raises RuntimeError if that fails."""
        pool = self._pools.setdefault(index, torch.cuda.graph_pool_handle())
        try:
            return self._captured(work, pool)
        except RuntimeError:
            # A capture that fails leaves the allocator, the stream and the generator in it; one
            # that succeeds takes the generator out.
            self._aside = None
            with suppress(RuntimeError):
                torch._C._cuda_endAllocateToPool(torch.cuda.current_device(), pool)
            del self._pools[index]
            self._captured(lambda: torch.zeros((), device="cuda"), torch.cuda.graph_pool_handle())
            raise

    def _captured(self, work: Callable[[], object], pool: Any) -> Work:
        graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        self._graphs.append(graph)
        self._aside = self._aside or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):
            # Data-loading threads continue meanwhile.
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        here.wait_stream(self._aside)
        return graph.replay


def blocks_of(net: Any, device: torch.device, autocast: Autocast, merges: bool = False) -> Blocks:
    """The executor of a network's blocks on a device."""
    return (Replays if replays(device, merges) else Blocks)(net, autocast)


def replays(device: torch.device, merges: bool) -> bool:
    """Whether blocks are recorded: on a GPU, unless `OFA_BENCH_GRAPHS=off` or an extra merges
    gradients, since those go to a different buffer per draw."""
    return device.type == "cuda" and os.environ.get(VARIABLE) != "off" and not merges
