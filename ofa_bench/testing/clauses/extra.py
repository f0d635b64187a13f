"""Clauses on extras: gradient transforms, and callbacks that must not affect training."""

from __future__ import annotations

from typing import Any

from ofa_bench.draws import Draw
from ofa_bench.hooks.marks import HOOKS
from ofa_bench.hooks.policy import families
from ofa_bench.schedule import Step
from ofa_bench.testing.case import Case, draws_of, no_global_random, only
from ofa_bench.testing.verdict import Breach, clause, clauses

MERGE = "merge_gradients"
PARAMETERS = 64
on_merging = clauses("extra", hook=MERGE)


@clause("defines at least one hook", "extra", expected="an extra defines at least one hook")
def defines_a_hook(case: Case) -> None:
    """An extra without hooks does nothing."""
    if not any(hasattr(case.cls, hook) for hook in HOOKS):
        raise Breach("it defines none")


@on_merging(
    "affects_training is declared",
    "an extra that can change results is registered with affects_training=True",
)
def affects_training_is_declared(case: Case) -> None:
    """Whatever affects training is part of a run's identity."""
    owned = {hook for base in families().values() for hook in base.hooks} | {MERGE}
    acts = [hook for hook in sorted(owned) if hasattr(case.cls, hook)]
    if acts and not case.entry.about.get("affects_training"):
        raise Breach(f"it defines {acts[0]}, but is registered without affects_training=True")


def _merged(case: Case, step: Step, draws: list[Draw]) -> tuple[Any, Any, Any]:
    """Random gradients and active flags [draws, parameters], and the merged gradient."""
    import torch

    generator = torch.Generator().manual_seed(step.index)
    active = torch.rand(len(draws), PARAMETERS, generator=generator) < 0.7
    active[:, 0] = False
    grads = torch.randn(len(draws), PARAMETERS, generator=generator) * active
    bus = case.assembly.bus
    shares = [bus.lr_share(step, draw) for draw in draws]
    return grads, active, bus.merge(step, draws, grads, active, shares)


@on_merging(
    "merge_gradients returns legal gradients",
    "finite, of shape [parameters], 0 where no draw is active",
)
def merge_is_legal(case: Case) -> None:
    import torch

    only(hasattr(case.cls, MERGE), "it has no merge_gradients")
    for step in case.steps():
        with no_global_random():
            _, active, merged = _merged(case, step, draws_of(case.assembly.bus, step))
        if not torch.isfinite(merged).all():
            raise Breach("the merged gradient is not finite")
        if merged[~active.any(0)].any():
            raise Breach("the merged gradient is not 0 for parameters that no draw uses")


@on_merging(
    "merge_gradients is deterministic",
    "the same gradient for the same draws; the arguments are unchanged",
)
def merge_is_deterministic(case: Case) -> None:
    """Every rank merges by itself, and all must get the same gradient."""
    only(hasattr(case.cls, MERGE), "it has no merge_gradients")
    for step in case.steps((0, case.schedule.steps - 1)):
        draws = draws_of(case.assembly.bus, step)
        grads, active, first = _merged(case, step, draws)
        kept = first.clone()
        again, _, second = _merged(case, step, draws)
        if not kept.equal(second):
            raise Breach("a second call gives another gradient")
        if (grads != grads * active).any() or not again.equal(grads):
            raise Breach("the `grads` argument was changed")
