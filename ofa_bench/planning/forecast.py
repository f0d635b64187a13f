"""What `plan` shows: phases, learning rates and `lr_share` at turning points, draws, cost.
Torch-free."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ofa_bench.draws import Draw, Role
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.hooks.hookspecs import Snapshot
from ofa_bench.planning.assemble import Assembly
from ofa_bench.planning.cost_model import FORWARD_ONLY
from ofa_bench.schedule import Step
from ofa_bench.space import Subnet

POINTS = 200  # of the rates that a record holds, beside those at turning points


class Forecast:
    """The forecast of an assembled run."""

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.schedule = assembly.schedule
        self.bus = assembly.bus

    def document(self, steps: Iterable[int] = ()) -> dict[str, Any]:
        """The forecast as JSON values. Raises UsageError on a step beyond the run's end."""
        science, schedule = self.assembly.science, self.schedule
        return {
            "method": science.method,
            "composition": science.composition,
            "dataset": science.dataset,
            "space": science.space,
            "architectures": self.assembly.space.count,
            "seed": self.assembly.recipe.seed,
            "classes": self.assembly.classes,
            "images": dict(self.assembly.sizes),
            "budget": science.budget.model_dump(mode="json"),
            "paper_times": self.assembly.published_share,
            "epochs": schedule.budget.epochs,
            "steps": schedule.steps,
            "steps_per_epoch": schedule.steps_per_epoch,
            "batch": schedule.batch,
            "norm_batch": schedule.norm_batch,
            "images_left_out": schedule.left_out,
            "macs": sum(cost.total for cost in self.assembly.cost),
            "phases": [self._phase(number) for number in range(len(schedule.phases))],
            "edges": [self.edge(what, index) for what, index in self.turns()],
            "draws": [self.draws(index) for index in steps],
            "science": science.model_dump(mode="json"),
            "origins": dict(self.assembly.recipe.origins),
        }

    def _phase(self, number: int) -> dict[str, Any]:
        schedule, cost = self.schedule, self.assembly.cost[number]
        phase = schedule.phases[number]
        begin, end = schedule.edges[number : number + 2]
        first, last = schedule.step(begin), schedule.step(end - 1)
        teacher = self.assembly.teachers.get(phase.name)
        return {
            "name": phase.name,
            "epochs": cost.epochs,
            "steps": cost.steps,
            "first_step": first.index,
            "last_step": last.index,
            "first_epoch": first.epoch,
            "lr_first": self.bus.lr_at(first),
            "lr_last": self.bus.lr_at(last),
            "share_first": self.share(first),
            "share_last": self.share(last),
            "fresh": phase.fresh,
            "sort": phase.sort,
            "peak": phase.peak,
            "warmup_steps": first.warmup_steps if first.segment_step == 0 else 0,
            "teacher": None if teacher is None else _teacher(teacher),
            "architectures": phase.space.count,
            "images": cost.images,
            "passes": {role.value: passes for role, passes in cost.passes.items()},
            "macs": {role.value: macs for role, macs in cost.macs.items()},
            "macs_total": cost.total,
        }

    def shares(self, step: Step) -> dict[str, float]:
        """`lr_share` by trained role (DεpS's ε for all but the largest)."""
        space = step.phase.space
        nets = {Role.LARGEST: space.largest}
        return {
            role.value: self.bus.lr_share(step, Draw(nets.get(role, space.smallest), role))
            for role, passes in step.phase.passes.items()
            if passes and role not in FORWARD_ONLY
        }

    def share(self, step: Step) -> float:
        """The smallest of them."""
        return min(self.shares(step).values(), default=1.0)

    def turns(self) -> list[tuple[str, int]]:
        """Steps at which something changes: phase edges, ends of warm-ups and of ramps."""
        events: list[tuple[str, int]] = []
        for number, phase in enumerate(self.schedule.phases):
            first, last = self.schedule.edges[number], self.schedule.edges[number + 1] - 1
            events.append((f"{phase.name} begins", first))
            step = self.schedule.step(first)
            if step.segment_step == 0 and 0 < step.warmup_steps <= last - first:
                events.append(("warm-up is over", first + step.warmup_steps))
            settled = self._settles(first, last)
            if settled is not None:
                events += [("ramp's last step", settled - 1), ("ramp is over", settled)]
            events.append((f"{phase.name} ends", last))
        return list({index: (what, index) for what, index in reversed(events)}.values())[::-1]

    def _settles(self, first: int, last: int) -> int | None:
        """The first step from which the shares equal those at the phase's end."""
        end = self.shares(self.schedule.step(last))

        def settled(index: int) -> bool:
            return self.shares(self.schedule.step(index)) == end

        if settled(first) or not settled(last - 1):
            return None
        low, high = first, last - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if settled(middle) else (middle, high)
        return high

    def edge(self, what: str, index: int) -> dict[str, Any]:
        """Rate and shares at a step."""
        step = self.schedule.step(index)
        return {
            "what": what,
            "step": index,
            "epoch": step.epoch,
            "phase": step.phase.name,
            "lr": self.bus.lr_at(step),
            "share": self.share(step),
            "shares": self.shares(step),
        }

    def rates(self) -> dict[str, list[Any]] | None:
        """Rate, and least share beside the largest subnet, at about 200 evenly spaced steps and at
        all turning points: the record's field `rates`. None where the LR policy fails, as it may
        have failed the run."""
        last = self.schedule.steps - 1
        spread = {round(index * last / (POINTS - 1)) for index in range(POINTS)}
        try:
            steps = sorted(spread | {index for _, index in self.turns()})
            edges = [self.edge("", index) for index in steps]
        except BenchError:
            return None
        beside = [{**edge["shares"], Role.LARGEST.value: None}.values() for edge in edges]
        return {
            "steps": steps,
            "epochs": [edge["epoch"] for edge in edges],
            "lr": [edge["lr"] for edge in edges],
            "shares": [min((s for s in row if s is not None), default=None) for row in beside],
        }

    def draws(self, index: int) -> dict[str, Any]:
        """What a step trains; a policy that probes the network cannot say so beforehand."""
        if not 0 <= index < self.schedule.steps:
            raise UsageError(
                f"--steps {index}: the run has steps 0 to {self.schedule.steps - 1}",
                "name steps of the run",
            )
        step = self.schedule.step(index)
        try:
            drawn = self.bus.draws(step, _unprobed)
        except ProbedError:
            return {**self.edge("", index), "draws": None}
        draws = [
            {
                "role": draw.role.value,
                "share": self.bus.lr_share(step, draw),
                "name": str(draw.subnet),
                "subnet": draw.subnet.to_json(),
                "macs": self.assembly.space.macs(draw.subnet, self.assembly.classes),
            }
            for draw in drawn
        ]
        return {**self.edge("", index), "draws": draws}


class ProbedError(UsageError):
    """A draw depends on the network's weights and cannot be forecast."""


def _unprobed(subnet: Subnet) -> float:
    raise ProbedError("this policy's draws depend on the trained network")


def _teacher(teacher: Any) -> dict[str, Any]:
    origin = {"at": teacher.at} if isinstance(teacher, Snapshot) else {"path": str(teacher.path)}
    return {**origin, "subnet": str(teacher.subnet), "mode": teacher.mode}
