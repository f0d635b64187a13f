"""Runs that begin alike train their beginning once, to the same bits, and are charged in full."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.cli import ablation
from ofa_bench.cli.commands.training.compare import command
from ofa_bench.cli.options import asked_of
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.shared_prefix import Beginning, Shared, branch_points, common
from ofa_bench.recipe.fingerprint import source_of

TINY = {"dataset": "digits", "space": "toy", "scale": 0.3}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.curve=2")}
ROWS: list[dict[str, Any]] = [
    {"method": "deps"},
    {"shrink": "sandwich", "lr": "cosine", "distill": "inplace"},
    {"shrink": "delayed", "lr": "cosine", "distill": "inplace"},
    {"shrink": "delayed", "lr": "ramped", "distill": "labels"},
    {"shrink": "delayed", "lr": "cosine", "distill": "frozen"},
    {"method": "ofa"},
    {"method": "compofa"},
]
COMPARISONS = sorted((Path(__file__).resolve().parents[2] / "specs" / "comparisons").glob("*.toml"))


def test_branches_equal_runs_apart(tmp_path: Path) -> None:
    short = {**TINY, "scale": 0.08, "set": (*TINY["set"], "evaluate.buckets=1")}
    requests = [api.request(**short, **row, results=tmp_path / "shared") for row in ROWS]
    plans = [api.plan(**short, **row) for row in ROWS]
    points = branch_points([Beginning(plan) for plan in plans])
    starts = [start for start, _ in points]
    warm, largest = plans[0].schedule.edges[1], plans[5].schedule.edges[1]
    assert starts == [0, 0, warm, warm, warm, 0, largest]
    prefixes = []
    for row, request, (_, leave) in zip(ROWS, requests, points, strict=True):
        branched = api.run_request(request, leave=leave)
        apart = api.run(**short, **row, results=tmp_path / "apart")
        assert branched.weights_sha256 == apart.weights_sha256, row
        assert branched.scores == apart.scores
        assert branched.cost.train_macs == apart.cost.train_macs
        assert branched.cost.images == apart.cost.images
        assert apart.run.prefix is None
        prefixes.append(branched.run.prefix)
    # What pairs rows seed by seed: the beginning each shares with others.
    delayed, alone, *branches, coarse, fine = prefixes
    assert alone is None
    assert set(branches) == {delayed}
    assert coarse == fine
    assert len({delayed, coarse, None}) == 3


def test_what_acts_parts_runs() -> None:
    plain = api.plan(**TINY, method="deps")
    for other, steps in (
        ({"seed": 1}, -1),
        ({"set": ("optim.momentum=0.8",)}, -1),
        ({"set": ("shrink.start=0.25",)}, None),
    ):
        plan = api.plan(**{**TINY, "method": "deps", **other})
        agreed = common(Beginning(plain), Beginning(plan))
        assert agreed == (plan.schedule.edges[1] if steps is None else steps)


def answers(plan: Assembly) -> list[Any]:
    """What every policy answers at every step, asked one by one."""

    def probe(subnet: object) -> float:
        raise AssertionError("a pure policy does not probe")

    steps: list[Any] = []
    policy = plan.recipe.policies["distill"]
    code = (source_of(policy).hash, policy.options.model_dump_json())
    for index in range(plan.schedule.steps):
        step = plan.schedule.step(index)
        draws = plan.bus.draws(step, probe)
        teacher = plan.teachers.get(step.phase.name)
        plain = {
            draw.role: draw.role in policy.labels_only or (policy.needs_teacher and teacher is None)
            for draw in draws
        }
        losses = ["" if plain[draw.role] else code for draw in draws]
        shares = [plan.bus.lr_share(step, draw) for draw in draws]
        begins = (step.phase.name, step.phase.fresh, step.phase.sort, repr(teacher))
        steps.append((plan.bus.lr_at(step), draws, shares, losses, begins))
    return steps


def agreed(one: list[Any], other: list[Any]) -> int:
    """How many steps two lists of answers agree."""
    shorter = min(len(one), len(other))
    return next((n for n in range(shorter) if one[n] != other[n]), shorter)


def assert_sharing_is_that_of_the_answers(plans: list[Assembly]) -> None:
    """Runs part where their answers part, or at the edge of a phase just before."""
    beginnings, walked = [Beginning(plan) for plan in plans], [answers(plan) for plan in plans]
    for one, other in combinations(range(len(plans)), 2):
        if beginnings[one].digest(0) == beginnings[other].digest(0):
            steps = common(beginnings[one], beginnings[other])
            edges = {*plans[one].schedule.edges, *plans[other].schedule.edges}
            alike = agreed(walked[one], walked[other])
            assert steps == max(edge for edge in edges if edge <= alike)
            assert alike - steps <= 1, "a step that is alike by chance, no more"


@pytest.mark.parametrize("file", COMPARISONS, ids=lambda path: path.stem)
def test_committed_comparisons_share_what_their_answers_share(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "ofa_bench.cli.commands.training.compare.conduct", lambda ctx, every, *_: rows.extend(every)
    )
    command.main([file.stem, "--seeds", "1"], standalone_mode=False)
    assert_sharing_is_that_of_the_answers([api.plan(**vars(asked_of(row))) for row in rows])


def test_every_mix_of_policies_shares_what_its_answers_share() -> None:
    mixes = ablation.grid({**TINY, "method": "deps"})
    plans = [api.plan(**TINY, **{**mix, "method": "deps"}) for mix in mixes]
    assert_sharing_is_that_of_the_answers(plans)


def test_a_state_whose_rates_differ_between_the_probed_steps_is_not_taken_over(
    tmp_path: Path,
) -> None:
    """A plan compares rates at a few steps; the state itself carries all of them."""
    plan = api.plan(**{**TINY, "scale": 20.0}, method="deps")
    beginning, end = Beginning(plan), plan.schedule.edges[1]
    bus, rate = plan.bus, plan.bus.lr_at
    bus.lr_at = lambda step: rate(step) * (2 if step.index == 13 else 1)  # type: ignore[method-assign]
    other = Beginning(plan)
    assert end > 300, "step 13 would be probed"
    assert beginning.digest(end) == other.digest(end)
    proof = other.proof(end)
    bus.lr_at = rate  # type: ignore[method-assign]
    assert beginning.proof(end) != proof


def test_the_state_furthest_on_is_taken(tmp_path: Path) -> None:
    plan = api.plan(**TINY, method="deps")
    shared = Shared(tmp_path, Beginning(plan), "salt")
    assert shared.latest() is None
    warm = plan.schedule.edges[1]
    for step in (3, warm):
        shared.path(step).touch()
    (tmp_path / f"{warm + 1:09d}-of-another-run.pt").touch()
    assert shared.latest() == shared.path(warm)


def test_a_plan_asks_for_a_few_rates_of_a_phase_only() -> None:
    """Comparing ImageNet runs of 300,000 steps must not take a walk over all of them."""
    plan = api.plan(**{**TINY, "scale": 200.0}, method="deps")
    calls = []
    rate = plan.bus.lr_at
    plan.bus.lr_at = lambda step: calls.append(step) or rate(step)  # type: ignore
    Beginning(plan).digest(plan.schedule.steps)
    assert plan.schedule.steps > 10_000
    assert len(calls) < 200
