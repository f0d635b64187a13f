"""The tree: bit-equal to one by one, in any order and company; one path of activations alive."""

from __future__ import annotations

import copy
import random
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.calibration import calibrate, calibrated
from ofa_bench.evaluation.chunks import PASS_PIXELS
from ofa_bench.evaluation.prefix_tree import PrefixTree
from ofa_bench.evaluation.score import Correctness, score, share, top1
from ofa_bench.nets.mbconv import MBConvNet
from ofa_bench.space import Space, Subnet, load_space

Lively = Callable[[Space], MBConvNet]
Some = Callable[[Space, int], list[Subnet]]


def by_itself(net: MBConvNet, subnet: Subnet, source: BatchSource, images: Tensor) -> Tensor:
    statistics = calibrate(net, subnet, source.calibration(subnet.resolution))
    net.activate(subnet)
    with torch.no_grad(), calibrated(net, subnet, statistics):
        return net(images)


def equal(a: list[Correctness], b: list[Correctness]) -> bool:
    return len(a) == len(b) and all(
        x.subnet == y.subnet
        and x.correct.keys() == y.correct.keys()
        and all((x.correct[split] == y.correct[split]).all() for split in x.correct)
        for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize(("space", "count"), [("toy", 16), ("laptop-8", 6)])
@pytest.mark.parametrize("order", [1, 2])
def test_logits_are_bit_equal_to_one_by_one(
    lively: Lively, digits: BatchSource, some: Some, space: str, count: int, order: int
) -> None:
    net = lively(load_space(space))
    subnets = some(net.space, count)
    random.Random(order).shuffle(subnets)
    images = next(digits.evaluation("test", 8, 64)).images
    tree, found = PrefixTree(net, subnets), {}
    tree.calibrate(digits.calibration(8))
    tree.classify(images, lambda place, logits: found.update({place: logits}))
    assert len(found) == count
    for place, subnet in enumerate(subnets):
        assert torch.equal(found[place], by_itself(net, subnet, digits, images))


def test_scores_follow_from_the_logits(lively: Lively, digits: BatchSource, toy: Space) -> None:
    net = lively(toy)
    (found,) = score(net, [toy.largest], digits, splits=("test",), chunk=360)
    batch = next(digits.evaluation("test", 8, 360))
    right = by_itself(net, toy.largest, digits, batch.images).argmax(1) == batch.labels
    assert found.correct.keys() == {"test"}
    assert found.correct["test"].tolist() == right.tolist()
    assert found.top1("test") == 100 * int(right.sum()) / 360
    assert top1(net, [toy.largest], digits, "test", chunk=360) == [found.top1("test")]


def test_company_and_order_do_not_matter(
    lively: Lively, digits: BatchSource, some: Some, two_sizes: Space
) -> None:
    net = lively(two_sizes)
    subnets = some(two_sizes, 12)
    assert {subnet.resolution for subnet in subnets} == {6, 8}
    together = score(net, subnets, digits, chunk=100)
    assert [len(together[0].correct[split]) for split in ("select", "test")] == [240, 360]
    order = random.Random(5).sample(range(12), 12)
    shuffled = score(net, [subnets[place] for place in order], digits, chunk=100)
    assert equal([together[place] for place in order], shuffled)
    alone = [score(net, [subnet], digits, chunk=100)[0] for subnet in subnets]
    assert equal(together, alone)


def test_chunks_that_are_scored_at_once_are_told_one_by_one(
    lively: Lively, digits: BatchSource, some: Some, two_sizes: Space, monkeypatch: Any
) -> None:
    net = lively(two_sizes)
    subnets, told = some(two_sizes, 5), list[int]()
    apart = score(net, subnets, digits, chunk=50, tell=lambda done, total: told.append(done))
    sizes, classify = list[tuple[int, int]](), PrefixTree.classify

    def seen(tree: PrefixTree, images: Tensor, take: Callable[[int, Tensor], None]) -> None:
        sizes.append((images.shape[-1], len(images)))
        classify(tree, images, take)

    monkeypatch.setattr(PrefixTree, "classify", seen)
    monkeypatch.setitem(PASS_PIXELS, "cpu", 3 * 50 * 8**2)  # at 6×6 five chunks
    again = list[int]()
    together = score(net, subnets, digits, chunk=50, tell=lambda done, total: again.append(done))
    assert equal(apart, together)
    assert told == again
    at = {side: [size for of, size in sizes if of == side] for side in (8, 6)}
    assert at == {8: [150, 90, 150, 150, 60], 6: [240, 250, 110]}


def test_a_net_named_twice_is_scored_once_and_told_twice(
    lively: Lively, digits: BatchSource, toy: Space
) -> None:
    first, other, again = score(lively(toy), [toy.smallest, toy.largest, toy.smallest], digits)
    assert equal([first], [again])
    assert other.subnet == toy.largest


class ToldError(Exception):
    """What a rank would have sent."""


class Rank:
    """One of several ranks; the others' values are known in advance, or it stops at asking."""

    def __init__(self, rank: int, world: int, values: list[Any] | None = None) -> None:
        self.rank, self.world, self.values = rank, world, values

    def gather(self, value: Any) -> list[Any]:
        if self.values is None:
            raise ToldError(value)
        return self.values


@pytest.mark.parametrize("world", [2, 3, 20])
def test_ranks_agree_with_one(
    lively: Lively, digits: BatchSource, some: Some, two_sizes: Space, world: int
) -> None:
    net = lively(two_sizes)
    subnets = some(two_sizes, 9)
    alone = score(net, subnets, digits, splits=("select",))
    values = []
    for rank in range(world):
        with pytest.raises(ToldError) as told:
            score(net, subnets, digits, splits=("select",), devices=Rank(rank, world))
        values.append(told.value.args[0])
    assert sorted(place for value in values for place in value) == list(range(9))
    for rank in range(world):
        devices = Rank(rank, world, copy.deepcopy(values))
        assert equal(alone, score(net, subnets, digits, splits=("select",), devices=devices))


def test_ranks_get_relatives_and_about_the_same_work(
    lively: Lively, some: Some, toy: Space
) -> None:
    net, subnets = lively(toy), some(toy, 40)
    shares = [share(net, subnets, Rank(rank, 4)) for rank in range(4)]
    assert [place for part in shares for place in part] == PrefixTree(net, subnets).positions()
    costs = [sum(toy.macs(subnets[place], 10) for place in part) for part in shares]
    assert max(costs) - min(costs) <= 2 * toy.macs(toy.largest, 10)


def test_shared_blocks_run_once(
    lively: Lively, digits: BatchSource, some: Some, toy: Space
) -> None:
    net, subnets = lively(toy), some(toy, 20)
    runs: list[int] = []
    for index, block in enumerate(net.blocks):
        block.register_forward_hook(lambda module, inputs, output, index=index: runs.append(index))
    score(net, subnets, digits, splits=("test",), chunk=100)
    passes = len(list(digits.calibration(8))) + 4
    prefixes = {
        (index, tuple(net.key(subnet, each) for each in range(index + 1)))
        for subnet in subnets
        for index in range(len(net.blocks))
        if net.key(subnet, index) is not None
    }
    assert runs.count(0) == passes
    assert len(runs) == passes * len(prefixes)
    assert len(runs) < passes * sum(net.key(s, i) is not None for s in subnets for i in range(8))


def test_activations_alive_do_not_grow_with_candidates(
    lively: Lively, digits: BatchSource, some: Some, toy: Space
) -> None:
    def peak(count: int) -> int:
        net = lively(toy)
        alive: list[weakref.ref[Tensor]] = []
        most = 0

        def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
            nonlocal most
            alive[:] = [each for each in alive if each() is not None] + [weakref.ref(output)]
            most = max(most, len(alive))

        for block in net.blocks:
            block.register_forward_hook(note)
        score(net, some(toy, count)[:count], digits, splits=("select",))
        return most

    depth = 8
    assert peak(1) == 2  # what a block reads and what it writes
    assert max(peak(9), peak(64), peak(216)) <= depth


def test_the_net_is_left_as_it_was(lively: Lively, digits: BatchSource, toy: Space) -> None:
    net = lively(toy).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first = score(net, [toy.smallest], digits)
    with torch.autocast("cpu", torch.bfloat16):
        assert equal(first, score(net.eval(), [toy.smallest], digits))
    assert not net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    net.train()(next(digits.calibration(8)).images).sum().backward()


class OneBlock(nn.Module):
    """The least a network may say: one block, no norms, and dropout that only modes govern."""

    stochastic: frozenset[int] = frozenset()

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space, self.classes = space, 10
        body = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 64, 10))
        self.blocks = nn.ModuleList([body])

    def key(self, subnet: Subnet, index: int) -> Hashable:
        return subnet

    def run(self, index: int, x: Tensor, subnet: Subnet, generator: Generator | None) -> Tensor:
        y: Tensor = self.blocks[index](x)
        return y

    def activate(self, subnet: Subnet) -> None:
        pass

    def reachable(self, space: Space) -> set[str]:
        return {name for name, _ in self.named_parameters()}


def test_a_network_of_one_block_without_norms_is_scored(digits: BatchSource, toy: Space) -> None:
    net = OneBlock(toy).train()
    assert calibrate(net, toy.largest, digits.calibration(8)) == {}
    first, second = score(net, [toy.largest, toy.smallest], digits, splits=("test",))
    assert first.correct["test"].tolist() == second.correct["test"].tolist()
    batch = next(digits.evaluation("test", 8, 360))
    right = net.eval().blocks[0](batch.images).argmax(1) == batch.labels
    assert first.correct["test"].tolist() == right.tolist()


def test_an_empty_split_is_refused(lively: Lively, digits: BatchSource, toy: Space) -> None:
    source = copy.copy(digits)
    source.sizes = {**digits.sizes, "select": 0}
    with pytest.raises(UsageError, match="select split is empty") as told:
        top1(lively(toy), [toy.largest], source, "select")
    assert "data.select" in told.value.hint
