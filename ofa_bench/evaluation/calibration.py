"""Batch-norm recalibration: statistics of one subnet from a fixed list of training images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.exact_math import undisturbed
from ofa_bench.nets.protocol import Calibrates, Norm, Supernet
from ofa_bench.space import Subnet

Statistics = dict[str, tuple[Tensor, Tensor]]
"""A norm's full name to mean and biased variance of its active channels, each [channels]."""

Norms = Mapping[str, Norm]


def calibrate(net: Supernet, subnet: Subnet, batches: Iterable[MicroBatch]) -> Statistics:
    """The subnet's statistics over batches at its resolution; empty for a net without norms.

    Means of the batches' means and of their biased variances, weighted by batch size, without a
    variance between batches (once-for-all code). The norms' earlier statistics have no influence
    and are restored; parameters and mode are unchanged.
    """
    blocks = [index for index in range(len(net.blocks)) if net.key(subnet, index) is not None]
    norms = {index: norms_of(net, index) for index in blocks}
    tally = NormAccumulator()
    if any(norms.values()):
        with undisturbed(net):
            for batch in batches:
                x = batch.images
                with torch.inference_mode():
                    for index, block_norms in norms.items():
                        x = tally.run(net, index, x, subnet, block_norms)
    return tally.mean()


@contextmanager
def calibrated(net: Supernet, subnet: Subnet, statistics: Statistics) -> Iterator[None]:
    """Use the subnet's statistics in the net's norms inside the block; restored afterwards.

    The caller activates the subnet. Raises UsageError for another subnet's statistics.
    """
    norms: dict[str, Norm] = {}
    for index in range(len(net.blocks)):
        if net.key(subnet, index) is None:
            continue
        block_norms = norms_of(net, index)
        if block_norms and block_norms.keys().isdisjoint(statistics):
            raise UsageError(
                f"no statistics for block {index} of {subnet}", "calibrate this very subnet first"
            )
        norms.update(block_norms)
    strange = [name for name in statistics if name not in norms]
    if strange:
        raise UsageError(f"{subnet} has no norm {strange[0]}", "calibrate this very subnet first")
    with attached(norms, statistics):
        yield


class NormAccumulator:
    """Sums of the batch statistics of a block's or subnet's norms."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Tensor, Tensor, int]] = {}

    def run(self, net: Supernet, index: int, x: Tensor, subnet: Subnet, norms: Norms) -> Tensor:
        """One block in batch statistics; its norms' are added, weighted by the images in `x`."""
        with attached(norms):
            for norm in norms.values():
                norm.record = []
            y = net.run(index, x, subnet, None)
            for name, norm in norms.items():
                for mean, variance in norm.record or ():
                    self._add(name, mean, variance, len(x))
        return y

    def _add(self, name: str, mean: Tensor, variance: Tensor, weight: int) -> None:
        mean, variance, count = mean * weight, variance * weight, weight
        if name in self._sums:
            means, variances, seen = self._sums[name]
            mean, variance, count = means + mean, variances + variance, seen + weight
        self._sums[name] = (mean, variance, count)

    def mean(self) -> Statistics:
        """The weighted means so far."""
        return {
            name: (mean / weight, variance / weight)
            for name, (mean, variance, weight) in self._sums.items()
        }


def norms_of(net: Supernet, index: int) -> Norms:
    """The norms of a block; empty if the net does not implement Calibrates."""
    return net.norms(index) if isinstance(net, Calibrates) else {}


@contextmanager
def attached(norms: Norms, statistics: Statistics | None = None) -> Iterator[None]:
    """Set the norms' statistics inside the block (batch statistics if missing), then restore."""
    before = [(norm, norm.statistics, norm.record) for norm in norms.values()]
    by_name = statistics or {}
    try:
        for name, norm in norms.items():
            norm.statistics, norm.record = by_name.get(name), None
        yield
    finally:
        for norm, held, record in before:
            norm.statistics, norm.record = held, record
