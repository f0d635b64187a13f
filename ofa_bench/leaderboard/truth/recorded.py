"""The analysis of a record of ground truth, made from its nets; what `validate` makes again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.truth.analysis import RankingTruth, TruthAnalysis, analyse
from ofa_bench.records.truths.schema import VERSION
from ofa_bench.records.validation.task import NAME

SUPERNET = "supernet"
SELECT = "supernet on select"
MACS = "MACs"


def analysed(
    nets: Sequence[Mapping[str, Any]],
    images: Mapping[str, int],
    proxies: Mapping[str, Sequence[float]],
    version: int = VERSION,
) -> dict[str, Any]:
    """The fields of a `TruthRecord` that follow from its nets, its images and its proxies.

    The supernet ranks by its accuracy on test, and once more by that on select, which is what a
    search sees. `version` is the record's: in the first one intervals of gaps are by bootstrap.
    Raises UsageError where too few nets were trained alone, or a proxy's name would be taken for
    another's.
    """
    indices = range(len(nets))
    for name in proxies:
        check_name(name)
    rankings: dict[str, Mapping[int, float]] = {
        SUPERNET: {index: 100 * nets[index]["test"] / images["test"] for index in indices},
        SELECT: {index: 100 * nets[index]["select"] / images["select"] for index in indices},
        MACS: {index: nets[index]["macs"] for index in indices},
        **{name: dict(enumerate(values)) for name, values in proxies.items()},
    }
    alone = {index: [run["top1_test"] for run in nets[index]["alone"]] for index in indices}
    macs = {index: nets[index]["macs"] for index in indices}
    analysis: TruthAnalysis[int] = analyse(
        rankings, alone, macs, (SUPERNET,), resampled_gap=version == 1
    )
    return {
        "left_out": len(analysis.left_out),
        "ranges": analysis.ranges,
        "rankings": [_ranking(ranking) for ranking in analysis.rankings],
        "ceiling": analysis.ceiling and asdict(analysis.ceiling),
        "ceiling_within": analysis.ceiling_within and asdict(analysis.ceiling_within),
    }


def check_name(proxy: str) -> None:
    """Raise UsageError where a proxy's name would be read as another ranking's."""
    if proxy in (SUPERNET, SELECT, MACS):
        raise UsageError(f"a proxy is called {proxy!r}, as another ranking", "rename it")
    if not NAME.fullmatch(proxy):
        raise UsageError(f"a proxy is called {proxy[:80]!a}", "names have a to z, 0-9 and -_.+")


def _ranking(ranking: RankingTruth) -> dict[str, Any]:
    fields = asdict(ranking)
    return {**fields, "regret": {str(count): value for count, value in fields["regret"].items()}}
