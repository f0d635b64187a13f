"""How cost grows: with draws, resolution, ranks and candidates. Part of `tox -e bench-full`."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa_bench.draws import sandwich
from ofa_bench.evaluation.score import score
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space

from .ours import Ours
from .test_peer_evaluation import CLASSES, Noise
from .timing import FULL, Line, Table, race

pytestmark = pytest.mark.skipif(not FULL, reason="only in bench-full: set OFA_BENCH_FULL=1")
ROOT = Path(__file__).resolve().parents[2]
DRAWS = """
import random, sys
sys.path.insert(0, ".")
import torch
from ofa_bench.draws import sandwich
from ofa_bench.hardware import peak_memory
from ofa_bench.nets.mbconv import build
from ofa_bench.space import load_space
from tests.benchmarks.ours import Ours
space = load_space("laptop-32")
ours = Ours(build(space, 10, channels_last=True), distill="inplace")
images = torch.randn(128, 3, 32, 32).contiguous(memory_format=torch.channels_last)
labels = torch.randint(10, (128,))
for seed in range(3):
    draws = sandwich(space, random.Random(seed), sampled=int(sys.argv[1]) - 2)
    ours.step(draws, images, labels)
print(peak_memory() / 2**30)
"""


def picture(count: int, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(count, 3, side, side).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(CLASSES, (count,))


@pytest.mark.parametrize("draws", [4, 8, 16])
def test_draws(draws: int, table: Table) -> None:
    space = load_space("laptop-32")
    ours = Ours(build(space, CLASSES, channels_last=True), distill="inplace")
    some = sandwich(space, random.Random(1), sampled=draws - 2)
    runs = {
        "many": lambda: ours.step(some, *picture(128, 32)),
        "two": lambda: ours.step(some[:2], *picture(128, 32)),
    }
    spent = race(runs, 5)
    ratios = [a / b for a, b in zip(spent["many"], spent["two"], strict=True)]
    table.add(Line(f"a step of {draws} draws, laptop-32 (time)", "of two draws", ratios, "–"))
    words = [sys.executable, "-c", DRAWS, str(draws)]
    done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    table.add(Line(f"peak memory of {draws} draws (GB)", "–", [float(done.stdout)], "flat"))


@pytest.mark.parametrize("side", [128, 160, 192])
def test_resolution(side: int, table: Table) -> None:
    space = load_space("mobilenetv3-ofa")
    ours = Ours(build(space, CLASSES, channels_last=True), distill="inplace")
    draws = sandwich(space, random.Random(1), sampled=2)

    def step(size: int) -> None:
        at_size = [replace(draw, subnet=draw.subnet.at(size)) for draw in draws]
        ours.step(at_size, *picture(8, size))

    runs = {str(size): partial(step, size) for size in (side, 224)}
    spent = race(runs, 3)
    ratios = [a / b for a, b in zip(spent[str(side)], spent["224"], strict=True)]
    what = f"sandwich step at {side} pixels (time; pixels: {(side / 224) ** 2:.2f})"
    table.add(Line(what, "at 224", ratios, "–"))


def test_candidates(table: Table) -> None:
    space = load_space("laptop-32")
    net = build(space, CLASSES, channels_last=True)
    source: Any = Noise(32)
    rng = random.Random(0)
    nets = [space.sample(rng) for _ in range(256)]
    for count in (16, 64, 256):
        began = time.perf_counter()
        score(net, nets[:count], source, splits=("test",))
        each = 1000 * (time.perf_counter() - began) / count
        table.add(Line(f"scoring {count} nets of laptop-32, ms a net", "–", [each], "falls"))


def test_ranks(tmp_path: Path, table: Table) -> None:
    """Two gloo ranks of one thread on the two cores, against one rank of two threads."""
    words = ["-m", "ofa_bench", "run", "--method", "bignas", "--space", "laptop-8", "--epochs", "4"]
    words += ["--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0", "--json"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    spent = {}
    for name, first, threads in (("one", [], "2"), ("two", launch, "1")):
        env = {**os.environ, "OMP_NUM_THREADS": threads}
        command = [sys.executable, *first, *words, "--results", str(tmp_path / name)]
        done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
        phases = json.loads(done.stdout)["cost"]["phases"]
        spent[name] = sum(phase["wall_seconds"] for phase in phases)
    ratio = spent["two"] / spent["one"]
    table.add(Line("two gloo ranks, laptop-8 (time)", "one rank, two threads", [ratio], "–"))
