"""Peak memory, each measured in a process of its own: it must not grow with the candidates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .timing import TABLE, Line

ROOT = Path(__file__).resolve().parents[2]
SCORING = """
import resource, sys
sys.path.insert(0, ".")
from tests.benchmarks import test_peer_evaluation as bench
from ofa_bench.evaluate.score import score
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
space = load_space("mobilenetv3-32")
bench.IMAGES = 50
bench.Noise.sizes = {"select": 50, "test": 50}
source = bench.Noise(32)
net = build(space, 10, channels_last=True)
score(net, bench.chosen(sys.argv[1], space), source, splits=("test",), chunk=50)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""
COMPARING = """
import resource, sys
from ofa_bench.cli.main import main
main(["compare", "--seeds", "1", "--scale", "0.2", "--yes", "--results", sys.argv[1]])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def gigabytes(code: str, argument: str) -> float:
    words = [sys.executable, "-c", code, argument]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("name", ["9 uniform", "64 random", "243 coupled"])
def test_evaluation(name: str, benchmark: Any) -> None:
    pytest.importorskip("ofa")
    peak = gigabytes(SCORING, name)
    TABLE.add(
        Line(f"peak memory, scoring {name} nets, 50 images at a time (GB)", "–", [peak], "flat")
    )
    benchmark.pedantic(lambda: None, rounds=1)


def test_compare_on_digits(tmp_path: Path, benchmark: Any) -> None:
    peak = gigabytes(COMPARING, str(tmp_path))
    TABLE.add(Line("peak memory, compare on digits (GB)", "–", [peak], "< 2"))
    benchmark.pedantic(lambda: None, rounds=1)
