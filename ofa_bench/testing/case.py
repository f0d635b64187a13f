"""One part of a plugin in a run small enough to ask everything of it: digits, the toy space."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ofa_bench import api, keys
from ofa_bench.catalogue import Catalogue, Entry
from ofa_bench.draws import Draw
from ofa_bench.engine.assemble import Assembly, assemble
from ofa_bench.engine.policies import Bus
from ofa_bench.errors import MisfitError, PolicyError
from ofa_bench.hookspecs import Outcome
from ofa_bench.recipe import Request
from ofa_bench.schedule import Schedule, Step
from ofa_bench.space import Subnet
from ofa_bench.testing.pointing import draws_unaddressed, line_of, suspect
from ofa_bench.testing.subject import Subject
from ofa_bench.testing.verdict import Breach, DoesNotApply

if TYPE_CHECKING:
    from ofa_bench.testing.training import Crew

FAMILIES = ("shrink", "lr", "distill")
QUICK = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")
EPOCHS = 2.0


@dataclass
class Case:
    """An entry of a plugin, with partners it fits, assembled on the toy space."""

    subject: Subject
    entry: Entry
    crew: Crew = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.entry.kind} {self.entry.name}"

    @property
    def catalogue(self) -> Catalogue:
        """What exists, the plugin included."""
        return self.subject.catalogue

    @cached_property
    def cls(self) -> Any:
        """The class behind the entry."""
        return self.entry.load()

    def where(self, hook: str = "") -> str:
        """The author's line that defines a hook."""
        return line_of(self.cls, hook) if self.entry.kind in (*FAMILIES, "extra") else ""

    def asked(self, **values: Any) -> Request:
        """A small run of the entry with its partners."""
        files = (self.subject.file,) if self.subject.file else ()
        base: dict[str, Any] = {"dataset": "digits", "space": "toy", "epochs": EPOCHS}
        base |= {"set": QUICK + self.subject.options, "plugins": files, "device": "cpu"}
        return api.request(**(base | self.choice | values))

    @cached_property
    def choice(self) -> dict[str, Any]:
        """How the entry is chosen, with the first partners that it fits."""
        kind, name = self.entry.kind, self.entry.name
        if kind == "method":
            return {"method": name}
        if kind == "extra":
            return {"extras": (name,)}
        if kind not in FAMILIES:
            return {kind: name}
        misfits = []
        for partners in self._partners(kind):
            try:
                options = self.subject.options
                request = api.request(
                    dataset="digits", space="toy", epochs=EPOCHS, set=options, **partners
                )
                assemble(request, self.catalogue)
            except MisfitError as error:
                misfits.append(error)
                continue
            return partners
        raise misfits[0]

    def _partners(self, kind: str) -> Iterator[dict[str, Any]]:
        own = {e.kind: e.name for e in self.subject.entries}
        pools = []
        for family in FAMILIES:
            bundled = [
                name
                for name in self.catalogue.names(family)
                if self.catalogue.get(family, name).origin.distribution == "ofa-bench"
            ]
            mine = [own[family]] if family in own else []
            pools.append([self.entry.name] if family == kind else [*mine, None, *bundled])
        for names in itertools.product(*pools):
            yield {f: name for f, name in zip(FAMILIES, names, strict=True) if name is not None}

    @cached_property
    def _assembled(self) -> Assembly | BaseException:
        try:
            return assemble(self.asked(), self.catalogue)
        except (Exception, SystemExit) as error:
            return error

    @property
    def assembly(self) -> Assembly:
        """The run, checked and laid out; DoesNotApply where the plugin fits none."""
        if isinstance(self._assembled, BaseException):
            raise DoesNotApply("it fits no run") from self._assembled
        return self._assembled

    @property
    def unfit(self) -> BaseException | None:
        """Why the plugin fits no run, if so."""
        return self._assembled if isinstance(self._assembled, BaseException) else None

    def again(self, seed: int = 0) -> Assembly:
        """The same run with fresh policies."""
        return assemble(self.asked(seed=seed), self.catalogue)

    @property
    def schedule(self) -> Schedule:
        """Its steps."""
        return self.assembly.schedule

    @property
    def pure(self) -> bool:
        """Whether the shrink, LR and distill policies say that they do not learn."""
        return all(policy.pure for policy in self.assembly.recipe.policies.values())

    @contextmanager
    def step(self, index: int) -> Iterator[Step]:
        """A step; an illegal answer in it becomes a breach at that step."""
        try:
            yield self.schedule.step(index)
        except PolicyError as error:
            raise Breach(error.message, step=index) from error


def probe(subnet: Subnet) -> float:
    """A label loss that depends on the subnet alone."""
    return keys.rng("probe", str(subnet.to_json())).random()


def draws_of(bus: Bus, step: Step, asked: Callable[[Subnet], float] = probe) -> list[Draw]:
    """What a policy draws, with made-up losses where it probes."""
    return bus.draws(step, asked)


def replay(bus: Bus, schedule: Schedule, steps: int) -> list[list[Draw]]:
    """The draws of the first steps, the policies told of each step as the engine tells them."""
    import torch

    drawn = []
    for index in range(steps):
        step = schedule.step(index)
        if step.phase_step == 0:
            bus.phase_start(step.phase, step)
        draws = draws_of(bus, step)
        losses = [torch.tensor(probe(draw.subnet)) for draw in draws]
        shares = [bus.lr_share(step, draw) for draw in draws]
        bus.after_step(step, Outcome(draws, losses, bus.lr_at(step), shares, schedule.batch))
        drawn.append(draws)
    return drawn


@contextmanager
def no_dice(case: Case, step: int | None = None) -> Iterator[None]:
    """Breach if the block takes numbers from a generator that all share."""
    before = _dice()
    yield
    touched = [name for name, state in _dice().items() if state != before[name]]
    if touched:
        raise Breach(
            f"it took numbers from the shared generator of {touched[0]}",
            step=step,
            where=suspect(case.cls, draws_unaddressed),
        )


def _dice() -> Mapping[str, Any]:
    import random
    import sys

    states: dict[str, Any] = {"random": random.getstate()}
    for name in ("numpy", "torch"):
        module: Any = sys.modules.get(name)
        if name == "numpy" and module is not None:
            states[name] = module.random.get_state()[1].tobytes(), module.random.get_state()[2]
        elif module is not None:
            states[name] = module.get_rng_state().numpy().tobytes()
    return states


def told(draws: list[Draw]) -> str:
    """Draws in words."""
    return ", ".join(f"{draw.role} {draw.subnet}" for draw in draws) or "nothing"


def only(applies: bool, why: str) -> None:
    """Raise DoesNotApply where a clause has nothing to say."""
    if not applies:
        raise DoesNotApply(why)
