"""Latency tables for tests, counted and not measured."""

from __future__ import annotations

from ofa_bench.search.latency_table import (
    BlockTiming,
    Calibration,
    LatencyCheck,
    LatencyTable,
    MeasuringMachine,
    PartTimings,
    SpaceMeasured,
    Timing,
)
from ofa_bench.space import Space

PER_MAC = 1e-6  # ms
GOOD = LatencyCheck(
    nets=30,
    median_error=0.01,
    p90_error=0.02,
    tau=0.97,
    macs_error=0.06,
    macs_tau=0.8,
    repeat_error=0.01,
    repeat_tau=0.98,
)


def timing(ms: float) -> Timing:
    return Timing(ms=ms, p50=ms, p90=ms, n=40)


def proportional(
    space: Space, classes: int, shortcuts: str = "identity", check: LatencyCheck = GOOD
) -> LatencyTable:
    """A table by which every MAC takes a nanosecond."""
    parts = []
    for size in space.listed:
        tally = space.costs.macs(size)
        blocks = tuple(
            BlockTiming(slot=s, kernel=k, expand=e, **dict(timing(macs * PER_MAC)))
            for (s, k, e), macs in tally.blocks.items()
        )
        half = timing(tally.fixed(classes) * PER_MAC / 2)
        parts.append(PartTimings(resolution=size, trunk=half, head=half, blocks=blocks))
    return LatencyTable(
        device="onnx-cpu",
        batch=1,
        threads=1,
        classes=classes,
        rounds=20,
        measured="2026-11-27T17:00:00+00:00",
        space=SpaceMeasured(name=space.name, fingerprint=space.fingerprint(), shortcuts=shortcuts),
        machine=MeasuringMachine(processor="an abacus", cores=2, system="wood"),
        versions={"ofa-bench": "0", "an odd.name": "1"},
        calibration=Calibration(overhead=0.0, scale=1.0, offset=0.0, nets=22),
        check=check,
        parts=tuple(parts),
    )
