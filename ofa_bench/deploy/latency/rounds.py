"""Interleaved rounds: every subject is called a few times in each round, in a new order."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

import numpy as np

from ofa_bench.deploy.latency.devices import Call
from ofa_bench.deploy.latency.target import Watch
from ofa_bench.errors import BenchError
from ofa_bench.search.latency_table import Timing

K = TypeVar("K", bound=Hashable)
WARM = 3  # calls of each subject before the first round
AGAIN = 2  # and at the beginning of each of its turns, since another subject ran in between
FEWEST, MOST = 3, 20  # timed calls of a turn
TURN = 20.0  # milliseconds that a turn takes, between those
DIGITS = 7  # of a time, as a table has it


@dataclass(frozen=True)
class Sample:
    """The times of one subject in ms, a list a round."""

    rounds: Sequence[Sequence[float]]

    def half(self, odd: bool) -> float:
        """`Timing.ms` of every second round."""
        return min(map(median, self.rounds[int(odd) :: 2]))

    @property
    def timing(self) -> Timing:
        """The sample in a table's figures. Raises BenchError if a device gave no positive time."""
        calls = [time for turn in self.rounds for time in turn]
        low, high = min(calls), max(calls)
        if not low > 0 or not high < 1e7:
            raise BenchError(f"the device measured {low} to {high} ms", "its clock is too coarse")
        return Timing(
            ms=fine(min(map(median, self.rounds))),
            p50=fine(median(calls)),
            p90=fine(float(np.quantile(calls, 0.9))),
            n=len(calls),
        )


def sampled(
    calls: Mapping[K, Call], rounds: int, rng: random.Random, watch: Watch | None = None
) -> dict[K, Sample]:
    """Time prepared modules in interleaved rounds, so that what the machine does beside meets all
    alike. Fast ones are called more often a round."""
    turns = {key: _turn([call() for _ in range(WARM)]) for key, call in calls.items()}
    times: dict[K, list[list[float]]] = {key: [] for key in calls}
    order = list(calls)
    for number in range(rounds):
        if watch is not None:
            watch(number / rounds, f"round {number + 1} of {rounds}, {len(order)} modules")
        rng.shuffle(order)
        for key in order:
            call = calls[key]
            for _ in range(AGAIN):
                call()
            times[key].append([call() for _ in range(turns[key])])
    return {key: Sample(turns) for key, turns in times.items()}


def _turn(warm: Sequence[float]) -> int:
    last = warm[-1]
    return MOST if last <= 0 else min(max(round(TURN / last), FEWEST), MOST)


def fine(value: float) -> float:
    """A time to the digits that a table has."""
    return float(f"{value:.{DIGITS}g}")
