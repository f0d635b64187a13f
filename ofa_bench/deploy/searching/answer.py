"""The answer of a search, from the scores of what it looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ofa_bench import __version__
from ofa_bench.deploy.searching.request import SearchRequest
from ofa_bench.deploy.searching.scored_nets import ScoredNets
from ofa_bench.deploy.searching.trials import Trials
from ofa_bench.errors import UsageError
from ofa_bench.records.searches.schema import (
    SearchRecord,
    accuracy,
    order,
    sealed_search,
)
from ofa_bench.sanitize import command_line, plain_text
from ofa_bench.search.budget import spelled_amount
from ofa_bench.space import Subnet

WAYS = ("searcher", "random", "macs_alone")


class Answer:
    """What comes of a search's trials."""

    def __init__(self, asked: SearchRequest, done: Trials, scores: ScoredNets) -> None:
        self.asked, self.done, self.scores = asked, done, scores
        self.ways: dict[str, tuple[Subnet, ...]] = {way: getattr(done, way) for way in WAYS}
        self.nets = tuple(dict.fromkeys(net for way in WAYS for net in self.ways[way]))
        self.hits = scores.select(self.nets)
        space = asked.space
        self.macs = {net: int(asked.macs.of(space, net)) for net in self.nets}
        self.cost = {net: asked.cost.of(space, net) for net in self.nets}
        self.measured: dict[Subnet, float] = {}

    def record(self, question: Mapping[str, Any]) -> SearchRecord:
        """The record of the search: its winners, which are scored on test now, and all scores."""
        winners = [self.winner(budget) for budget in self.asked.budgets]
        count = len(dict.fromkeys(winners))
        self.scores.note = lambda missing: f"scoring {missing} of {count} winners on test, once"
        test = self.scores.test(list(dict.fromkeys(winners)))
        front = self.asked.budget.value is None
        best = min(dict.fromkeys(winners), key=self.key)
        index = {net: number for number, net in enumerate(self.nets)}
        top = [] if front else self.ranked(self.nets, self.asked.budgets[0])[: self.asked.top]
        return sealed_search(
            {
                **question,
                "images": self.scores.images,
                "exhaustive": self.asked.exhaustive,
                "nets": self.asked.nets,
                "evaluated": len(self.nets),
                "best": self.net(best, test),
                "best_by": next(way for way in WAYS if best in self.ways[way]),
                "top": [self.net(net, {best: test[best]}) for net in top],
                "front": [
                    self.point(budget, net, test)
                    for budget, net in zip(self.asked.budgets, winners, strict=True)
                    if front
                ],
                "baselines": {} if front else self.baselines(),
                "predictor": self.predictor(),
                "trials": {way: [index[net] for net in nets] for way, nets in self.ways.items()},
                "scored": [{"subnet": n.to_json(), "select": self.hits[n]} for n in self.nets],
                "command": self.command,
                "ofa_bench": __version__,
                "torch": self.scores.torch,
                "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
            }
        )

    def key(self, net: Subnet) -> tuple[int, int, str]:
        """What ranks subnets: see `order`."""
        return order(self.hits[net], self.macs[net], net.to_json())

    def ranked(self, nets: Iterable[Subnet], budget: float) -> list[Subnet]:
        """Those inside the budget, the best first."""
        return sorted((net for net in nets if self.cost[net] <= budget), key=self.key)

    def winner(self, budget: float) -> Subnet:
        """The best inside a budget; of a latency's finalists the first that is measured in time."""
        ranked = self.ranked(self.nets, budget)
        if self.asked.budget.value is not None:
            self.measured = measured_again(self.asked, self.scores, ranked[: self.asked.top])
        return next((net for net, ms in self.measured.items() if ms <= budget), ranked[0])

    def net(self, net: Subnet, test: Mapping[Subnet, int]) -> dict[str, Any]:
        """The fields of a `SearchedNet`."""
        images, space, classes = self.scores.images, self.asked.space, self.asked.classes
        fields: dict[str, Any] = {
            "subnet": net.to_json(),
            "name": str(net),
            "macs": self.macs[net],
            "params": space.params(net, classes),
            "latency": self.cost[net] if self.asked.budget.kind == "latency" else None,
            "measured": self.measured.get(net),
            **accuracy("select", self.hits[net], images.select),
        }
        return fields | (accuracy("test", test[net], images.test) if net in test else {})

    def baselines(self) -> dict[str, Any]:
        """The best random net and the net of most MACs, on select; test stays closed to them."""
        (budget,) = self.asked.budgets
        best = {way: self.ranked(self.ways[way], budget)[:1] for way in WAYS[1:]}
        return {way: self.net(nets[0], {}) if nets else None for way, nets in best.items()}

    def point(self, budget: float, net: Subnet, test: Mapping[Subnet, int]) -> dict[str, Any]:
        """The fields of a `FrontNet`."""
        images = self.scores.images.select
        drawn = self.ranked(self.done.random, budget)
        largest = max(
            (other for other in self.done.macs_alone if self.cost[other] <= budget),
            key=lambda other: self.macs[other],
        )
        return self.net(net, test) | {
            "budget": budget,
            "random": 100 * self.hits[drawn[0]] / images if drawn else None,
            "macs_alone": 100 * self.hits[largest] / images,
        }

    def predictor(self) -> dict[str, Any] | None:
        """How well the surrogate ordered nets that it had not seen; None where there was none."""
        quality = self.done.quality
        if quality is None:
            return None
        from ofa_bench.search.predictor import kendall

        recorded = self.asked.run.record
        scores = recorded.scores if recorded is not None else ()
        select, test = ([getattr(s, f"top1_{name}") for s in scores] for name in ("select", "test"))
        return {
            **{name: getattr(quality, name) for name in ("tau", "low", "high", "tau_macs_alone")},
            "ceiling": kendall(select, test) if len(scores) > 1 else None,
            "nets": quality.nets,
        }

    @cached_property
    def command(self) -> str:
        """The command line that asks the same."""
        asked, budget = self.asked, self.asked.budget
        words: list[object] = ["ofa-bench", "search", asked.run.folder.name]
        if budget.value is None:
            words.append("--front")
        else:
            words += [f"--{budget.kind}", spelled_amount(budget.value)]
        words += ["--table", asked.table] if asked.table is not None else []
        words += ["--top", asked.top, "--evaluations", asked.evaluations]
        return command_line(*words, "--searcher", asked.entry.name)


def measured_again(
    asked: SearchRequest, scores: ScoredNets, nets: Sequence[Subnet]
) -> dict[Subnet, float]:
    """Milliseconds of whole subnets on the table's device; nothing where this is another machine.

    The table adds up blocks that were measured alone, and so may be off for a net as a whole.
    """
    table = asked.measured
    if table is None:
        return {}
    from ofa_bench.deploy.latency.devices import open_device
    from ofa_bench.deploy.latency.measure import measure_whole

    catalogue = asked.run.catalogue
    try:
        with open_device(table.device, table.threads, catalogue) as device:
            processor = plain_text(device.processor)
        if processor != table.machine.processor:
            raise UsageError(f"the table is of {table.machine.processor}, this is {processor}")
        scores.progress.note(f"measuring {len(nets)} finalists on {plain_text(table.device)}")
        timings = measure_whole(scores.network(), nets, table, catalogue=catalogue)
    except UsageError as error:
        scores.progress.note(f"finalists are not measured again: {error.message}")
        return {}
    return {net: timing.ms for net, timing in zip(nets, timings, strict=True)}
