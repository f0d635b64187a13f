"""Protocols that a network must implement to be trained and evaluated."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from ofa_bench.space.space import Space
    from ofa_bench.space.subnet import Subnet

SortMode = Literal["global", "grouped"]


@dataclass(frozen=True)
class Permutation:
    """New order of one parameter's channels: the entry at i along `dim` comes from `index[i]`."""

    name: str
    dim: int
    index: Tensor


class Supernet(Protocol):
    """A torch module that holds the shared weights of every subnet of a space.

    It is a chain of blocks, and a subnet runs some of them in order. The training loop and the
    evaluator share work between subnets by `key` and `run` alone: blocks 0..i with equal keys are
    run once. A network that cannot say more than "one block" is legal and shares nothing.
    Batch norm uses the statistics of the batch unless calibrated ones were put on the layer.
    """

    space: Space
    classes: int
    blocks: nn.ModuleList
    stochastic: frozenset[int]
    """Blocks whose result depends on the generator they are given (dropout)."""

    def key(self, subnet: Subnet, index: int) -> Hashable | None:
        """What of the subnet block `index` depends on, or None where the subnet leaves it out.

        Equal keys at blocks 0..i must mean equal activations after block i for the same images;
        block 0's key therefore holds the resolution.
        """
        ...

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        """One block's output; without a generator nothing is random."""
        ...

    def activate(self, subnet: Subnet) -> None:
        """Make `forward` run this subnet."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Logits [n, classes] of images [n, 3, h, w] by the active subnet, without dropout."""
        ...

    def reachable(self, space: Space) -> set[str]:
        """Names of the parameters that some subnet of this (sub)space uses."""
        ...


@runtime_checkable
class SortsChannels(Protocol):
    """A network that can sort its channels by importance (progressive shrinking)."""

    def channel_order(self, mode: SortMode, expands: tuple[int, ...]) -> list[Permutation]:
        """The permutations that sort the channels; values only, nothing is moved.

        They leave the largest subnet's function as it is. The engine applies them, to the weights
        and to the optimizer's state alike.
        """
        ...


class Norm(Protocol):
    """A batch norm that can be calibrated."""

    statistics: tuple[Tensor, Tensor] | None
    """Mean and biased variance of the channels in use, replacing the batch's when set."""

    record: list[tuple[Tensor, Tensor]] | None
    """When set, each forward appends the batch's mean and biased variance."""


@runtime_checkable
class Calibrates(Protocol):
    """A network whose batch norms an evaluator can calibrate."""

    def norms(self, index: int) -> Mapping[str, Norm]:
        """The batch norms of block `index` by their full names."""
        ...


def decays(name: str) -> bool:
    """Whether a parameter of this name gets weight decay: all but biases and norm weights."""
    *owners, leaf = name.split(".")
    owner = owners[-1] if owners else ""
    return leaf != "bias" and not (owner.endswith("norm") or owner.startswith("bn"))
