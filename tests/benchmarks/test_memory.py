"""Peak memory, each measured in a process of its own: it must not grow with the candidates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .timing import FULL, Line, Table

ROOT = Path(__file__).resolve().parents[2]
IMAGES = 250 if FULL else 25
SCORING = """
import sys
sys.path.insert(0, ".")
from ofa_bench.cli.allocator import settle
settle("cpu")
from ofa_bench.hardware import peak_memory
from tests.benchmarks import test_peer_evaluation as bench
from ofa_bench.evaluation.score import score
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
space = load_space("mobilenetv3-32")
bench.IMAGES = int(sys.argv[2])
bench.Noise.sizes = {"select": bench.IMAGES, "test": bench.IMAGES}
source = bench.Noise(32)
net = build(space, 10, channels_last=True)
nets = {name: bench.chosen(name, space) for name in bench.SETS}  # alike in all three processes
score(net, nets[sys.argv[1]], source, splits=("test",), chunk=bench.IMAGES)
print(peak_memory() / 2**30)
"""
COMPARING = """
import sys
from ofa_bench.cli.main import main
from ofa_bench.hardware import peak_memory
main(["compare", "--seeds", "1", "--scale", "0.2", "--yes", "--results", sys.argv[1]])
print(peak_memory() / 2**30)
"""


def gigabytes(code: str, *arguments: str) -> float:
    words = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("name", ["9 uniform", "64 random", "243 coupled"])
def test_evaluation(name: str, table: Table) -> None:
    pytest.importorskip("ofa")
    peak = gigabytes(SCORING, name, str(IMAGES))
    what = f"peak memory, scoring {name} nets, {IMAGES} images at a time (GB)"
    table.add(Line(what, "–", [peak], "flat"))


def test_compare_on_digits(tmp_path: Path, table: Table) -> None:
    peak = gigabytes(COMPARING, str(tmp_path))
    table.add(Line("peak memory, compare on digits (GB)", "–", [peak], "< 2"))
