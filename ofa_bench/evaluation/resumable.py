"""The final evaluation, which goes on where it was: scores are kept chunk by chunk.

Ranks work in rounds, a batch each, after which the first rank writes what all of them scored. So
only one rank touches the results folder, and all of them stop after the same round.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Protocol

from ofa_bench.data.sources.source import BatchSource, HeldOut
from ofa_bench.errors import Interrupted
from ofa_bench.evaluation.chunks import EvaluationStep, ScoredChunk, steps, worked
from ofa_bench.evaluation.kept_scores import KeptChunk, KeptScores
from ofa_bench.evaluation.score import Correctness, MarkTable, Ranks, check_sizes, listed, shares
from ofa_bench.nets.protocol import Supernet
from ofa_bench.space import Subnet

SPLITS: tuple[HeldOut, ...] = ("select", "test")


class StopSwitch(Protocol):
    """Stretches that a signal may cut off anywhere, or must leave alone."""

    hint: str

    def anywhere(self) -> AbstractContextManager[None]: ...
    def gently(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Evaluated:
    """The subnets' correctness, and the seconds that scoring took, interruptions left out."""

    results: list[Correctness]
    seconds: float


def score_and_keep(
    net: Supernet,
    subnets: Sequence[Subnet],
    source: BatchSource,
    *,
    chunk: int,
    devices: Ranks,
    kept: KeptScores | None,
    stop: StopSwitch,
    tell: Callable[[int, int], None],
) -> Evaluated:
    """As `score` on select and test, going on from what the first rank's `kept` holds.

    Calibration is repeated for the resolutions that have chunks left: it gives the same bits. A
    signal on any rank raises Interrupted on all of them; at most the pass under way is lost.
    """
    check_sizes(source, SPLITS)
    started = began = time.perf_counter()
    table = MarkTable(source, SPLITS, chunk)
    files: list[KeptChunk] = devices.gather(kept.read() if kept is not None else [])[0]
    known: dict[tuple[HeldOut, int], set[int]] = defaultdict(set)
    for file in files:
        table.add(file.scored)
        known[file.scored.split, file.scored.number].update(file.scored.positions)
    parts = shares(net, subnets, devices.world)
    plans = [steps(subnets, part, source, SPLITS, chunk, known) for part in parts]
    mine, plan = parts[devices.rank], plans[devices.rank]
    whole = steps(subnets, mine, source, SPLITS, chunk, {})
    progress = _progress(plan, sum(step.images for step in whole), tell)
    next(progress)
    with closing(worked(net, subnets, mine, source, plan, chunk)) as work, stop.gently():
        for _ in range(max(map(len, plans))):
            scored, stopped = _round(work, devices, stop)
            for part in scored:
                table.add(part)
                if kept is not None:
                    kept.write(KeptChunk(part, time.perf_counter() - began))
                    began = time.perf_counter()
            if stopped:
                raise _interrupted(stop.hint)
            next(progress, None)
        if _round(iter(()), devices, stop)[1]:  # a signal since the last chunk was scored
            raise _interrupted(stop.hint)
    seconds = sum(file.seconds for file in files) + time.perf_counter() - started
    return Evaluated(listed(subnets, table.rows), seconds)


def _round(
    work: Iterator[ScoredChunk | None], devices: Ranks, stop: StopSwitch
) -> tuple[list[ScoredChunk], bool]:
    """What all ranks scored with a batch each, and whether one of them is to stop."""
    scored, stopped = None, False
    try:
        with stop.anywhere():
            scored = next(work, None)
    except Interrupted:
        stopped = True
    parts = devices.gather((scored, stopped))
    return [part for part, _ in parts if part is not None], any(flag for _, flag in parts)


def _progress(
    plan: Sequence[EvaluationStep], total: int, tell: Callable[[int, int], None]
) -> Iterator[None]:
    """Tell the images that are done of this rank's, first those of earlier processes."""
    done = max(0, total - sum(step.images for step in plan))
    tell(done, total)
    yield
    for step in plan:
        done += step.images
        tell(done, total)
        yield


def _interrupted(hint: str) -> Interrupted:
    error = Interrupted("interrupted during the final evaluation; its scores are kept", hint)
    error.on_all_ranks = True
    return error
