"""Methods and a network, written from the documents alone, keep the contract; the methods stand on
one table."""

from __future__ import annotations

import json

import pytest

SHORT = ["--epochs", "1", "--space", "toy", "--set", "evaluate.per_bucket=1"]


@pytest.mark.parametrize("name", ["attentive", "pcgrad", "plain"])
def test_contract(bench, name):
    done = bench("plugin", "check", name, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, [v for v in report["verdicts"] if v["ok"] is False]
    assert report["origin"] == f"ofa-bench-{name} 0.1.0"


def test_one_table(bench):
    methods = "ofa,compofa,bignas,bignas-port,deps,fairnas,attentive-best,attentive-worst"
    words = ["compare", "--methods", methods, "--seeds", "1", "--yes", "--json", *SHORT]
    done = bench(*words, "--set", "evaluate.curve=0")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)["rows"]
    assert sorted(row["method"] for row in rows) == sorted(methods.split(","))


def test_an_extra_of_a_stranger_is_recorded(bench):
    done = bench("run", "--method", "deps", "--with", "pcgrad", "--json", *SHORT)
    assert done.returncode == 0, done.stderr[-2000:]
    (extra,) = json.loads(done.stdout)["method"]["extras"]
    assert (extra["name"], extra["distribution"]) == ("pcgrad", "ofa-bench-pcgrad")
    assert "class Projection" in extra["source"]["text"]


def test_a_network_of_a_stranger_trains(bench):
    words = ["run", "--method", "deps", "--shrink", "sandwich", "--lr", "cosine", "--json"]
    done = bench(*words, *SHORT[:2], "--space", "plain-8", *SHORT[4:])
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["task"]["space"]["name"] == "plain-8"
