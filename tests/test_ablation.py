"""Which mixes an ablation runs, and what it makes of their scores."""

from __future__ import annotations

import itertools

from ofa_bench.cli import ablation
from ofa_bench.hooks.catalogue import discover
from tests.training.test_fit import refused

ASKED = {"method": "deps", "dataset": "digits"}


def mixes(method: str) -> list[tuple[str, ...]]:
    about = discover().catalogue.get("method", method).about
    asked = {**ASKED, "method": method}
    return [tuple(mix.values()) for mix in ablation.without(about, asked)]


def test_what_is_left_without_its_needs_turns_plain_too() -> None:
    assert mixes("deps") == [
        ("delayed", "ramped", "inplace"),
        ("sandwich", "cosine", "inplace"),  # nothing continues, so nothing ramps
        ("delayed", "cosine", "inplace"),
        ("delayed", "ramped", "labels"),
    ]
    assert mixes("ofa") == [
        ("progressive", "cosine", "frozen"),
        ("sandwich", "cosine", "labels"),  # no phase trains a teacher first
        ("progressive", "cosine", "labels"),
    ]


def test_the_grid_holds_every_legal_mix() -> None:
    shrinks, rates = ("progressive", "coupled", "sandwich", "delayed"), ("cosine", "exponential")
    every = itertools.product(shrinks, (*rates, "ramped"), ("frozen", "inplace", "labels"))
    mixes = [(mix["shrink"], mix["lr"], mix["distill"]) for mix in ablation.grid(ASKED)]
    assert sorted(mixes) == sorted(mix for mix in every if not refused(*mix))


def test_effects_and_interactions_of_a_known_law() -> None:
    """An additive law has its own terms as effects and no interaction; a bonus shows as one."""
    lr, distill = {"cosine": 0.0, "ramped": 2.0}, {"labels": 0.0, "inplace": 5.0}

    def scores(bonus: float) -> list[tuple[ablation.Mix, float]]:
        return [
            (
                {"shrink": "delayed", "lr": a, "distill": b},
                70 + x + y + bonus * (a == "ramped" and b == "inplace"),
            )
            for a, x in lr.items()
            for b, y in distill.items()
        ]

    plain = {(f, n): gap for f, n, _, gap in ablation.effects(scores(0.0))}
    assert plain == {
        ("lr", "cosine"): -2.0,
        ("lr", "ramped"): 2.0,
        ("distill", "labels"): -5.0,
        ("distill", "inplace"): 5.0,
    }
    assert [gap for *_, gap, _ in ablation.interactions(scores(0.0))] == [0.0]
    ((one, other, gap, cells),) = ablation.interactions(scores(3.0))
    assert (one, other) == ("cosine → ramped", "inplace → labels")
    assert (gap, cells) == (-3.0, 1)
