"""Attentive sampling: which net is chosen, from among which, and how often each size."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ofa_bench_attentivenas.shrink import Attentive
from ofa_bench_basics.distill import Inplace
from ofa_bench_basics.lr import Cosine

from ofa_bench import Budget, Role, Schedule, Subnet, api
from ofa_bench.hooks.bus import Bus
from ofa_bench.space import load_space
from ofa_bench.training.state import State

from .conftest import bundle
from .shared_laws import begins_with_identities, warms_up_then_falls_along_one_cosine


@pytest.fixture(params=["attentivenas", "attentivenas-worst"])
def method(request):
    return bundle("attentivenas", request.param)


@pytest.mark.parametrize(("look", "best"), [("best", min), ("worst", max)])
def test_the_chosen_is_best_or_worst_by_hand(
    look: str, best: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a run: of each three candidates the net trained is the one whose -log p of the labels, as
    numpy computes it from the logits of the step's first images, is least or greatest."""
    losses: list[tuple[Subnet, float]] = []
    steps: list[tuple[list[Any], list[tuple[Subnet, float]]]] = []
    probe, draws = State.probe, Bus.draws

    def by_hand(self: State, subnet: Subnet, batch: Any) -> float:
        with torch.no_grad():
            self.net.activate(subnet)
            logits = self.net(batch.at(subnet.resolution).images).double().numpy()
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        chances = (shifted / shifted.sum(1, keepdims=True))[range(len(logits)), batch.labels]
        losses.append((subnet, float(-np.log(chances).mean())))
        return probe(self, subnet, batch)

    def watched(self: Bus, *rest: Any) -> Any:
        losses.clear()
        answer = draws(self, *rest)
        steps.append((list(answer), list(losses)))
        return answer

    monkeypatch.setattr(State, "probe", by_hand)
    monkeypatch.setattr(Bus, "draws", watched)
    settings = ("evaluate.per_bucket=1", "evaluate.curve=0", "evaluate.buckets=1")
    record = api.run(
        shrink=Attentive(look=look),
        lr=Cosine(),
        distill=Inplace(),
        space="toy",
        epochs=0.4,
        results=tmp_path,
        set=(*settings, "optim.label_smoothing=0"),
    )
    assert len(steps) == 8
    assert record.cost.phases[0].passes["probe"] == 8 * 6 * 32  # the first of two micro-batches
    for trained, candidates in steps:
        assert len(candidates) == 6
        for net, three in zip(trained[2:], (candidates[:3], candidates[3:]), strict=True):
            assert net.subnet == best(three, key=lambda pair: pair[1])[0]
            macs = [ranges(load_space("toy"), 69)(subnet) for subnet, _ in three]
            assert len(set(macs)) == 1
    choices = [len({subnet for subnet, _ in c[:3]}) for _, c in steps]
    assert max(choices) > 1  # there was something to choose from


def ranges(space, sizes):
    """The number of a net's range of MACs."""
    low, high = space.macs(space.smallest), space.macs(space.largest)
    width = (high - low) // sizes + 1
    return lambda subnet: (space.macs(subnet) - low) // width


def test_sizes_are_as_frequent_as_among_random_nets():
    """χ² of the candidates' ranges of MACs in 4,000 steps, against the share of each range where
    depths and ratios are drawn alone, counted over all 216 nets."""
    space = load_space("toy")
    shrink = Attentive(sizes=9, candidates=1, sampled=1)
    number = ranges(space, 9)
    shares: Counter[int] = Counter()
    for net in space:
        # A stage of one block is half of the draws and has two forms, one of two blocks four.
        shares[number(net)] += math.prod(1 / 4 if depth == 1 else 1 / 8 for depth in net.depth)
    assert sum(shares.values()) == pytest.approx(1)
    schedule = Schedule(
        tuple(shrink.shrink_phases(space, Budget(400, 400))), Budget(400, 400), 1000, 100, 100, 1, 0
    )
    seen = Counter(
        number(shrink.shrink_draws(schedule.step(index), lambda net: 0.0)[2].subnet)
        for index in range(4000)
    )
    squares = sum((seen[n] - 4000 * share) ** 2 / (4000 * share) for n, share in shares.items())
    free = len(shares) - 1
    assert set(seen) <= set(shares)
    assert squares < free + 5 * math.sqrt(2 * free)


def test_the_sandwich_and_its_sizes(deps_space, lay):
    """Largest with noise, smallest, two of 25 in 1,732 MFLOPs; three probes for each."""
    shrink = Attentive()
    schedule = lay(shrink, deps_space, 1, 1)
    probed = []
    draws = shrink.shrink_draws(schedule.step(0), lambda net: probed.append(net) or 0.0)
    assert [draw.role for draw in draws] == [Role.LARGEST, Role.SMALLEST] + 2 * [Role.SAMPLED]
    assert [draw.regularized for draw in draws] == [True, False, False, False]
    assert draws[0].subnet == deps_space.largest
    assert draws[1].subnet == deps_space.smallest
    assert len(probed) == schedule.phases[0].passes[Role.PROBE] == 6
    assert shrink.options.sizes == round((1944 - 212) / 25)
    number = ranges(deps_space, 69)
    assert number(probed[0]) == number(probed[1]) == number(probed[2])


def test_no_size_is_empty(ofa_space, lay):
    """One architecture at 25 resolutions, of which four are listed: its sizes are those four."""
    space = ofa_space.only(kernel=(7,), expand=(6,), depth=(4,))
    schedule = lay(Attentive(), space, 5, 5)
    draws = [Attentive().shrink_draws(schedule.step(i), lambda net: 0.0) for i in range(40)]
    assert {draw.subnet.resolution for step in draws for draw in step[2:]} == {128, 160, 192, 224}


def test_warm_up_then_one_cosine(method, deps_space):
    warms_up_then_falls_along_one_cosine(method, deps_space)


def test_blocks_begin_as_identities(method):
    begins_with_identities(method)


def test_a_plan_counts_the_images_that_probes_see():
    """An epoch of 1,197 images has 18 steps of 64 in parts of 32, and one of 45 in parts of 22 and
    23: a probe sees the first part of each."""
    for epochs, images in ((1, 18 * 32 + 22), (2, 2 * (18 * 32 + 22)), (0.4, 8 * 32)):
        words = {"shrink": Attentive(), "lr": "cosine", "distill": "inplace", "space": "toy"}
        plan = api.plan(dataset="digits", epochs=epochs, **words)
        (cost,) = plan.cost
        assert cost.passes[Role.PROBE] == 6 * images
        mean = plan.space.mean_macs(plan.classes)
        assert cost.macs[Role.PROBE] == pytest.approx(6 * images * mean)


def test_a_probe_decides():
    """The first of equals; the other end with the other look."""
    space = load_space("toy")
    schedule = Schedule(
        tuple(Attentive().shrink_phases(space, Budget(1, 1))), Budget(1, 1), 1000, 100, 100, 1, 0
    )
    probed: list[Subnet] = []

    def probe(net: Subnet) -> float:
        probed.append(net)
        return float(len(probed))

    best = Attentive(sizes=1).shrink_draws(schedule.step(3), probe)[2:]
    assert [draw.subnet for draw in best] == [probed[0], probed[3]]
    probed.clear()
    worst = Attentive(look="worst", sizes=1).shrink_draws(schedule.step(3), probe)[2:]
    assert [draw.subnet for draw in worst] == [probed[2], probed[5]]
