"""One entry of a plugin, assembled into a small run on digits and the toy space."""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ofa_bench import api, seeding
from ofa_bench.draws import Draw
from ofa_bench.errors import MisfitError
from ofa_bench.hooks.bus import Bus
from ofa_bench.hooks.catalogue import GROUP, Catalogue, Entry
from ofa_bench.hooks.hookspecs import Outcome
from ofa_bench.planning.assemble import Assembly, assemble, space_of
from ofa_bench.recipe import Request
from ofa_bench.schedule import Schedule, Step
from ofa_bench.space import Subnet
from ofa_bench.testing.source_lines import line_of
from ofa_bench.testing.target import Subject
from ofa_bench.testing.verdict import Breach, DoesNotApply

if TYPE_CHECKING:
    from ofa_bench.testing.shared_trials import Crew

TOOLS = ("searcher", "device", "exporter", "launcher", "proxy")
FAMILIES = ("shrink", "lr", "distill")
QUICK = ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")
EPOCHS = 2.0


@dataclass
class Case:
    """An entry of a plugin with compatible partners, assembled on the toy space."""

    subject: Subject
    entry: Entry
    crew: Crew = field(repr=False, compare=False)
    at: int | None = field(default=None, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.entry.kind} {self.entry.name}"

    @property
    def catalogue(self) -> Catalogue:
        return self.subject.catalogue

    @cached_property
    def cls(self) -> Any:
        return self.entry.load()

    def where(self, hook: str = "") -> str:
        """The "file.py:12" that defines a hook, or the class; "" if not applicable."""
        made = self.entry.kind in (*FAMILIES, "extra", "supernet", *TOOLS)
        return line_of(self.cls, hook) if made else ""

    def asked(self, **values: Any) -> Request:
        """A request for a small run of the entry with its partners."""
        files = (self.subject.file,) if self.subject.file else ()
        base: dict[str, Any] = {"dataset": "digits", "space": "toy", "epochs": EPOCHS}
        base |= {"set": QUICK + self.subject.options, "plugins": files, "device": "cpu"}
        return api.request(**(base | self.choice | values))

    @cached_property
    def choice(self) -> dict[str, Any]:
        """Request fields that select the entry with the first compatible partners.

        Raises MisfitError if there are none.
        """
        kind, name = self.entry.kind, self.entry.name
        if kind == "method":
            return {"method": name}
        if kind == "extra":
            return {"extras": (name,)}
        if kind == "supernet":
            return self._on_a_network()
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
        siblings = {e.kind: e.name for e in self.subject.entries}
        pools = []
        for family in FAMILIES:
            mine = [siblings[family]] if family in siblings else []
            every = [*mine, None, *self._bundled(family)]
            pools.append([self.entry.name] if family == kind else every)
        for names in itertools.product(*pools):
            yield {f: name for f, name in zip(FAMILIES, names, strict=True) if name is not None}

    def _bundled(self, family: str) -> list[str]:
        names = self.catalogue.names(family)
        origins = {name: self.catalogue.get(family, name).origin for name in names}
        return [name for name in names if origins[name].distribution == "ofa-bench"]

    @cached_property
    def space(self) -> str:
        """The space of the case: the entry itself, or the first space of the network's family, the
        plugin's before others. Raises Breach if there is none."""
        if self.entry.kind == "space":
            return self.entry.name
        siblings = {e.name for e in self.subject.entries if e.kind == "space"}
        for name in sorted(self.catalogue.names("space"), key=lambda name: name not in siblings):
            if space_of(name, self.catalogue).table.family == self.entry.name:
                return name
        raise Breach(f'no table says `family = "{self.entry.name}"`: register a space beside it')

    def _on_a_network(self) -> dict[str, Any]:
        """The first bundled policies that train several subnets without sorting channels, which
        not every network supports."""
        for shrink in self._bundled("shrink"):
            for lr, distill in itertools.product(self._bundled("lr"), self._bundled("distill")):
                chosen = {"space": self.space, "shrink": shrink, "lr": lr, "distill": distill}
                try:
                    asked = api.request(dataset="digits", epochs=EPOCHS, **chosen)
                    phases = assemble(asked, self.catalogue).schedule.phases
                except MisfitError:
                    continue
                if all(phase.sort is None for phase in phases) and phases[-1].space.count > 1:
                    return chosen
                break
        raise DoesNotApply("no bundled policy trains it without sorting channels")

    @cached_property
    def _assembled(self) -> Assembly | BaseException:
        try:
            return assemble(self.asked(), self.catalogue)
        except (Exception, SystemExit) as error:
            return error

    @property
    def assembly(self) -> Assembly:
        """The assembled run. Raises DoesNotApply if the plugin fits no run."""
        if isinstance(self._assembled, BaseException):
            raise DoesNotApply("it fits no run") from self._assembled
        return self._assembled

    @property
    def unfit(self) -> BaseException | None:
        """The error that keeps the plugin out of every run, or None."""
        return self._assembled if isinstance(self._assembled, BaseException) else None

    def again(self, seed: int = 0) -> Assembly:
        """The same run with fresh policies."""
        return assemble(self.asked(seed=seed), self.catalogue)

    @property
    def schedule(self) -> Schedule:
        return self.assembly.schedule

    @property
    def pure(self) -> bool:
        """Whether all three policies declare `pure`."""
        return all(policy.pure for policy in self.assembly.recipe.policies.values())

    @cached_property
    def module(self) -> str:
        """The file or module that `list` imports for the entry; "" for a class from a notebook."""
        if self.subject.file or self.entry.kind != "extra":
            counts = self.entry.kind == "supernet"  # what must be light is not the network itself
            target = self.entry.about["costs"] if counts else self.entry.target
            module = target.partition(":")[0] if isinstance(target, str) else ""
            return self.subject.file or module
        # An extra's own module may need its library; what lists it may not.
        points = importlib.metadata.entry_points(group=GROUP, name=self.entry.origin.plugin)
        return next((point.module for point in points), "")

    @property
    def movable(self) -> bool:
        """Whether another process can import it, unlike a class from a notebook."""
        return bool(self.subject.file or self.entry.origin.distribution)

    def steps(self, indices: Iterable[int] | None = None) -> Iterator[Step]:
        """Steps of the run, by default all; `at` is the one that is checked, for verdicts."""
        for index in range(self.schedule.steps) if indices is None else indices:
            self.at = index
            yield self.schedule.step(index)
        self.at = None


def probe(subnet: Subnet) -> float:
    """A made-up label loss that depends only on the subnet."""
    return seeding.rng("probe", str(subnet.to_json())).random()


def draws_of(bus: Bus, step: Step, asked: Callable[[Subnet], float] = probe) -> list[Draw]:
    """The draws of a step, with made-up losses for policies that probe."""
    return bus.draws(step, asked)


def replay(bus: Bus, schedule: Schedule, first: int, last: int) -> list[tuple[list[Draw], float]]:
    """Draws and rates of steps first to last - 1, with the hooks called as in training."""
    import torch

    answered = []
    for index in range(first, last):
        step = schedule.step(index)
        if step.phase_step == 0:
            bus.phase_start(step.phase, step)
        draws, rate = draws_of(bus, step), bus.lr_at(step)
        losses = [torch.tensor(probe(draw.subnet)) for draw in draws]
        shares = [bus.lr_share(step, draw) for draw in draws]
        bus.after_step(step, Outcome(draws, losses, rate, shares, schedule.batch))
        answered.append((draws, rate))
    return answered


@contextmanager
def no_global_random() -> Iterator[None]:
    """Raise Breach if the block uses a global random generator."""
    before = _random_states()
    yield
    touched = [name for name, state in _random_states().items() if state != before[name]]
    if touched:
        raise Breach(f"it used the shared generator of {touched[0]}")


def _random_states() -> Mapping[str, Any]:
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


def describe(draws: list[Draw]) -> str:
    return ", ".join(f"{draw.role} {draw.subnet}" for draw in draws) or "nothing"


def only(applies: bool, why: str) -> None:
    if not applies:
        raise DoesNotApply(why)
