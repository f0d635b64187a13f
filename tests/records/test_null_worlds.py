"""The board's error rates, in worlds where the truth is known: 2,000 boards each."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations

import pytest
from scipy.stats import studentized_range as exact

from ofa_bench.leaderboard.stats import DELTA, compare, estimate, family, studentized_range

BOARDS, ROWS = 2000, 5
WORLDS = {"equal spread": [1, 1, 1, 1, 1], "one 2x": [1, 1, 1, 1, 2], "one 4x": [1, 1, 1, 1, 4]}


def groups(
    rng: random.Random, n: int, spreads: list[float], means: list[float]
) -> list[list[float]]:
    return [
        [rng.gauss(mean, 0.4 * spread) for _ in range(n)]
        for mean, spread in zip(means, spreads, strict=True)
    ]


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("world", list(WORLDS))
def test_equal_methods_have_no_winner(
    world: str, n: int, record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(f"{world} {n}")
    false = 0
    for _ in range(BOARDS):
        board = groups(rng, n, WORLDS[world], [70.0] * ROWS)
        shared = family(board)
        # Without the floor on what a board claims to see, which would only make it more careful.
        verdicts = [
            compare(a, b, shared, resolution=0.0).verdict for a, b in permutations(board, 2)
        ]
        false += "better" in verdicts
    share = f"{world}, n={n}: {100 * false / BOARDS:.2f} %"
    record_property(f"boards of {BOARDS:,} with a false winner", share)
    assert false <= 0.05 * BOARDS


@pytest.mark.parametrize("n", [3, 5])
@pytest.mark.parametrize("world", list(WORLDS))
def test_a_true_loss_of_delta_is_not_called_no_worse(
    world: str, n: int, record_property: Callable[[str, object], None]
) -> None:
    """The first row is worse than all others by exactly δ."""
    rng = random.Random(f"loss {world} {n}")
    false = 0
    for _ in range(BOARDS):
        board = groups(rng, n, WORLDS[world], [70.0 - DELTA, *[70.0] * (ROWS - 1)])
        shared = family(board)
        verdicts = [compare(board[0], other, shared).verdict for other in board[1:]]
        false += any(verdict != "undecided" for verdict in verdicts)
    share = f"{world}, n={n}: {100 * false / BOARDS:.2f} %"
    record_property(f"boards of {BOARDS:,} that call a loss of δ no worse", share)
    assert false <= 0.05 * BOARDS


def test_a_board_can_see_what_is_there() -> None:
    """A test that never finds anything would pass the two above."""
    rng = random.Random(3)
    found = 0
    for _ in range(200):
        board = groups(rng, 5, [1, 1, 1, 1, 1], [73.0, 70.0, 70.0, 70.0, 70.0])
        shared = family(board)
        found += all(compare(board[0], other, shared).verdict == "better" for other in board[1:])
    assert found >= 190


@pytest.mark.parametrize(("rows", "df"), [(2, 2), (3, 4), (5, 10), (5, 20), (8, 16), (12, 24)])
def test_tabulated_quantiles(rows: int, df: int) -> None:
    assert studentized_range(rows, df) == pytest.approx(exact.ppf(0.95, rows, df), rel=2e-3)


def test_one_seed_has_no_interval() -> None:
    assert estimate([70.0]).low is None
    pair = compare([71.0], [70.0], None)
    assert (pair.verdict, pair.low) == ("undecided", None)


def test_failed_seeds_cannot_win() -> None:
    board = [[80.0, 80.1, 79.9], [70.0, 70.1, 69.9]]
    shared = family(board)
    assert compare(board[0], board[1], shared).verdict == "better"
    assert compare(board[0], board[1], shared, able=False).verdict == "undecided"
