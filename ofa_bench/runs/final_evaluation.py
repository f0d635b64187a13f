"""Final evaluation: calibrate all candidates and score them on select and, once, on test."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ofa_bench.evaluation.candidates import candidates
from ofa_bench.evaluation.score import score
from ofa_bench.records.per_image import pack
from ofa_bench.records.schema import Layout, Score
from ofa_bench.space import Subnet
from ofa_bench.training.state import State


@dataclass(frozen=True)
class Judgement:
    """Scores per candidate, their packed per-image bits, and the duration in seconds."""

    scores: tuple[Score, ...]
    bits: bytes
    layout: Layout
    subnets: tuple[Subnet, ...]
    seconds: float


def judge(state: State) -> Judgement:
    """Score every candidate of the trained space."""
    began = time.perf_counter()
    assembly = state.assembly
    table = assembly.science.evaluate
    subnets = candidates(
        assembly.space,
        assembly.trained,
        per_bucket=table.per_bucket,
        buckets=table.buckets,
        classes=assembly.classes,
    )
    state.progress.note(f"evaluating {len(subnets)} subnets, each with norm statistics of its own")

    def after_chunk(done: int, of: int) -> None:
        state.stop.check()
        state.progress.evaluating(done, of)

    results = score(
        state.net,
        subnets,
        state.source,
        chunk=table.chunk,
        devices=state.devices,
        tell=after_chunk,
    )
    space, classes = assembly.space, assembly.classes
    scores = tuple(
        Score(
            subnet=subnet.to_json(),
            name=str(subnet),
            macs=space.macs(subnet, classes),
            params=space.params(subnet, classes),
            top1_select=result.top1("select"),
            top1_test=result.top1("test"),
        )
        for subnet, result in zip(subnets, results, strict=True)
    )
    raw, layout = pack([result.correct["test"].tolist() for result in results])
    return Judgement(scores, raw, layout, tuple(subnets), time.perf_counter() - began)
