"""Blocks as a step runs them; on a GPU, one that comes often is recorded and launched as one.

Small nets leave a GPU waiting for Python: forward and backward, a block is some seventy kernels of
a few microseconds each. A CUDA graph of the same kernels is one launch each way. The subnets of a
step are new, their blocks are not: few (kernel, width) pairs a block make them all.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Generator, Tensor
from torch.autograd.function import once_differentiable

from ofa_bench.nets.protocol import Supernet

if TYPE_CHECKING:
    from ofa_bench.space import Subnet

VARIABLE = "OFA_BENCH_GRAPHS"
PAYS = 4  # runs of a block in one shape; recording takes the time of about as many
FULL = 0.8  # of the device's memory in use, beyond which no more is recorded

Autocast = Callable[[], AbstractContextManager[object]]
Work = Callable[[], None]


class GraphRecorder(Protocol):
    """Takes a block's index and work; does not do the work, and returns what does whenever called.

    RuntimeError where work cannot be recorded. `full`: whether there is no room for more.
    """

    full: bool

    def __call__(self, index: int, work: Work) -> Work: ...


class Blocks:
    """Runs the blocks of a network under the run's precision."""

    warm = 1  # runs before its pace is steady

    def __init__(self, net: Supernet, autocast: Autocast = nullcontext) -> None:
        self.net, self.autocast = net, autocast

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        """One block's output."""
        with self.autocast():
            return self.net.run(index, x, subnet, generator)


class Replays(Blocks):
    """The same kernels in the same order; those of a block that comes often are recorded.

    Of a block only one key is under way at a time: draws part at a block and each is done before
    the next begins. So all keys of a block share memory for what goes in and what backward needs,
    and an output may be overwritten once the chain has passed on.
    """

    warm = PAYS + 1

    def __init__(
        self, net: Any, autocast: Autocast = nullcontext, record: GraphRecorder | None = None
    ) -> None:
        super().__init__(net, autocast)
        # One of any module may act in any block.
        self._parameters = [each for each in net.parameters() if each.requires_grad]
        self._plain = Blocks(net, autocast)
        self._record = record or OnCuda()
        self._met: Counter[Hashable] = Counter()
        self._held: dict[Hashable, Replay | None] = {}
        self._inputs: dict[Hashable, Tensor] = {}
        self._refused: set[int] = set()

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        """One block's output, good until the same block runs again; the last one's stays."""
        if generator is not None and index in self.net.stochastic:
            return self._plain.run(index, x, subnet, generator)
        shape = (x.shape, x.stride(), x.dtype, x.requires_grad, torch.is_grad_enabled())
        place = (index, shape, self.net.key(subnet, index))
        replay = self._held.get(place)
        if replay is None:
            self._met[place] += 1
            if self._met[place] >= PAYS and index not in self._refused and not self._record.full:
                replay = self._held[place] = self._recorded(index, x, subnet, place[:2])
        if replay is None:
            return self._plain.run(index, x, subnet, None)
        y = replay(x)
        return y.clone() if self._ends(index, subnet) else y

    def _ends(self, index: int, subnet: Subnet) -> bool:
        after = range(index + 1, len(self.net.blocks))
        return all(self.net.key(subnet, later) is None for later in after)

    def _recorded(self, index: int, x: Tensor, subnet: Subnet, shape: Hashable) -> Replay | None:
        """The block recorded; None, for good, where it cannot be or then gives other bits."""
        plain = self._plain
        if shape not in self._inputs:
            self._inputs[shape] = torch.empty_like(x).requires_grad_(x.requires_grad)
        try:
            replay = Replay(
                lambda given: plain.run(index, given, subnet, None),
                self._inputs[shape],
                self._parameters,
                lambda work: self._record(index, work),
            )
            with torch.no_grad():
                if torch.equal(replay.forward(x), plain.run(index, x.clone(), subnet, None)):
                    return replay
        except RuntimeError:
            pass  # it waits for the device, draws on what cannot be recorded, or is too large
        self._refused.add(index)
        return None


class Replay:
    """A recorded block: `forward` and, where gradients flow, `backward`, in memory of its own."""

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
        """Gradients of the input, and those of the parameters added to where they gather."""
        inputs = [*([self._x] if self._x.requires_grad else []), *self._parameters]
        found = list(torch.autograd.grad(self._y, inputs, self._dy, allow_unused=True))
        self._dx = found.pop(0) if self._x.requires_grad else None
        sums, new = [], []
        for owner, grad in zip(self._parameters, found, strict=True):
            if grad is not None:
                assert owner.grad is not None, "the engine gathers every parameter's gradient"
                sums.append(owner.grad)
                new.append(grad)
        if sums:
            with torch.no_grad():
                torch._foreach_add_(sums, new)

    def __call__(self, x: Tensor) -> Tensor:
        """The output, on the tape where gradients flow."""
        if not self._learns:
            return self.forward(x)
        y: Tensor = _OnTape.apply(self._anchor, x, self)
        return y

    def forward(self, x: Tensor) -> Tensor:
        """The output, off the tape."""
        with torch.no_grad():
            self._x.copy_(x)
        self._forward()
        return self._y.detach()

    def backward(self, dy: Tensor) -> Tensor | None:
        """The input's gradient; the parameters' are added."""
        self._dy.copy_(dy)
        self._backward()
        return self._dx


class _OnTape(torch.autograd.Function):
    """A replay to autograd. The anchor stands for the parameters: it only needs a gradient."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, x: Tensor, replay: Replay) -> Tensor:
        ctx.replay, ctx.kept = replay, x.is_leaf
        return replay.forward(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[None, Tensor | None, None]:
        dx = ctx.replay.backward(dy)
        # A leaf keeps what it is given, while the chain consumes it at once.
        return None, dx.clone() if ctx.kept and dx is not None else dx, None


class OnCuda:
    """Records kernels as CUDA graphs, with one pool of memory and one stream for all of a block."""

    def __init__(self) -> None:
        self._pools: dict[int, Any] = {}
        self._aside: Any = None
        # To destroy one would free workspaces that all of a stream share.
        self._graphs: list[Any] = []

    @property
    def full(self) -> bool:
        """Whether little of the device's memory is left."""
        return torch.cuda.memory_reserved() > FULL * torch.cuda.get_device_properties().total_memory

    def __call__(self, index: int, work: Work) -> Work:
        """The kernels that work launches, as one launch; RuntimeError where that cannot be."""
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
            # Other threads, which bring images, go on meanwhile.
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        here.wait_stream(self._aside)
        return graph.replay


def blocks_of(net: Any, device: torch.device, autocast: Autocast, merges: bool = False) -> Blocks:
    """How a run on this device runs blocks."""
    return (Replays if replays(device, merges) else Blocks)(net, autocast)


def replays(device: torch.device, merges: bool) -> bool:
    """Whether blocks are recorded: on a GPU, unless `OFA_BENCH_GRAPHS=off`. Gradients that an extra
    merges go to each draw's own place, which a recording would not know."""
    return device.type == "cuda" and os.environ.get(VARIABLE) != "off" and not merges
