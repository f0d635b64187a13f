"""Clauses on proxies: what they say of untrained subnets of the toy space."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING

from ofa_bench.space import load_space
from ofa_bench.testing.case import Case, no_global_random
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.verdict import Breach, clauses

if TYPE_CHECKING:
    from torch import nn

    from ofa_bench.data.sources.batch import MicroBatch
    from ofa_bench.space import Subnet

PAGE = "docs/hooks.md (Proxies)"
CLASSES, IMAGES, NETS, MOST = 10, 8, 4, 16
on_proxies = clauses("proxy", page=PAGE)


def _subnets() -> list[Subnet]:
    space, rng = load_space("toy"), random.Random(0)
    drawn = [space.sample(rng) for _ in range(NETS)]
    return list(dict.fromkeys([space.smallest, *drawn, space.largest]))


def _batches(case: Case) -> list[MicroBatch]:
    """As many batches of noise as the proxy needs."""
    import torch

    from ofa_bench.data.sources.batch import MicroBatch

    side, generator = load_space("toy").largest.resolution, torch.Generator().manual_seed(0)
    batches = []
    for _ in range(min(MOST, case.cls().batches)):
        images = torch.randn(IMAGES, 3, side, side, generator=generator)
        batches.append(MicroBatch(images, torch.arange(IMAGES) % CLASSES))
    return batches


def _nets() -> list[tuple[Subnet, nn.Module]]:
    from ofa_bench.evaluation.proxy_scores import untrained
    from ofa_bench.nets.mbconv import build

    net = build(load_space("toy"), CLASSES, seed=0)
    return [(subnet, untrained(net, subnet, "torch", 0)) for subnet in _subnets()]


def _score(case: Case, subnet: Subnet, net: nn.Module, batches: list[MicroBatch]) -> float:
    shape = (3, subnet.resolution, subnet.resolution)
    at_size = [batch.at(subnet.resolution) for batch in batches]
    score: float = case.cls().score(copy.deepcopy(net), shape, at_size)
    return score


@on_proxies(
    "it says how many batches it needs",
    f"the class attribute `batches` is a whole number from 0 to {MOST}",
)
def batches_are_counted(case: Case) -> None:
    """Images are read once, for all proxies and nets."""
    count = getattr(case.cls(), "batches", None)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST:
        raise Breach(f"batches is {count!r}")


@on_proxies(
    "scores are finite floats that tell nets apart",
    "score(net, shape, batches) is a finite float, not the same for all nets",
)
def scores_are_finite(case: Case) -> None:
    """Of the smallest, the largest and some random nets."""
    import math

    where, batches, scores = line_of(case.cls, "score"), _batches(case), set()
    for subnet, net in _nets():
        score = _score(case, subnet, net, batches)
        if not isinstance(score, float) or not math.isfinite(score):
            raise Breach(f"{subnet} got {score!r}", where=where)
        scores.add(score)
    if len(scores) == 1:
        raise Breach(f"every net got {scores.pop()!r}", where=where)


@on_proxies(
    "scores are deterministic",
    "equal arguments give equal scores; shared generators and settings stay as they are",
)
def scores_are_deterministic(case: Case) -> None:
    """A ranking is the same on every machine and in every order."""
    import torch

    where, batches = line_of(case.cls, "score"), _batches(case)
    for subnet, net in _nets()[:2]:
        before = torch.get_default_dtype(), torch.get_num_threads()
        with no_global_random():
            first, second = (_score(case, subnet, net, batches) for _ in range(2))
        if first != second:
            raise Breach(f"{subnet} got {first!r}, then {second!r}", where=where)
        if (torch.get_default_dtype(), torch.get_num_threads()) != before:
            raise Breach("torch's default dtype or threads are others", where=where)


@on_proxies(
    "images stay as they are", "images and labels are the same after a score, and need no gradient"
)
def images_stay(case: Case) -> None:
    """Other proxies and nets get the same batches."""
    import torch

    batches = _batches(case)
    before = [(batch.images.clone(), batch.labels.clone()) for batch in batches]
    for subnet, net in _nets()[-1:]:
        _score(case, subnet, net, batches)
    for batch, (images, labels) in zip(batches, before, strict=True):
        same = torch.equal(batch.images, images) and torch.equal(batch.labels, labels)
        if not same or batch.images.requires_grad:
            raise Breach("a batch was changed", where=line_of(case.cls, "score"))
