"""Clauses that train: a resume and a second rank give what an undisturbed run gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ofa_bench.testing.case import Case, only, replay
from ofa_bench.testing.short_run import answers
from ofa_bench.testing.source_lines import asks_the_process, keeps_a_counter, suspect
from ofa_bench.testing.verdict import Breach, clause

if TYPE_CHECKING:
    from torch import Tensor

    from ofa_bench.hooks.bus import Bus

ANSWERS = ("shrink", "lr", "distill", "extra", "method")
RUNS = (*ANSWERS, "supernet")
CLOSE = 1e-6  # of a gradient's largest entry: what the order of a sum may do in single precision


@clause(
    "memory survives",
    "shrink",
    "lr",
    "distill",
    "extra",
    expected="load_state_dict(state_dict()) on a fresh one goes on as the old one would have",
)
def memory_survives(case: Case) -> None:
    """Only one that learns may need a memory; one that has none must do without, after half a run
    as at the beginning. What is kept is written as checkpoints are."""
    steps, half = case.schedule.steps, case.schedule.steps // 2
    old, new = case.again().bus, case.again().bus
    own = _part(case, old)
    remembers = hasattr(own, "state_dict") and hasattr(own, "load_state_dict")
    only(remembers or not getattr(own, "pure", True), "it keeps no memory")
    replay(old, case.schedule, 0, half)
    if remembers:
        _part(case, new).load_state_dict(_written(own.state_dict()))
    gone_on = [replay(bus, case.schedule, half, steps) for bus in (old, new)]
    for index, (one, other) in enumerate(zip(*gone_on, strict=True), half):
        if one != other and remembers:
            raise Breach("with its memory put back it answers otherwise", step=index)
        if one != other:
            told = "it learns from what it is told, but has no state_dict and load_state_dict"
            raise Breach(told, step=index, where=suspect(case.cls, keeps_a_counter))


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


def _elsewhere(case: Case) -> None:
    only(case.movable, "a notebook's class cannot be handed to another process")


@clause(
    "processes agree",
    *ANSWERS,
    expected="draws and rates are the same in every process (no hash(), process id, clock, rank)",
)
def processes_agree(case: Case) -> None:
    """Planned by another process, under another hash seed and rank."""
    _elsewhere(case)
    only(case.pure, "the policy says that it learns")
    ours = answers(case.assembly.bus, case.schedule)
    trouble, files = case.crew.elsewhere(case, "plan")
    if trouble:
        raise Breach(f"in another process it {trouble}")
    _same(case, ours, json.loads(files[0].read_text(encoding="utf-8")), "another process")


def _same(case: Case, ours: list[Any], theirs: list[Any], who: str) -> None:
    for one, other in zip(ours, theirs, strict=True):
        if json.dumps(one) == json.dumps(other):
            continue
        step, *mine = one
        named = ("draws", "rate", "shares")
        what = next(n for n, a, b in zip(named, mine, other[1:], strict=True) if a != b)
        where = suspect(case.cls, asks_the_process)
        raise Breach(f"{who} answers otherwise: its {what} differ", step=step, where=where)


@clause(
    "a resume agrees",
    *RUNS,
    expected="a run stopped twice ends with the weights of an undisturbed one, to the bit",
    trains=True,
)
def a_resume_agrees(case: Case) -> None:
    """With batch norm, stopped after the first step and after the fourth."""
    whole, cut = case.crew.whole(case).weights, case.crew.cut(case).weights
    if any(not value.equal(cut[name]) for name, value in whole.items()):
        raise Breach("the weights differ: something besides the step decides what it answers")


@clause(
    "ranks agree",
    *RUNS,
    expected="each of two ranks answers, and both together learn, what one process does",
    trains=True,
)
def ranks_agree(case: Case) -> None:
    """Two gloo ranks share the micro-batches of a run whose weights stay where they are.

    So each step's gradient is one of the same weights, and differs by the order of sums alone. Of
    moving weights more could not be asked: a ReLU whose input is nearly 0 opens on one side only,
    and single precision's last digit is a different gradient from there on.
    """
    _elsewhere(case)
    alone = case.crew.alone(case)
    trouble, files = case.crew.elsewhere(case, "train")
    if trouble:
        raise Breach(f"on two ranks it {trouble}")
    import torch

    ranks = [torch.load(file, weights_only=True) for file in files]
    for rank, (theirs, _) in enumerate(ranks):
        _same(case, alone.answers, theirs, f"rank {rank}")
    for index, (one, other) in enumerate(zip(alone.gradients, ranks[0][1], strict=True)):
        if (apart := _apart(one, other)) > CLOSE:
            raise Breach(f"the gradient differs by {apart:.1e} of its largest entry", step=index)


def _apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, as a share of the largest entry."""
    largest = float(one.abs().max())
    apart = float((one - other).abs().max())
    return apart / largest if largest else apart
