"""The deployed front and its areas, against hand-made steps and the paper's figure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest

from ofa_bench.errors import UsageError
from ofa_bench.records.pareto import (
    PAPER_NETS,
    Tread,
    covered,
    front,
    mean_accuracy,
    mean_pareto_accuracy,
    selection_bonus,
    trapezoid,
)
from ofa_bench.space import load_space


@dataclass(frozen=True)
class Net:
    macs: int
    top1_select: float
    top1_test: float


STAIRS = [Net(10, 50, 40), Net(20, 70, 60), Net(30, 60, 90), Net(40, 80, 80)]


def test_a_user_gets_the_test_accuracy_of_the_net_that_select_prefers() -> None:
    assert front(STAIRS) == [Tread(10, 40, 0), Tread(20, 60, 1), Tread(40, 80, 3)]


def test_the_optimists_front_chooses_on_test() -> None:
    assert front(STAIRS, "test") == [Tread(10, 40, 0), Tread(20, 60, 1), Tread(30, 90, 2)]


def test_ties_go_to_the_cheaper_net() -> None:
    tied = [Net(20, 70, 65), Net(10, 70, 55)]
    assert front(tied) == [Tread(10, 55, 1)]


def test_of_two_nets_of_one_cost_the_better_chosen_stands() -> None:
    assert front([Net(10, 50, 40), Net(10, 60, 45)]) == [Tread(10, 45, 1)]


def test_the_mean_over_budgets_is_the_exact_integral() -> None:
    assert mean_pareto_accuracy(STAIRS, 10, 50) == pytest.approx((10 * 40 + 20 * 60 + 10 * 80) / 40)


def test_a_narrower_method_goes_on_flat_to_the_right() -> None:
    assert mean_pareto_accuracy([Net(10, 50, 40)], 10, 1000) == 40


def test_nothing_is_imputed_left_of_the_smallest_net() -> None:
    assert mean_pareto_accuracy([Net(20, 50, 60), Net(30, 60, 80)], 0, 40) == 70


def test_nothing_right_of_the_range_counts() -> None:
    assert mean_pareto_accuracy(STAIRS, 10, 20) == 40
    assert mean_pareto_accuracy(STAIRS, 20, 20) == 60


def test_a_range_without_nets_is_refused() -> None:
    with pytest.raises(UsageError, match="no candidate costs 5"):
        mean_accuracy(front(STAIRS), 0, 5)


def test_the_integral_agrees_with_asking_every_budget() -> None:
    source = Random(7)
    for _ in range(50):
        nets = [
            Net(source.randint(1, 60), source.randint(0, 40), source.random() * 100)
            for _ in range(12)
        ]
        low, high = min(net.macs for net in nets), 64
        asked = []
        for budget in range(low, high):
            able = [net for net in nets if net.macs <= budget]
            asked.append(min(able, key=lambda net: (-net.top1_select, net.macs)).top1_test)
        assert mean_pareto_accuracy(nets, low, high) == pytest.approx(sum(asked) / len(asked))


def test_the_selection_bonus_is_what_choosing_on_test_adds() -> None:
    assert selection_bonus(STAIRS, 10, 50) == pytest.approx(
        (10 * 40 + 10 * 60 + 20 * 90) / 40 - (10 * 40 + 20 * 60 + 10 * 80) / 40
    )
    assert selection_bonus([Net(1, 2, 3)], 1, 9) == 0


def test_coverage() -> None:
    assert covered(STAIRS, 0, 60) == (10, 40, 0.5)


@pytest.mark.parametrize(
    ("accuracies", "area"),
    [
        ((73.71, 74.79, 75.45, 76.17, 76.34, 77.31), 75.82),
        ((71.84, 74.53, 75.47, 76.70, 76.73, 77.22), 75.77),
        ((70.64, 71.75, 72.08, 72.64, 73.31, 73.58), 72.52),
    ],
)
def test_the_papers_figure_gives_the_papers_areas(
    accuracies: tuple[float, ...], area: float
) -> None:
    space = load_space("mobilenetv3")
    macs = [space.macs(space.subnet(f"k7e{e}d{d}")) for d, e in PAPER_NETS]
    assert trapezoid(zip(macs, accuracies, strict=True)) == pytest.approx(area, abs=0.02)
