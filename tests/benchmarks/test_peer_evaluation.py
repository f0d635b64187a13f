"""Calibrating and scoring many subnets, against the official package one by one."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa_bench import api
from ofa_bench.data.sources.batch import MicroBatch
from ofa_bench.evaluation.score import score
from ofa_bench.space import Space, Subnet, load_space

from .timing import FULL, Table, race

pytest.importorskip("ofa")
from .peer import CLASSES, activate, both

IMAGES = 200 if FULL else 64
SETS = {"9 uniform": "≥ 2.4", "64 random": "≥ 2.6", "243 coupled": "≥ 8"}
BALANCED = 9  # nets that stand for a larger set on the peer's side: its time is per net


class Noise:
    """So many images to calibrate on and as many to score, the same for both."""

    sizes = {"select": IMAGES, "test": IMAGES}
    calibration_images = IMAGES

    def __init__(self, size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (IMAGES, 3, size, size)
        drawn = torch.randn(shape, generator=generator)
        self.images = drawn.contiguous(memory_format=torch.channels_last)
        self.labels = torch.randint(CLASSES, (IMAGES,), generator=generator)

    def calibration(self, resolution: int) -> Iterator[MicroBatch]:
        """One batch."""
        yield MicroBatch(self.images, self.labels)

    def evaluation(self, split: str, resolution: int, chunk: int) -> Iterator[MicroBatch]:
        """One chunk."""
        yield MicroBatch(self.images, self.labels)


def coupled(space: Space) -> list[Subnet]:
    """CompOFA's 243 nets."""
    plan = api.plan(method="compofa", dataset="cifar10", space=space.name)
    return list(plan.trained)


def chosen(name: str, space: Space) -> list[Subnet]:
    if name == "9 uniform":
        return space.uniform()
    if name == "64 random":
        rng = random.Random(0)
        return [space.sample(rng) for _ in range(64)]
    return coupled(space)


def stand_ins(name: str, nets: Sequence[Subnet], space: Space) -> list[Subnet]:
    """Nets of the set with about its mean MACs, so that their time scales to the whole."""
    if FULL or len(nets) <= BALANCED:
        return list(nets)
    by_cost = sorted(nets, key=lambda net: space.macs(net, CLASSES))
    return [by_cost[(2 * n + 1) * len(nets) // (2 * BALANCED)] for n in range(BALANCED)]


@pytest.mark.parametrize("name", SETS)
def test_evaluation(name: str, table: Table) -> None:
    from ofa.imagenet_classification.elastic_nn.utils import set_running_statistics

    space = load_space("mobilenetv3-32")
    source: Any = Noise(max(space.resolutions))
    peer, net = both(space)
    nets = chosen(name, space)
    some = stand_ins(name, nets, space)
    plain = source.images.contiguous()

    def theirs() -> Tensor:
        for subnet in some:
            activate(peer, space, subnet)
            with torch.no_grad():
                set_running_statistics(peer, [(plain, None)])
                logits: Tensor = peer.eval()(plain)
            peer.train()
        return logits

    runs = {
        "ours": lambda: score(net, nets, source, splits=("test",), chunk=IMAGES),
        "peer at its best": theirs,
    }
    spent = race(runs, 5 if FULL else 3, warm=FULL or len(nets) <= BALANCED)
    scale = len(nets) / len(some)
    spent["peer at its best"] = [seconds * scale for seconds in spent["peer at its best"]]
    scaled = "" if scale == 1 else f" (peer scaled from {len(some)})"
    what = f"calibrate and score {name} nets, {IMAGES} + {IMAGES} images{scaled}"
    table.compare(what, spent, "ours", {"peer at its best": SETS[name]})
