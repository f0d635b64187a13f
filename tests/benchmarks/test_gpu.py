"""Training steps on a GPU in bf16, against the official package's network; skipped without one.

Draws are new in every step, as in a run: what is timed is the pace once blocks are recorded.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch

from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.draws import Draw, Role
from ofa_bench.evaluation.chunks import PASS_PIXELS
from ofa_bench.evaluation.score import CHUNK, score
from ofa_bench.space import Space, load_space

from .ours import Ours
from .timing import FULL, Table, race

pytest.importorskip("ofa")
from .peer import CLASSES, Peer, both

if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)

BATCHES = {"mobilenetv3-32": 128, "mobilenetv3": 64}
ROUNDS = 9 if FULL else 5
WARM, STEPS = 60, 10 if FULL else 5  # before timing, and a round
TARGETS = {"peer at its best": "≥ 2", "peer as it ships": "≥ 3"}


@dataclass
class Draws:
    """Fresh draws of a kind, step after step, the same for each contender."""

    kind: str
    space: Space
    steps: int = 0

    def next(self) -> list[Draw]:
        space, rng = self.space, random.Random(self.steps)
        self.steps += 1
        ends = [Draw(space.largest, Role.LARGEST), Draw(space.smallest, Role.SMALLEST)]
        some = [Draw(space.sample(rng), Role.SAMPLED) for _ in range(4)]
        return {"largest": ends[:1], "sandwich": [*ends, *some[:2]], "expand": some}[self.kind]


def timed(step: Callable[[], None], steps: int) -> float:
    """Seconds of so many steps, the device's included."""
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    return time.perf_counter() - began


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("kind", ["largest", "sandwich", "expand"])
def test_step_on_a_gpu(name: str, kind: str, table: Table) -> None:
    space, batch = load_space(name), BATCHES[name]
    size = max(space.resolutions)
    images = torch.randn(batch, 3, size, size, device="cuda")
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,), device="cuda")
    peer, net = both(space)
    peer, net = peer.cuda(), net.cuda()
    distill = {"sandwich": "inplace", "expand": "frozen"}.get(kind, "labels")
    ours = Ours(net, distill=distill, teacher=kind == "expand", precision="bf16")
    others = {
        "peer, channels-last, bf16": Peer(peer, space, True, True, "bf16"),
        "peer, NCHW, bf16": Peer(peer, space, False, True, "bf16"),
        "peer as it ships": Peer(peer, space, False, False),
    }
    for each in others.values():
        if kind == "expand":
            each.teach()
    steppers: dict[str, Ours | Peer] = {"ours": ours, **others}
    draws = {who: Draws(kind, space) for who in steppers}
    runs = {
        who: partial(lambda who: steppers[who].step(draws[who].next(), images, labels), who)
        for who in steppers
    }
    warm = timed(runs["ours"], WARM)
    for who in others:
        timed(runs[who], 3)
        draws[who].steps = WARM
    spent: dict[str, list[float]] = {who: [] for who in runs}
    for number in range(ROUNDS):
        for who in list(runs) if number % 2 else reversed(list(runs)):
            spent[who].append(timed(runs[who], STEPS) / STEPS)
    quick = min(list(others)[:2], key=lambda who: min(spent[who]))
    spent["peer at its best"] = spent[quick]
    what = f"{kind} step, {size}×{size}, batch {batch}, bf16"
    paces = ", ".join(f"{who} {min(spent[who]) * 1e3:.2f} ms" for who in runs)
    print(f"\n{torch.cuda.get_device_name()}: {what}: {paces}; best: {quick}; warm in {warm:.1f} s")
    table.compare(what, spent, "ours", TARGETS)


class Noise:
    """Twelve chunks of images to score, two batches to calibrate on, on the GPU."""

    sizes = {"test": 12 * CHUNK}
    calibration_images = 400

    def __init__(self, size: int) -> None:
        images = torch.randn(self.sizes["test"], 3, size, size, device="cuda")
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (len(images),), device="cuda")

    def _of(self, start: int, count: int) -> MicroBatch:
        return MicroBatch(*(part[start : start + count] for part in (self.images, self.labels)))

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        """Two batches of 200."""
        yield from (self._of(start, 200) for start in (0, 200))

    def evaluation(self, split: str, resolution: int, chunk: int) -> Iterator[MicroBatch]:
        """All chunks."""
        yield from (self._of(start, chunk) for start in range(0, self.sizes["test"], chunk))


def test_evaluation_on_a_gpu(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    space, rng = load_space("mobilenetv3-32"), random.Random(0)
    net, source = both(space)[1].cuda(), Noise(32)
    nets = [space.sample(rng) for _ in range(16)]
    given: Any = source

    def scored(pixels: int) -> list[float]:
        monkeypatch.setitem(PASS_PIXELS, "cuda", pixels)
        results = score(net, nets, given, splits=("test",))
        return [result.top1("test") for result in results]

    together = PASS_PIXELS["cuda"]
    runs = {"ours": partial(scored, together), "chunk by chunk": partial(scored, 0)}
    apart = [abs(a - b) for a, b in zip(scored(together), scored(0), strict=True)]
    spent = race(runs, 5 if FULL else 3)
    what = f"calibrate and score {len(nets)} nets, 400 + {source.sizes['test']} images of 32×32"
    paces = ", ".join(f"{who} {min(spent[who]):.2f} s" for who in runs)
    print(f"\n{what}: {paces}; accuracies at most {max(apart):.3f} points apart")
    table.compare(what, spent, "ours", {"chunk by chunk": "≥ 1"})
