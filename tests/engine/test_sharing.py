"""Runs that begin alike train their beginning once, to the same bits, and are charged in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofa_bench import api
from ofa_bench.engine.prefix import branch_points, chain, common

TINY = {"dataset": "digits", "space": "toy", "scale": 0.3}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.curve=2")}
ROWS: list[dict[str, Any]] = [
    {"method": "deps"},
    {"shrink": "sandwich", "lr": "cosine", "distill": "inplace"},
    {"shrink": "delayed", "lr": "cosine", "distill": "inplace"},
    {"shrink": "delayed", "lr": "ramped", "distill": "labels"},
    {"shrink": "delayed", "lr": "cosine", "distill": "frozen"},
    {"method": "ofa"},
    {"method": "compofa"},
]


def test_branches_equal_runs_apart(tmp_path: Path) -> None:
    asked = [api.request(**TINY, **row, results=tmp_path / "shared") for row in ROWS]
    plans = [api.plan(**TINY, **row) for row in ROWS]
    points = branch_points([chain(plan) for plan in plans])
    starts = [start for start, _ in points]
    warm, largest = plans[0].schedule.edges[1], plans[5].schedule.edges[1]
    assert starts == [0, 0, warm, warm, warm, 0, largest]
    prefixes = []
    for row, each, (_, leave) in zip(ROWS, asked, points, strict=True):
        branched = api.run_request(each, leave=leave)
        apart = api.run(**TINY, **row, results=tmp_path / "apart")
        assert branched.weights_sha256 == apart.weights_sha256, row
        assert branched.scores == apart.scores
        assert branched.cost.train_macs == apart.cost.train_macs
        assert branched.cost.images == apart.cost.images
        assert apart.run.prefix is None
        prefixes.append(branched.run.prefix)
    # What pairs rows seed by seed: the beginning each shares with others.
    delayed, alone, *branches, coarse, fine = prefixes
    assert alone is None
    assert set(branches) == {delayed}
    assert coarse == fine
    assert len({delayed, coarse, None}) == 3


def test_what_acts_parts_runs() -> None:
    plain = api.plan(**TINY, method="deps")
    for other, steps in (
        ({"seed": 1}, -1),
        ({"set": ("optim.momentum=0.8",)}, -1),
        ({"set": ("shrink.start=0.25",)}, None),
    ):
        plan = api.plan(**{**TINY, "method": "deps", **other})
        agreed = common(chain(plain), chain(plan))
        assert agreed == (plan.schedule.edges[1] if steps is None else steps)
