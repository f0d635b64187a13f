"""The interference meter: right numbers, and the ramp at the switch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ofa_bench_basics.meter import blocks, compared

from ofa_bench import api
from ofa_bench.records.extra_metrics import read


def test_ratio_and_cosine() -> None:
    ratio, cosine = compared(torch.tensor([3.0, 4.0]), torch.tensor([4.0, -3.0]) * 2)
    assert ratio == pytest.approx(2.0)
    assert cosine == pytest.approx(0.0)
    assert compared(torch.zeros(2), torch.ones(2)) == [None, None]
    assert compared(torch.ones(2), torch.zeros(2)) == [0.0, None]


def test_blocks_lie_side_by_side() -> None:
    spans = {"blocks.0.a": (0, 3), "blocks.0.b.c": (3, 5), "blocks.1.a": (5, 9)}
    assert blocks(spans) == {"blocks.0": [(0, 3), (3, 5)], "blocks.1": [(5, 9)]}


def test_the_ramp_lowers_the_ratio_at_the_switch(tmp_path: Path) -> None:
    """Same weights at the switch, so the ratio with the ramp is the share times that without."""
    torch.set_num_threads(1)
    first, kept = {}, {}
    for lr in ("ramped", "cosine"):
        record = api.run(
            method="deps",
            lr=lr,
            dataset="digits",
            space="toy",
            epochs=2,
            extras=("meter",),
            results=tmp_path,
            set=("evaluate.per_bucket=1", "evaluate.curve=0", "lr.ramped.ramp=0.2")
            if lr == "ramped"
            else ("evaluate.per_bucket=1", "evaluate.curve=0"),
        )
        lines = (tmp_path / "runs" / record.run.id / "meter.jsonl").read_text().splitlines()
        told = [json.loads(line) for line in lines]
        schedule = api.plan(method="deps", dataset="digits", space="toy", epochs=2).schedule
        assert [line["step"] for line in told] == [*range(schedule.edges[1], schedule.steps)]
        first[lr] = told[0]
        (beside,) = (tmp_path / "records").rglob(f"{record.run.id}.readings")
        kept[lr] = read(beside.with_suffix(".json"))
    name = "meter: norm ratio, first step"
    assert {lr: kept[lr][name] for lr in kept} == {lr: first[lr]["all"][0] for lr in first}
    assert first["cosine"]["share"] == 1.0
    share = first["ramped"]["share"]
    assert 0 < share < 0.5
    assert first["ramped"]["all"][0] == pytest.approx(share * first["cosine"]["all"][0], rel=1e-3)
