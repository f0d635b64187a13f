"""Rank correlations against scipy; the surrogate on known functions and on committed records."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from ofa_bench.search.costs import counted
from ofa_bench.search.predictor import held_out, kendall, quality, resampled_kendall
from ofa_bench.search.searcher import Problem
from ofa_bench.search.surrogate import BlockFeatures, Surrogate, fitted, surrogate_quality
from ofa_bench.space.space import Space, load_space

from .enumeration import CLASSES, additive, coupled

RECORDS = Path(__file__).resolve().parents[2] / "results" / "records"


def problem(space: Space, classes: int = CLASSES) -> Problem:
    macs = counted(space, "macs", classes)
    return Problem(space, macs, 1e12, classes, macs)


def test_resampled_tau_is_scipys_on_each_resample() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 9, 30), rng.integers(0, 9, 30)
    weights = rng.multinomial(30, np.full(30, 1 / 30), 25)
    for tau, weight in zip(resampled_kendall(first, second, weights), weights, strict=True):
        drawn = np.repeat(np.arange(30), weight)
        assert tau == pytest.approx(kendalltau(first[drawn], second[drawn]).statistic)
    assert kendall(first, second) == pytest.approx(kendalltau(first, second).statistic)
    assert kendall(first, np.ones(30)) == 0


def test_a_prediction_of_noise_is_not_trusted() -> None:
    """Fitted and tested on the same nets it would look perfect."""
    rng = np.random.default_rng(1)
    features, truth = rng.normal(size=(40, 60)), rng.normal(size=40)
    scales = np.ones(60)

    def fit(rows, values, others):
        return Surrogate(rows, values, scales).predicted(others)

    held = quality(held_out(features, truth, fit), truth + rng.normal(size=40) / 9, truth)
    assert held.low < 0.2 and not held.beats_macs and held.gain_high < 0
    assert "no better than MACs alone" in str(held)


def test_the_interval_holds_the_truth() -> None:
    """τ of a normal pair is 2/π·asin(ρ); 95 % intervals hold it in most of 60 samples of 50."""
    rng = np.random.default_rng(2)
    true, held = 2 / np.pi * np.arcsin(0.8), 0
    for seed in range(60):
        x = rng.normal(size=50)
        y = 0.8 * x + 0.6 * rng.normal(size=50)
        report = quality(x, y, y, resamples=300, seed=seed)
        held += report.low <= true <= report.high
    assert held >= 50


@pytest.mark.parametrize("name", ["laptop-8", "coupled"])
def test_features_add_up_to_the_score(name: str) -> None:
    """The score of the dynamic programme is the regression's prediction, but for a constant."""
    space = coupled() if name == "coupled" else load_space(name)
    truth = additive(space, 7)
    rng = random.Random(0)
    nets = [space.sample(rng, "archs", resolution=rng.choice(space.listed)) for _ in range(120)]
    scored = {net: truth.of(space, net) for net in nets}
    features = BlockFeatures(problem(space))
    surrogate = fitted(features, scored)
    score = features.score(surrogate.weights)
    other = [space.sample(rng, "archs", resolution=rng.choice(space.listed)) for _ in range(40)]
    predicted = surrogate.predicted(features.of(other))
    apart = predicted - np.array([score.of(space, net) for net in other])
    assert np.ptp(apart) < 1e-6
    if name == "laptop-8":
        assert kendall(predicted, [truth.of(space, net) for net in other]) > 0.95


def test_drawn_weights_spread_around_the_fit() -> None:
    space = load_space("laptop-8")
    rng = random.Random(0)
    scored = {space.sample(rng, "archs"): rng.random() for _ in range(40)}
    features = BlockFeatures(problem(space))
    surrogate = fitted(features, scored)
    rows = features.of(list(scored))
    drawn = np.array([rows @ surrogate.drawn(random.Random(seed)) for seed in range(200)])
    centre = rows @ surrogate.weights
    error = drawn.std(0) / np.sqrt(len(drawn))
    assert (abs(drawn.mean(0) - centre) < 5 * error).all() and (drawn.std(0) > 0).all()


def test_accuracies_in_percent_order_nets_alike() -> None:
    space = load_space("laptop-8")
    rng = random.Random(5)
    scored = {space.sample(rng, "archs"): rng.random() for _ in range(30)}
    percent = {net: 100 * value for net, value in scored.items()}
    one, other = (surrogate_quality(problem(space), nets) for nets in (scored, percent))
    assert one == other


def test_committed_records() -> None:
    """Held out, on CIFAR-10: better than MACs alone in the mean, and near the ceiling."""
    spaces: dict[str, Space] = {}
    gains, gaps = [], []
    for path in sorted((RECORDS / "cifar10").rglob("*.json"))[::2]:
        record = json.loads(path.read_text(encoding="utf-8"))
        name, scores = record["task"]["space"]["name"], record["scores"]
        space = spaces.setdefault(name, load_space(name))
        scored = {space.subnet(score["subnet"]): score["top1_select"] for score in scores}
        held = surrogate_quality(problem(space, record["task"]["classes"]), scored)
        gains.append(held.tau - held.tau_macs_alone)
        gaps.append(held.tau - kendall(list(scored.values()), [s["top1_test"] for s in scores]))
    assert len(gains) >= 10 and np.mean(gains) > 0.02 and np.mean(gaps) > -0.08
