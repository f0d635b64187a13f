"""A sandwich step in a process of its own: ours as the command line sets it up, the peer as it
ships. The allocator's setting is part of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .timing import FULL, Line, Table

pytest.importorskip("ofa")
ROOT = Path(__file__).resolve().parents[2]
BATCH = 32 if FULL else 16
STEP = """
import statistics, sys, time
sys.path.insert(0, ".")
if sys.argv[1] == "ours":
    from ofa_bench.cli.allocator import settle
    assert settle("cpu")
import torch
from ofa_bench.space import load_space
from tests.benchmarks.ours import Ours
from tests.benchmarks.peer import CLASSES, Peer, both
from tests.benchmarks.test_peer_steps import draws_of
space, batch = load_space("mobilenetv3"), int(sys.argv[2])
peer, net = both(space)
net = Ours(net, distill="inplace") if sys.argv[1] == "ours" else Peer(peer, space, False, False)
images = torch.randn(batch, 3, 224, 224)
if sys.argv[1] == "ours":
    images = images.contiguous(memory_format=torch.channels_last)
labels = torch.randint(CLASSES, (batch,))
draws = draws_of("sandwich", space)
spent = []
for _ in range(3):
    began = time.perf_counter()
    net.step(draws, images, labels)
    spent.append(time.perf_counter() - began)
print(statistics.median(spent[1:]))
"""


def seconds(who: str) -> float:
    env = {name: value for name, value in os.environ.items() if name != "OFA_BENCH_ALLOCATOR"}
    words = [sys.executable, "-c", STEP, who, str(BATCH)]
    done = subprocess.run(words, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def test_sandwich(table: Table) -> None:
    ratios = []
    for number in range(5 if FULL else 3):
        order = ("ours", "peer") if number % 2 else ("peer", "ours")
        spent = {who: seconds(who) for who in order}
        ratios.append(spent["peer"] / spent["ours"])
    what = f"sandwich step, 224×224, batch {BATCH}, whole processes"
    table.add(Line(what, "peer as it ships", ratios, "≥ 2.7"))
