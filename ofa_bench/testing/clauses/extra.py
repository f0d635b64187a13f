"""Clauses on extras: merged gradients, and observers that only watch."""

from __future__ import annotations

from typing import Any

from ofa_bench.draws import Draw
from ofa_bench.hooks.marks import HOOKS
from ofa_bench.hooks.policy import families
from ofa_bench.schedule import Step
from ofa_bench.testing.case import Case, draws_of, no_dice, only
from ofa_bench.testing.source_lines import edits_in_place, suspect
from ofa_bench.testing.verdict import Breach, clause

MERGE = "merge_gradients"
PARAMETERS = 64


@clause("it has a hook", "extra", expected="an extra defines at least one hook")
def it_has_a_hook(case: Case) -> None:
    """An extra without hooks does nothing."""
    if not any(hasattr(case.cls, hook) for hook in HOOKS):
        raise Breach("it defines none", where=case.where())


@clause(
    "it says what it does",
    "extra",
    hook=MERGE,
    expected="an extra that can change results is registered with affects_training=True",
)
def it_says_what_it_does(case: Case) -> None:
    """What affects training enters a run's identity."""
    owned = {hook for base in families().values() for hook in base.hooks} | {MERGE}
    acts = [hook for hook in sorted(owned) if hasattr(case.cls, hook)]
    if acts and not case.entry.about.get("affects_training"):
        raise Breach(f"it defines {acts[0]}, and is registered as one that only watches")


def _merged(case: Case, step: Step, draws: list[Draw]) -> tuple[Any, Any, Any]:
    """Gradients and flags that are handed over, and the answer; each draw leaves some unused."""
    import torch

    generator = torch.Generator().manual_seed(step.index)
    active = torch.rand(len(draws), PARAMETERS, generator=generator) < 0.7
    active[:, 0] = False
    grads = torch.randn(len(draws), PARAMETERS, generator=generator) * active
    bus = case.assembly.bus
    shares = [bus.lr_share(step, draw) for draw in draws]
    return grads, active, bus.merge(step, draws, grads, active, shares)


@clause(
    "merged gradients are legal",
    "extra",
    hook=MERGE,
    expected="finite, of shape [parameters], 0 where no draw is active",
)
def merged_gradients_are_legal(case: Case) -> None:
    """Asked of each step of the run."""
    import torch

    only(hasattr(case.cls, MERGE), "it merges nothing")
    for index in range(case.schedule.steps):
        with case.step(index) as step, no_dice(case, index):
            _, active, merged = _merged(case, step, draws_of(case.assembly.bus, step))
        if not torch.isfinite(merged).all():
            raise Breach("it is not finite", step=index)
        if merged[~active.any(0)].any():
            raise Breach("it moves parameters that no draw uses", step=index)


@clause(
    "merging is pure",
    "extra",
    hook=MERGE,
    expected="the same gradient for the same draws; what it is given stays as it was",
)
def merging_is_pure(case: Case) -> None:
    """Every rank merges for itself, and all must agree."""
    only(hasattr(case.cls, MERGE), "it merges nothing")
    for index in (0, case.schedule.steps - 1):
        with case.step(index) as step:
            draws = draws_of(case.assembly.bus, step)
            grads, active, first = _merged(case, step, draws)
            kept = first.clone()
            again, _, second = _merged(case, step, draws)
        if not kept.equal(second):
            raise Breach("it answers otherwise when asked again", step=index)
        if (grads != grads * active).any() or not again.equal(grads):
            where = suspect(case.cls, edits_in_place)
            raise Breach("the gradients it was given were changed", step=index, where=where)
