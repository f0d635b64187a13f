"""How a table's sums become a net's time, and what is left of error."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np
from sklearn.linear_model import LinearRegression

from ofa_bench.deploy.latency.rounds import fine
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
    line = LinearRegression().fit([[cost] for cost in costs], times, sample_weight=weights)
    return float(line.coef_[0]), float(line.intercept_)


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
        p90_error=fine(float(np.quantile(errors, 0.9))),
        tau=fine(kendall(predicted, times)),
        macs_error=fine(median(relative_errors(by_macs, times))),
        macs_tau=fine(kendall(by_macs, times)),
        repeat_error=fine(median(relative_errors(once, again))),
        repeat_tau=fine(kendall(once, again)),
    )


def relative_errors(predicted: Sequence[float], times: Sequence[float]) -> list[float]:
    """|predicted / measured - 1| of each net."""
    return [abs(p / t - 1) for p, t in zip(predicted, times, strict=True)]
