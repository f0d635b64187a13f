"""What a search's scoring takes: rounds of many subnets against one subnet after another."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from ofa_bench import api
from ofa_bench.evaluation.score import score
from ofa_bench.runs.finished import finished_run
from ofa_bench.search.costs import counted
from ofa_bench.search.searcher import Problem, RandomSearcher

from .timing import FULL, Table, race

NETS, ROUND = 200 if FULL else 100, 25


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search") / "results"
    for space in ("toy", "laptop-8"):
        api.run(method="bignas", space=space, epochs=1, results=str(folder))
    return folder


def test_scoring_in_rounds(table: Table, results: Path) -> None:
    """Random subnets inside a budget share the least: no searcher's rounds are worse."""
    run = finished_run("bignas-digits-laptop-8", results)
    space, classes = run.space, run.assembly.classes
    macs = counted(space, "macs", classes)
    problem = Problem(space, macs, 800_000, classes, macs)
    nets = RandomSearcher().propose(problem, {}, NETS, random.Random(0))
    with run.open() as opened:

        def scored(size: int) -> None:
            for start in range(0, len(nets), size):
                score(opened.net, nets[start : start + size], opened.source, splits=("select",))

        spent = race({"rounds": lambda: scored(ROUND), "one by one": lambda: scored(1)}, 3, False)
    table.compare(f"{NETS} subnets in rounds of {ROUND}", spent, "rounds", {"one by one": "≥ 2"})


def test_the_whole_toy_space(table: Table, results: Path) -> None:
    """A search that scores all 216 subnets, as `ofa-bench search` does."""
    began = time.perf_counter()
    record = api.search("bignas-digits-toy", macs="150k", results=results)
    assert record.exhaustive
    print(f"\n| all 216 subnets of toy | | {time.perf_counter() - began:.1f} s | | < 20 s |")
