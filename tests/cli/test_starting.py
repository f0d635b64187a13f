"""Runs that start from weights: what the command says, records and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space

from .conftest import Bench

QUICK = ["--space", "toy", "--epochs", "0.2", "--set", "evaluate.per_bucket=1", "--workers", "0"]
QUICK += ["--set", "evaluate.buckets=1", "--set", "evaluate.curve=0"]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(build(load_space("toy"), 7, seed=2).state_dict(), tmp_path / "seven.pth")
    return tmp_path / "seven.pth"


def test_a_fresh_head_starts_from_weights_of_other_classes(
    weights: Path, results: Path, bench: Bench
) -> None:
    words = ["run", *QUICK, "--results", results, "--init", weights]
    done = bench(*words)
    assert done.code == 2 and "--init-head fresh" in done.err
    done = bench(*words, "--init-head", "fresh", "--json")
    assert done.code == 0, done.err
    assert done.json["execution"]["init_head"] == "fresh"
    run = done.json["run"]["id"]
    again = bench("evaluate", run, "--subnet", "largest", "--results", results, "--workers", "0")
    assert again.code == 0, again.err
    scratch = bench("run", *QUICK, "--results", results, "--json").json
    assert done.json["run_id"] != scratch["run_id"]
    assert done.json["row_id"] != scratch["row_id"]
    assert done.json["weights_sha256"] != scratch["weights_sha256"]


def test_a_fresh_head_needs_weights(results: Path, bench: Bench) -> None:
    done = bench("run", *QUICK, "--results", results, "--init-head", "fresh")
    assert done.code == 2 and "--init" in done.err


def test_the_set_that_is_taken_is_told(tmp_path: Path, results: Path, bench: Bench) -> None:
    states = [build(load_space("toy"), 10, seed=seed).state_dict() for seed in (2, 3)]
    torch.save(dict(zip(("model", "model_ema"), states, strict=True)), tmp_path / "two.pth")
    words = ["run", *QUICK, "--results", results, "--json", "--init"]
    plain = bench(*words, tmp_path / "two.pth")
    assert plain.code == 0 and f"{tmp_path}/two.pth::model_ema" in plain.err
    mean = bench(*words, f"{tmp_path}/two.pth::model_ema")
    assert mean.code == 0 and "several sets" not in mean.err
    assert mean.json["weights_sha256"] != plain.json["weights_sha256"]
    assert mean.json["run_id"] != plain.json["run_id"]


@pytest.mark.parametrize("option", ["--init", "--teacher"])
def test_weights_that_are_no_numbers_end_before_training(
    tmp_path: Path, results: Path, bench: Bench, option: str
) -> None:
    state = build(load_space("toy"), 10, seed=2).state_dict()
    state["blocks.7.classifier.bias"] = state["blocks.7.classifier.bias"].to(torch.int8)
    torch.save(state, tmp_path / "int8.pth")
    words = ["--distill", "frozen"] if option == "--teacher" else []
    done = bench("run", *QUICK, *words, "--results", results, option, tmp_path / "int8.pth")
    assert done.code == 2, done.err
    assert "blocks.7.classifier.bias" in done.err and "int8" in done.err
    assert not list(results.glob("records/**/*.json"))
