"""Plugins that each break one rule: name, kind, the clause that must catch it, a word of the
message, and the source. `{…}` marks are filled from a policy that breaks none."""

from __future__ import annotations

from dataclasses import dataclass

HEAD = """from __future__ import annotations

import os
import random

from ofa_bench import (
    DistillPolicy, Draw, Duration, LrOptions, LrPolicy, Options, Phase, Role, ShrinkPolicy,
    Snapshot, hookimpl, largest_only,
)


"""
REGISTER = """

@hookimpl
def register(catalogue):
    catalogue.{kind}("{name}", Mine)
"""
SHRINK = """class Mine(ShrinkPolicy[Options]):
    def shrink_phases(self, space, budget):
        return [Phase("all", space, budget.epochs, {Role.SAMPLED: 2})]

    def shrink_draws(self, step):
        space = step.phase.space
        return [Draw(space.sample(step.draw_rng(n)), Role.SAMPLED) for n in range(2)]
"""
LR = """class Mine(LrPolicy[LrOptions]):
    def shape(self, step, clock):
        return 1.0 - clock / step.clock_steps
"""
DISTILL = """class Mine(DistillPolicy[Options]):
    def distill_loss(self, logits, batch, criterion):
        return criterion.hard(logits, batch.labels)
"""
SOUND = {"shrink": SHRINK, "lr": LR, "distill": DISTILL}


@dataclass(frozen=True)
class Broken:
    """One mistake: `old` in the sound policy of a kind becomes `new`."""

    name: str
    kind: str
    clause: str
    word: str
    old: str
    new: str
    line: str = ""  # a piece of the line that the verdict must point to

    def __str__(self) -> str:
        return self.name

    @property
    def source(self) -> str:
        """The plugin as a file."""
        body = SOUND[self.kind].replace(self.old, self.new)
        assert self.old in SOUND[self.kind]
        return HEAD + body + REGISTER.format(kind=self.kind, name=self.name)

    @property
    def number(self) -> int:
        """The line that the verdict must point to."""
        lines = self.source.splitlines()
        return next(n for n, line in enumerate(lines, 1) if self.line in line)


COUNTING = """    count = 0

    def shrink_draws(self, step):
        self.count += 1
        space = step.phase.space
        rng = step.rng(str(self.count))
        return [Draw(space.sample(rng), Role.SAMPLED) for n in range(2)]
"""
DRAWS = SHRINK[SHRINK.index("    def shrink_draws") :]
SAMPLE = "space.sample(step.draw_rng(n))"
HARD = "return criterion.hard(logits, batch.labels)"
LEARNS = """    pure = False

    def __init__(self, *given, **values):
        super().__init__(*given, **values)
        self.seen = 0

    @hookimpl
    def after_step(self, step):
        self.seen += 1

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass

    def shrink_draws(self, step):
        space, rng = step.phase.space, step.rng(str(self.seen))
        return [Draw(space.sample(rng), Role.SAMPLED) for n in range(2)]
"""
ALL = SHRINK[SHRINK.index("    def shrink_phases") :]
OUTSIDE = """    def shrink_phases(self, space, budget):
        self.whole = space
        return [Phase("all", largest_only(space), budget.epochs, {Role.SAMPLED: 1})]

    def shrink_draws(self, step):
        return [Draw(self.whole.sample(step.rng()), Role.SAMPLED)]
"""
OPTIONS = "class Mine(ShrinkPolicy[Options]):"

BROKEN = [
    Broken(
        "impure",
        "shrink",
        "shrink_draws depends on the step alone",
        "at a later call",
        DRAWS,
        COUNTING,
        "def shrink_draws",
    ),
    Broken(
        "dice",
        "shrink",
        "randomness comes from step.rng",
        "shared generator of random",
        SAMPLE,
        "space.sample(random.Random(random.random()))",
        "def shrink_draws",
    ),
    Broken(
        "fixed",
        "shrink",
        "sampled subnets vary between steps",
        "the same subnets",
        SAMPLE,
        "space.sample(random.Random(n))",
        "def shrink_draws",
    ),
    Broken(
        "deaf",
        "shrink",
        "different seeds sample different subnets",
        "seeds 0 and 1",
        "step.draw_rng(n)",
        "random.Random(100 * step.index + n)",
        "def shrink_draws",
    ),
    Broken(
        "outside",
        "shrink",
        "draws match the phase",
        "not in the phase's space",
        ALL,
        OUTSIDE,
        "def shrink_draws",
    ),
    Broken(
        "undeclared",
        "shrink",
        "draws match the phase",
        "`passes` declares 2 sampled",
        "range(2)]\n",
        "range(3)]\n",
        "def shrink_draws",
    ),
    Broken(
        "late",
        "shrink",
        "draws match the phase",
        "drew 3 sampled",
        "for n in range(2)]",
        "for n in range(2 + (step.index > 20))]",
        "def shrink_draws",
    ),
    Broken(
        "short", "shrink", "assembles into a run", "phases must sum", "budget.epochs,", "1.0,", ""
    ),
    Broken(
        "stuck",
        "shrink",
        "phase lengths scale with the budget",
        "lasts",
        'return [Phase("all", space, budget.epochs, {Role.SAMPLED: 2})]',
        'return [Phase("a", space, 0.5, {Role.SAMPLED: 2}), '
        'Phase("b", space, budget.epochs - 0.5, {Role.SAMPLED: 2})]',
        "def shrink_phases",
    ),
    Broken("none", "shrink", "draws match the phase", "with None", "return [Draw", "[Draw", ""),
    Broken(
        "crash",
        "shrink",
        "draws match the phase",
        "KeyError: 'gone'",
        "space = step.phase.space\n",
        "space = step.phase.space\n        {}['gone']\n",
        "{}['gone']",
    ),
    Broken(
        "misspelt",
        "shrink",
        "hooks exist and belong to the family",
        "did you mean shrink_draws",
        "def shrink_draws(",
        "def shrink_draw(",
        "def shrink_draw",
    ),
    Broken(
        "foreign",
        "shrink",
        "hooks exist and belong to the family",
        "belongs to lr",
        "    def shrink_draws",
        "    @hookimpl\n    def lr_at(self, step):\n        return 0.1\n\n    def shrink_draws",
        "@hookimpl",
    ),
    Broken(
        "unmarked",
        "shrink",
        "hooks exist and belong to the family",
        "not marked @hookimpl",
        "    def shrink_draws",
        "    def after_step(self, step):\n        pass\n\n    def shrink_draws",
        "def after_step",
    ),
    Broken(
        "epochs",
        "shrink",
        "lengths are Durations",
        "'warmup_epochs'",
        OPTIONS,
        "class Mine_(Options):\n    warmup_epochs: int = 5\n\n\nclass Mine(ShrinkPolicy[Mine_]):",
        "class Mine_",
    ),
    Broken(
        "objects",
        "shrink",
        "options round-trip through JSON",
        "they are not JSON",
        OPTIONS,
        "class Mine_(Options):\n    rule: object = print\n\n\nclass Mine(ShrinkPolicy[Mine_]):",
        "class Mine_",
    ),
    Broken(
        "needy",
        "shrink",
        "every option has a default",
        "Field required",
        OPTIONS,
        "class Mine_(Options):\n    count: int\n\n\nclass Mine(ShrinkPolicy[Mine_]):",
        "class Mine_",
    ),
    Broken(
        "prober",
        "shrink",
        "a policy that probes sets pure = False",
        "pure = True",
        "def shrink_draws(self, step):",
        "def shrink_draws(self, step, probe):\n        probe(step.phase.space.largest)",
        "def shrink_draws",
    ),
    Broken(
        "amnesic",
        "shrink",
        "state_dict round-trips",
        "has no state_dict",
        DRAWS,
        LEARNS.replace("state_dict", "memory"),
    ),
    Broken(
        "forgetful", "shrink", "state_dict round-trips", "answers differently", DRAWS, LEARNS, ""
    ),
    Broken(
        "hashed",
        "shrink",
        "another process gives the same answers",
        "another process",
        "step.draw_rng(n)",
        "step.rng(str(hash(f'{n}') % 1000))",
        "",
    ),
    Broken(
        "negative",
        "lr",
        "lr_at is finite and not negative",
        "lr_at is -",
        "1.0 - clock",
        "-1.0 - clock",
        "",
    ),
    Broken(
        "infinite",
        "lr",
        "lr_at is finite and not negative",
        "nan",
        "return 1.0 -",
        "return float('nan') -",
        "",
    ),
    Broken(
        "counter",
        "lr",
        "lr_at depends on the step alone",
        "at a later call",
        "        return 1.0 - clock / step.clock_steps",
        "        self.n = getattr(self, 'n', 0) + 1\n        return 1.0 / self.n",
        "class Mine",
    ),
    Broken(
        "dead",
        "lr",
        "lr_at is above 0 at some step",
        "the rate is 0 at every step",
        "1.0 - clock",
        "0.0 * clock",
        "",
    ),
    Broken(
        "detached",
        "distill",
        "distill_loss is finite and differentiable",
        "no scalar with a gradient",
        HARD,
        "return criterion.hard(logits.detach(), batch.labels)",
        "",
    ),
    Broken(
        "vector",
        "distill",
        "distill_loss is finite and differentiable",
        "no scalar with a gradient",
        HARD,
        "return logits.sum(1)",
        "",
    ),
    Broken(
        "summed",
        "distill",
        "distill_loss is a mean over samples",
        "each of them twice",
        HARD,
        "return criterion.hard(logits, batch.labels) * len(batch.labels)",
        "def distill_loss",
    ),
    Broken(
        "editor",
        "distill",
        "distill_loss modifies no tensor",
        "logits was changed",
        HARD,
        "logits.mul_(2.0)\n        return criterion.hard(logits, batch.labels)",
        "def distill_loss",
    ),
    Broken(
        "relabel",
        "distill",
        "distill_loss modifies no tensor",
        "labels was changed",
        HARD,
        "batch.labels.clamp_(max=3)\n        return criterion.hard(logits, batch.labels)",
        "def distill_loss",
    ),
    Broken(
        "untrue",
        "distill",
        "labels_only roles use the label loss",
        "the criterion",
        DISTILL[DISTILL.index("    def") :],
        "    labels_only = frozenset({Role.LARGEST})\n\n"
        + DISTILL[DISTILL.index("    def") :].replace("return", "return 0.5 *"),
        "def distill_loss",
    ),
    Broken(
        "teacherless",
        "distill",
        "labels_only roles use the label loss",
        "the criterion",
        DISTILL[DISTILL.index("    def") :],
        "    needs_teacher = True\n\n"
        "    def distill_teacher(self, phase, earlier):\n"
        "        largest = phase.space.largest\n"
        "        return Snapshot(largest, at=phase.name) if len(earlier) == 1 else None\n\n"
        + DISTILL[DISTILL.index("    def") :].replace("return", "return 0.5 *"),
        "def distill_loss",
    ),
]
