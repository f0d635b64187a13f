"""Training steps against the official package's network, at its best and as it ships."""

from __future__ import annotations

import copy
import random

import pytest
import torch

from ofa_bench.draws import Draw, Role
from ofa_bench.space import Space, load_space

from .ours import Ours
from .timing import FULL, Table, race

pytest.importorskip("ofa")
from .peer import CLASSES, Peer, both

ROUNDS = {"mobilenetv3-32": 5, "mobilenetv3": 5 if FULL else 3}
STEPS = {"largest": ("≥ 1.0", "≥ 1.8"), "smallest": ("–", "–")}
STEPS |= {"sandwich": ("≥ 1.0", "≥ 1.9"), "expand": ("–", "–")}


def batch_of(kind: str, name: str) -> int:
    """As large as time allows, largest where a target stands on a whole method's step."""
    if name == "mobilenetv3":
        return 16
    return 128 if FULL else {"sandwich": 64, "expand": 24}.get(kind, 32)


def draws_of(kind: str, space: Space) -> list[Draw]:
    rng = random.Random(0)
    if kind == "largest":
        return [Draw(space.largest, Role.LARGEST)]
    if kind == "smallest":
        return [Draw(space.smallest, Role.SMALLEST)]
    some = [Draw(space.sample(rng), Role.SAMPLED) for _ in range(4)]
    if kind == "expand":
        return some
    return [Draw(space.largest, Role.LARGEST), Draw(space.smallest, Role.SMALLEST), *some[:2]]


@pytest.mark.parametrize("name", ROUNDS)
@pytest.mark.parametrize("kind", STEPS)
def test_step(name: str, kind: str, table: Table) -> None:
    space = load_space(name)
    batch = batch_of(kind, name)
    size = max(space.resolutions)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,))
    peer, net = both(space)
    draws = draws_of(kind, space)
    distill = {"sandwich": "inplace", "expand": "frozen"}.get(kind, "labels")
    ours = Ours(copy.deepcopy(net), distill=distill, teacher=kind == "expand")
    best, ships = Peer(peer, space, True, True), Peer(peer, space, False, False)
    for each in (best, ships):
        if kind == "expand":
            each.teach()
    runs = {
        "ours": lambda: ours.step(draws, images, labels),
        "peer at its best": lambda: best.step(draws, images, labels),
        "peer as it ships": lambda: ships.step(draws, images, labels),
    }
    spent = race(runs, ROUNDS[name])
    what = f"{kind} step, {size}×{size}, batch {batch}"
    table.compare(what, spent, "ours", dict(zip(list(runs)[1:], STEPS[kind], strict=True)))
