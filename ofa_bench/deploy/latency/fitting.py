"""How a table's sums become a net's time, and what is left of error."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from ofa_bench.deploy.latency.rounds import fine, quantile
from ofa_bench.errors import BenchError
from ofa_bench.search.latency_table import Calibration, LatencyCheck
from ofa_bench.search.predictor import kendall


def calibrated(sums: Sequence[float], times: Sequence[float], overhead: float) -> Calibration:
    """Scale and offset that take sums of parts to times of nets. Raises BenchError where nets with
    dearer parts are not slower."""
    scale, offset = fitted_line(sums, times)
    if scale <= 0:
        raise BenchError(
            "whole nets do not take longer where their blocks do, so no table is made",
            "measure on a quieter machine, or in more --rounds",
        )
    return Calibration(overhead=overhead, scale=fine(scale), offset=fine(offset), nets=len(times))


def fitted_line(costs: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """Scale and offset from costs to times, by least squares of the relative error; scale 0 where
    all costs are equal."""
    weights = [time**-2 for time in times]
    total = sum(weights)
    x = sum(w * s for w, s in zip(weights, costs, strict=True)) / total
    y = sum(w * t for w, t in zip(weights, times, strict=True)) / total
    spread = sum(w * (s - x) ** 2 for w, s in zip(weights, costs, strict=True))
    shared = sum(w * (s - x) * (t - y) for w, s, t in zip(weights, costs, times, strict=True))
    scale = shared / spread if spread > 0 else 0.0
    return scale, y - scale * x


def checked(
    predicted: Sequence[float],
    by_macs: Sequence[float],
    times: Sequence[float],
    halves: Sequence[tuple[float, float]],
) -> LatencyCheck:
    """What a table is worth on nets that it has not seen: its predictions, those by MACs alone, the
    times, and two measurements of each."""
    errors = relative_errors(predicted, times)
    once, again = zip(*halves, strict=True)
    return LatencyCheck(
        nets=len(times),
        median_error=fine(median(errors)),
        p90_error=fine(quantile(errors, 0.9)),
        tau=fine(kendall(predicted, times)),
        macs_error=fine(median(relative_errors(by_macs, times))),
        macs_tau=fine(kendall(by_macs, times)),
        repeat_error=fine(median(relative_errors(once, again))),
        repeat_tau=fine(kendall(once, again)),
    )


def relative_errors(predicted: Sequence[float], times: Sequence[float]) -> list[float]:
    """|predicted / measured - 1| of each net, sorted."""
    return sorted(abs(p / t - 1) for p, t in zip(predicted, times, strict=True))
