"""Candidates: facts of the space and of what was trained."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import pairwise

import pytest

from ofa_bench.draws import largest_only
from ofa_bench.evaluation.candidates import bounds, candidates
from ofa_bench.space import Space, load_space


@pytest.fixture(scope="module")
def laptop() -> Space:
    return load_space("laptop-8")


@pytest.fixture(scope="module")
def coupled(laptop: Space) -> Space:
    return laptop.only(expand={1: (2,), 2: (4,)})


@pytest.mark.parametrize("buckets", [1, 6, 7])
def test_buckets_divide_the_range_into_equal_parts(toy: Space, buckets: int) -> None:
    found = bounds(toy, buckets, 10)
    assert found[0][0] == toy.macs(toy.smallest, 10)
    assert found[-1][1] == toy.macs(toy.largest, 10)
    assert all(a[1] + 1 == b[0] for a, b in pairwise(found))
    widths = [high - low for low, high in found]
    assert max(widths) - min(widths) <= 1


def test_they_are_distinct_trained_nets_by_macs(laptop: Space, coupled: Space) -> None:
    for trained in (laptop, coupled):
        found = candidates(laptop, trained, per_bucket=4, classes=10)
        assert len(set(found)) == len(found)
        assert all(net in trained for net in found)
        costs = [laptop.macs(net, 10) for net in found]
        assert costs == sorted(costs)


def test_ends_and_trained_uniform_nets_are_among_them(laptop: Space, coupled: Space) -> None:
    whole = candidates(laptop, laptop, per_bucket=1, classes=10)
    assert {laptop.smallest, laptop.largest, *laptop.uniform()} <= set(whole)
    part = candidates(laptop, coupled, per_bucket=1, classes=10)
    for name, trained in (("k3e2d1", True), ("k3e4d2", True), ("k3e4d1", False), ("k3e2d2", False)):
        assert (laptop.subnet(name) in part) is trained


def test_ends_of_the_trained_part_are_among_them(laptop: Space) -> None:
    middle = laptop.only(expand=(3,))
    found = candidates(laptop, middle, per_bucket=1, classes=10)
    assert {middle.smallest, middle.largest} <= set(found)
    assert laptop.largest not in found


@pytest.mark.parametrize("per_bucket", [1, 5, 40])
def test_each_bucket_has_its_share_or_all_there_is(toy: Space, per_bucket: int) -> None:
    every = list(toy)
    found = set(candidates(toy, toy, per_bucket=per_bucket, classes=10))
    for low, high in bounds(toy, 6, 10):
        there = {net for net in every if low <= toy.macs(net, 10) <= high}
        assert len(found & there) >= min(per_bucket, len(there))
        if len(there) <= per_bucket:
            assert there <= found


def test_no_more_than_asked_is_drawn(laptop: Space) -> None:
    named = {laptop.smallest, laptop.largest, *laptop.uniform()}
    found = set(candidates(laptop, laptop, per_bucket=3, classes=10))
    for low, high in bounds(laptop, 6, 10):
        inside = [net for net in found - named if low <= laptop.macs(net, 10) <= high]
        assert len(inside) <= 3


def test_a_small_space_is_listed_whole(toy: Space) -> None:
    assert set(candidates(toy, toy, per_bucket=toy.count, classes=10)) == set(toy)


def test_a_bucket_just_over_the_limit_is_still_filled(toy: Space) -> None:
    low, high = bounds(toy, 6, 10)[2]
    there = [net for net in toy if low <= toy.macs(net, 10) <= high]
    found = set(candidates(toy, toy, per_bucket=len(there) - 1, classes=10))
    assert len(found.intersection(there)) >= len(there) - 1


def test_one_trained_net_is_one_candidate(laptop: Space) -> None:
    found = candidates(laptop, largest_only(laptop), per_bucket=8, classes=10)
    assert found == [laptop.largest]


def test_they_stand_at_listed_resolutions(two_sizes: Space) -> None:
    found = candidates(two_sizes, two_sizes, per_bucket=6, classes=10)
    assert {net.resolution for net in found} == {6, 8}


def test_no_seed_matters(laptop: Space) -> None:
    random.seed(1)
    first = candidates(laptop, laptop, per_bucket=4, classes=10)
    random.seed(2)
    again = candidates(load_space("laptop-8"), load_space("laptop-8"), per_bucket=4, classes=10)
    assert first == again


def test_neither_torch_nor_hash_seeds_are_needed() -> None:
    code = (
        "import sys; from ofa_bench.space import load_space;"
        "from ofa_bench.evaluation.candidates import candidates; s = load_space('laptop-8');"
        "found = [str(n) for n in candidates(s, s, per_bucket=2, classes=10)];"
        "print(found, 'torch' in sys.modules)"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(told) == 1
    assert told.pop().endswith("False\n")
