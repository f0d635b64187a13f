"""A recorded run made again: identical, within interval, or not reproduced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.planning.shared_prefix import Beginning, branch_points
from ofa_bench.records.schema import Record, plain, sealed
from ofa_bench.records.store import Store

from .conftest import Bench

TINY: dict[str, Any] = {"dataset": "digits", "space": "toy"}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=3", "evaluate.curve=1")}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    "more",
    [
        {"method": "deps", "epochs": 0.3},
        {"method": "compofa", "budget": "matched", "epochs": 0.5},
        {"method": "bignas", "scale": 0.04, "lr": "cosine", "seed": 3},
    ],
    ids=["epochs", "matched", "composed"],
)
def test_the_same_machine_gives_the_same_bits(
    more: dict[str, Any], tmp_path: Path, bench: Bench
) -> None:
    record = api.run(**TINY, **more, results=tmp_path)
    done = bench("reproduce", record.run.id, "--results", tmp_path, "--json")
    told = done.json
    assert (done.code, told["verdict"]) == (0, "identical"), told
    assert not list((tmp_path / "runs").glob("reproduced/*"))


def test_a_branch_is_made_again_from_its_beginning(tmp_path: Path, bench: Bench) -> None:
    rows = [{"method": "deps"}, {"method": "deps", "lr": "cosine"}]
    asked = [api.request(**TINY, **row, epochs=1, results=tmp_path) for row in rows]
    plans = [api.plan(**TINY, **row, epochs=1) for row in rows]
    for each, (_, leave) in zip(asked, branch_points([Beginning(p) for p in plans]), strict=True):
        branched = api.run_request(each, leave=leave)
    assert branched.run.prefix is not None
    done = bench("reproduce", branched.run.id, "--results", tmp_path)
    assert done.code == 0
    assert "identical: " in done.out


def altered(record: Record) -> Record:
    """The record with better numbers, sealed as if it had them."""
    fields = plain(record)
    for score in fields["scores"]:
        score["top1_test"] = min(100.0, score["top1_test"] + 20)
    fields["weights_sha256"] = "0" * 64
    return sealed(fields)


def test_better_numbers_than_the_run_gives_are_not_reproduced(tmp_path: Path, bench: Bench) -> None:
    record = api.run(**TINY, method="deps", epochs=0.3, results=tmp_path / "true")
    bits = Store(tmp_path / "true").path(record).with_suffix(".bits").read_bytes()
    Store(tmp_path / "forged").write(altered(record), bits)
    done = bench("reproduce", record.run.id, "--results", tmp_path / "forged")
    assert done.code == 1
    assert "not reproduced: " in done.out


def test_what_is_not_installed_is_named(tmp_path: Path, bench: Bench) -> None:
    record = api.run(**TINY, method="deps", epochs=0.2, results=tmp_path / "true")
    fields = plain(record)
    fields["method"]["shrink"]["name"] = "spiral"
    fields["method"]["shrink"]["distribution"] = "ofa-bench-spiral"
    bits = Store(tmp_path / "true").path(record).with_suffix(".bits").read_bytes()
    Store(tmp_path / "other").write(sealed(fields), bits)
    done = bench("reproduce", record.run.id, "--results", tmp_path / "other")
    assert done.code == 2
    assert "'spiral'" in done.err
    assert "ofa-bench-spiral" in done.err
    assert "--plugin" in done.err
