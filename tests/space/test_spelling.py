"""Names, JSON and mappings of subnets."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_bench.errors import UsageError
from ofa_bench.space import Subnet

from .spaces import loaded


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("largest", "k7e6d4r224"),
        ("smallest", "k3e3d2r128"),
        ("k7e4d3", "k7e4d3r224"),
        ("k7e4d3r160", "k7e4d3r160"),
        ("d3e4k7-r160", "k7e4d3r160"),
        ("largest r128", "k7e6d4r128"),
        (" smallest-r224 ", "k3e3d2r224"),
        ('{"kernel": 7, "expand": 4, "depth": 3, "resolution": 160}', "k7e4d3r160"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert str(loaded("mobilenetv3-ofa").subnet(name)) == expected


def test_mixed_nets_have_short_names_that_differ() -> None:
    space = loaded("laptop-8")
    names = {str(space.sample(random.Random(seed))) for seed in range(50)}
    assert len(names) == 50 and all(len(name) < 25 for name in names)


def test_fixed_axes_may_be_left_out() -> None:
    space = loaded("mobilenetv3")
    assert space.subnet("e4d3") == space.subnet("k7e4d3")
    assert space.subnet({"expand": [4] * 20, "depth": [3] * 5}) == space.subnet("k7e4d3")
    assert loaded("mobilenetv3-ofa").only(expand={2: (3,), 3: (4,), 4: (6,)}).subnet("k5d3")


def test_peers_write_six_depths() -> None:
    space = loaded("proxylessnas")
    five = {"expand": [4] * 21, "depth": [2, 3, 4, 3, 2]}
    assert space.subnet(five | {"depth": [2, 3, 4, 3, 2, 1]}) == space.subnet(five)


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("larget", "no subnet is called 'larget'", "did you mean largest?"),
        ("k7e4x3", "no subnet is called", "write largest"),
        ("", "no subnet is called", "write largest"),
        ("k9e4d3", "kernel 9 in slot 0 (stage 1)", "choices: 3, 5, 7"),
        ("k7e4", "needs a value for depth", "choices: 2, 3, 4"),
        ("k7k5e4d3", "kernel twice", "write"),
        ("k7e4d3r130", "resolution 130", "128 to 224 in steps of 4"),
        ('{"kernel": 7,', "JSON is broken at character", "write"),
        ("[7]", "cannot be [7]", "write"),
        ({"kernle": 7}, "no axis 'kernle'", "did you mean kernel?"),
        ({"kernel": [7] * 19, "expand": 4, "depth": 3}, "19 values", "elastic block"),
        ({"kernel": 7, "expand": 4, "depth": [3] * 4}, "4 values", "elastic stage"),
        ({"kernel": 7, "expand": 4, "depth": [3, 3, 3, 3, 5]}, "depth 5 in stage 5", "2, 3, 4"),
        ({"kernel": 7, "expand": 4, "depth": 3.0}, "depth 3.0", "2, 3, 4"),
        ({"kernel": 7, "expand": [4] * 19 + [9], "depth": 3}, "expand 9 in slot 19", "3, 4, 6"),
        ({"kernel": [7, 7, None, 7] * 5, "expand": 4, "depth": 3}, "kernel null in slot 2", "3, 5"),
        ({"kernel": "7", "expand": 4, "depth": 3}, "kernel '7'", "3, 5, 7"),
    ],
)
def test_refusals_name_axis_slot_value_and_choices(
    spec: str | dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        loaded("mobilenetv3-ofa").subnet(spec)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_subspace_refuses_what_it_left_out() -> None:
    space = loaded("mobilenetv3-ofa").only(expand={2: (3,), 3: (4,), 4: (6,)})
    with pytest.raises(UsageError, match="expand 6 in slot 0"):
        space.subnet("k7e6d3")


@pytest.mark.parametrize("name", ["mobilenetv3-ofa", "proxylessnas-ofa", "toy"])
@given(seed=st.integers(0, 2**32), measure=st.sampled_from(["dims", "archs"]))
@settings(max_examples=40, deadline=None)
def test_json_round_trip(name: str, seed: int, measure: str) -> None:
    space = loaded(name)
    subnet = space.sample(random.Random(seed), measure=measure)
    assert space.subnet(json.dumps(subnet.to_json())) == subnet
    assert space.subnet(subnet.to_json()) == subnet
    assert subnet in space


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_costs_depend_on_active_blocks_only(seed: int) -> None:
    space = loaded("mobilenetv3-ofa")
    subnet = space.sample(random.Random(seed))
    filled = Subnet(
        tuple(value or 7 for value in subnet.kernel),
        tuple(value or 6 for value in subnet.expand),
        subnet.depth,
        subnet.resolution,
    )
    assert space.macs(filled) == space.macs(subnet)
    assert space.params(filled) == space.params(subnet)
    assert space.macs(space.smallest.at(subnet.resolution)) <= space.macs(subnet)
    assert space.macs(subnet) <= space.macs(space.largest.at(subnet.resolution))
