"""A network written from the documents alone keeps the contract, and trains."""

from __future__ import annotations

import json


def test_contract(bench):
    done = bench("plugin", "check", "plain", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, [v for v in report["verdicts"] if v["ok"] is False]
    assert report["origin"] == "ofa-bench-plain 0.1.0"


def test_a_network_of_a_stranger_trains(bench):
    words = ["run", "--method", "deps", "--shrink", "sandwich", "--lr", "cosine", "--json"]
    words += ["--epochs", "1", "--space", "plain-8", "--set", "evaluate.per_bucket=1"]
    done = bench(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["task"]["space"]["name"] == "plain-8"
