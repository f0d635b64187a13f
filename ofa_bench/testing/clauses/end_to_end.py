"""Clauses that train: a resumed run and a two-rank run match an uninterrupted one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ofa_bench.testing.case import Case, only, replay
from ofa_bench.testing.short_run import MOVING, RESTING, answers
from ofa_bench.testing.verdict import Breach, clause, clauses

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.hooks.bus import Bus

ANSWERS = ("shrink", "lr", "distill", "extra", "method")
RUNS = (*ANSWERS, "supernet")
HALTS = (0, 3)  # the steps after which a run is stopped and resumed
CLOSE = 1e-6  # of a gradient's largest entry: fp32 rounding from the order of a sum
on_runs = clauses(*RUNS)


@clause(
    "state_dict round-trips",
    "shrink",
    "lr",
    "distill",
    "extra",
    expected="load_state_dict(state_dict()) on a fresh instance gives the same further answers",
)
def state_dict_round_trips(case: Case) -> None:
    """Checked half-way through a run, with the state written and read as in a checkpoint. A part
    without state_dict must not depend on earlier steps."""
    steps, half = case.schedule.steps, case.schedule.steps // 2
    old, new = case.again().bus, case.again().bus
    part = _part(case, old)
    stateful = hasattr(part, "state_dict") and hasattr(part, "load_state_dict")
    only(stateful or not getattr(part, "pure", True), "it keeps no state")
    replay(old, case.schedule, 0, half)
    if stateful:
        _part(case, new).load_state_dict(_written(part.state_dict()))
    further = [replay(bus, case.schedule, half, steps) for bus in (old, new)]
    for index, (one, other) in enumerate(zip(*further, strict=True), half):
        if one != other and stateful:
            raise Breach("it answers differently after load_state_dict(state_dict())", step=index)
        if one != other:
            observed = "it depends on earlier steps, but has no state_dict and load_state_dict"
            raise Breach(observed, step=index)


def _part(case: Case, bus: Bus) -> Any:
    parts: dict[str, Any] = {**bus.policies, **bus.extras}
    return parts[case.entry.name if case.entry.kind == "extra" else case.entry.kind]


def _written(memory: Any) -> Any:
    import io

    import torch

    file = io.BytesIO()
    torch.save(memory, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def _needs_import(case: Case) -> None:
    only(case.movable, "a class defined in a notebook cannot be imported by another process")


@clause(
    "another process gives the same answers",
    *ANSWERS,
    expected="draws and rates are the same in every process (no hash(), process id, clock, rank)",
)
def processes_match(case: Case) -> None:
    """The second process has another hash seed and LOCAL_RANK."""
    _needs_import(case)
    only(case.pure, "the policy declares `pure = False`")
    ours = answers(case.assembly.bus, case.schedule)
    trouble, files = case.crew.elsewhere(case, "plan")
    if trouble:
        raise Breach(f"in another process: {trouble}")
    _same(ours, json.loads(files[0].read_text(encoding="utf-8")), "another process")


def _same(ours: list[Any], theirs: list[Any], who: str) -> None:
    for one, other in zip(ours, theirs, strict=True):
        if json.dumps(one) == json.dumps(other):
            continue
        step, *mine = one
        named = ("draws", "rate", "shares")
        what = next(n for n, a, b in zip(named, mine, other[1:], strict=True) if a != b)
        raise Breach(f"{who} answers differently: {what} differ", step=step)


@on_runs(
    "a resumed run gives identical weights",
    "a run stopped and resumed twice has bitwise the weights of an uninterrupted run",
    trains=True,
)
def resumed_run_matches(case: Case) -> None:
    """The run is stopped after the first and the fourth step."""
    whole = case.crew.trial(case, MOVING).weights
    cut = case.crew.trial(case, MOVING, HALTS).weights
    if any(not value.equal(cut[name]) for name, value in whole.items()):
        raise Breach(
            "the weights differ: its answers depend on something other than the step and its state"
        )


@on_runs(
    "two ranks train like one process",
    "each of two ranks gives the answers, and both together the gradient, of one process",
    trains=True,
)
def ranks_match(case: Case) -> None:
    """Two gloo ranks share the micro-batches of a run at a learning rate too small to move weights.

    All gradients are then taken at the same weights and differ only by the order of sums. With
    moving weights, a rounding difference at a ReLU input near 0 would change later gradients.
    """
    _needs_import(case)
    alone = case.crew.trial(case, RESTING)
    trouble, files = case.crew.elsewhere(case, "train")
    if trouble:
        raise Breach(f"on two ranks: {trouble}")
    import torch

    ranks = [torch.load(file, weights_only=True) for file in files]
    for rank, (theirs, _) in enumerate(ranks):
        _same(alone.answers, theirs, f"rank {rank}")
    for index, (one, other) in enumerate(zip(alone.gradients, ranks[0][1], strict=True)):
        if (apart := _apart(one, other)) > CLOSE:
            raise Breach(f"the gradient differs by {apart:.1e} of its largest entry", step=index)


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest absolute difference, divided by the largest absolute entry."""
    largest = float(one.abs().max())
    apart = float((one - other).abs().max())
    return apart / largest if largest else apart
