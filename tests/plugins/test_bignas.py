"""The sandwich and the constant-ending exponential against BigNAS and the DεpS repository."""

from __future__ import annotations

import random

import ofa_bench_bignas
import pytest
from ofa_bench_bignas.lr import Exponential
from ofa_bench_bignas.shrink import Sandwich

from ofa_bench import Catalogue, Role

ROLES = [Role.LARGEST, Role.SMALLEST, Role.SAMPLED, Role.SAMPLED]


def test_order_and_regularization(deps_space, lay, drawn):
    """Section 3: biggest, smallest, two random; only the biggest is regularized."""
    step = lay(Sandwich(), deps_space, 400, 400).step(3)
    draws = drawn(Sandwich(), step)
    assert [draw.role for draw in draws] == ROLES
    assert draws[0].subnet == deps_space.largest
    assert draws[1].subnet == deps_space.smallest
    assert [draw.regularized for draw in draws] == [True, False, False, False]
    assert all(draw.subnet in deps_space for draw in draws)
    assert dict(step.phase.passes) == {Role.LARGEST: 1, Role.SMALLEST: 1, Role.SAMPLED: 2}


def test_everything_can_be_regularized(deps_space, lay, drawn):
    shrink = Sandwich(regularize_all=True)
    draws = drawn(shrink, lay(shrink, deps_space, 400, 400).step(3))
    assert all(draw.regularized for draw in draws)


def test_each_random_net_has_its_own_resolution(ofa_space, lay, drawn):
    """B.3: children see the same patch at their own resolution; the ends stand at the ends."""
    schedule = lay(Sandwich(), ofa_space, 400, 400)
    draws = [drawn(Sandwich(), schedule.step(index)) for index in range(20)]
    assert {step[0].subnet.resolution for step in draws} == {224}
    assert {step[1].subnet.resolution for step in draws} == {128}
    assert any(step[2].subnet.resolution != step[3].subnet.resolution for step in draws)


def test_draws_repeat_and_differ(deps_space, lay, drawn):
    one, other = (lay(Sandwich(), deps_space, 400, 400, seed=seed) for seed in (0, 1))
    draws = drawn(Sandwich(), one.step(5))
    assert drawn(Sandwich(), one.step(5)) == draws
    assert draws[2].subnet != draws[3].subnet
    assert drawn(Sandwich(), one.step(6)) != draws
    assert drawn(Sandwich(), other.step(5)) != draws


def test_fewer_nets(deps_space, lay, drawn):
    shrink = Sandwich(smallest=False, sampled=0)
    schedule = lay(shrink, deps_space, 400, 400)
    assert dict(schedule.phases[0].passes) == {Role.LARGEST: 1}
    assert [draw.role for draw in drawn(shrink, schedule.step(0))] == [Role.LARGEST]


def test_reference_draws(deps_space, lay, drawn):
    """Random nets are draws 2 and 3 of the step (B.0)."""
    shrink = Sandwich(draws="reference")
    step = lay(shrink, deps_space, 400, 400).step(1234)
    for number, draw in enumerate(drawn(shrink, step)[2:], 2):
        peer = random.Random(int("%d%.3d%.3d" % (1234, number, 0)))  # noqa: UP031
        kernel = [peer.choice([7]) for _ in range(20)]
        expand = [peer.choice([3, 4, 6]) for _ in range(20)]
        depth = [peer.choice([2, 3, 4]) for _ in range(5)]
        wanted = {"kernel": kernel, "expand": expand, "depth": depth}
        assert draw.subnet == deps_space.subnet(wanted)


@pytest.mark.parametrize("scale", [1, 0.1])
def test_rate_falls_then_stays(deps_space, lay, scale):
    """×0.97 per 2.4 of 400 epochs; 5 % is reached after 99 intervals, at epoch 237.6."""
    lr = Exponential()
    schedule = lay(Sandwich(), deps_space, 400 * scale, 400, rate=0.128)
    per_epoch = schedule.steps_per_epoch * scale
    at = lambda epoch: lr.lr_at(schedule.step(round(epoch * per_epoch))) / 0.128  # noqa: E731
    assert at(0) == 1
    assert at(2.0) == 1
    assert at(3.0) == pytest.approx(0.97)
    assert at(24) == pytest.approx(0.97**10)
    assert at(237) == pytest.approx(0.97**98)
    assert at(238) == at(399) == 0.05


def test_port_rate(deps_space, lay):
    """gamma^(e+1) in epoch e: multiplied as each epoch begins, the first too; floor 5 %."""
    lr = Exponential(per_epoch=True, gamma=0.99, every="1 epochs")
    schedule = lay(Sandwich(), deps_space, 400, 400)
    per_epoch = schedule.steps_per_epoch
    assert lr.lr_at(schedule.step(0)) == pytest.approx(0.99)
    assert lr.lr_at(schedule.step(per_epoch - 1)) == pytest.approx(0.99)
    for epoch in (1, 100, 250):
        assert lr.lr_at(schedule.step(epoch * per_epoch)) == pytest.approx(0.99 ** (epoch + 1))
    assert lr.lr_at(schedule.step(399 * per_epoch)) == 0.05


def test_port_falls_as_the_paper_does(deps_space, lay):
    """Twelve epochs are five intervals of 2.4; the port is one epoch ahead."""
    schedule = lay(Sandwich(), deps_space, 400, 400)
    step = schedule.step(11 * schedule.steps_per_epoch)
    assert Exponential(per_epoch=True).lr_at(step) == pytest.approx(0.97**5)


def test_methods():
    catalogue = Catalogue()
    ofa_bench_bignas.register(catalogue)
    paper = catalogue.get("method", "bignas").about["presets"]
    port = catalogue.get("method", "bignas-port").about["presets"]
    assert paper["net"] == {"zero_gamma": True, "shortcuts": "everywhere"}
    assert "net" not in port
    assert port["lr"] == {"exponential": {"per_epoch": True}}
    assert paper["budget"] == port["budget"] == {"reference": 400}
