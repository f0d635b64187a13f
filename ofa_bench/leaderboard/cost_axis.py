"""What a budget is counted in: MACs, as records have them, or a latency by a measured table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ofa_bench.errors import UsageError
from ofa_bench.formatting import count
from ofa_bench.records.pareto import Scored, covered, mean_pareto_accuracy, selection_bonus
from ofa_bench.records.schema import Coverage, Record, Summary
from ofa_bench.records.spaces import budget_range, track_space
from ofa_bench.records.track import table as table_of
from ofa_bench.search.latency_table import LatencyTable


class CostedScore(NamedTuple):
    """A candidate by another cost, counted in whole steps of its axis in place of MACs."""

    macs: int
    top1_select: float
    top1_test: float


class CostAxis:
    """MACs: the scores, range and summary of a record as they are."""

    kind, unit = "macs", "MACs"

    def misfit(self, record: Record) -> str | None:
        """Why a record's candidates have no such cost; None if they have."""
        return None

    def scores(self, record: Record) -> Sequence[Scored]:
        """The candidates, in the record's order, with their cost in steps."""
        return record.scores

    def range(self, record: Record) -> tuple[int, int]:
        """The ends of the track's budgets: the costs of the smallest and the largest net."""
        return budget_range(record)

    def summary(self, record: Record) -> Summary | None:
        """The record's summary over this cost."""
        return record.summary

    def value(self, steps: float) -> float:
        """Steps in the unit."""
        return steps

    def text(self, steps: float) -> str:
        """A cost without its unit, to three digits or so."""
        return count(steps)

    def describe(self) -> dict[str, str]:
        """The axis as JSON values."""
        return {"kind": self.kind, "unit": self.unit, "about": self.about}

    def span(self, low: float, high: float) -> str:
        """A range of costs: `1.01 M to 3.85 M MACs`, `0.21 to 0.57 ms`."""
        return f"{self.text(low)} to {self.text(high)} {self.unit}"

    @property
    def about(self) -> str:
        """Where the costs are from; "" for MACs, which are counted."""
        return ""


MACS = CostAxis()


class LatencyAxis(CostAxis):
    """Latency by tables of one device; networks of other shortcuts need a table of their own.

    Raises UsageError if the tables are of different devices, machines, batches or threads.
    """

    kind, unit = "latency", "ms"

    def __init__(self, tables: Sequence[LatencyTable]) -> None:
        self.tables = tuple(tables)
        first = _where(self.tables[0])
        for table in self.tables[1:]:
            if _where(table) != first:
                raise UsageError(
                    f"two latency tables that do not go together: {first}; {_where(table)}",
                    "measure them on one machine, with the same options",
                )
        self._costs = [table.cost() for table in self.tables]
        self._chosen: dict[str, int | str] = {}
        self._scores: dict[str, tuple[CostedScore, ...]] = {}

    def misfit(self, record: Record) -> str | None:
        """Why no table holds for a record's space, classes, resolutions and shortcuts."""
        index = self._index(record)
        return index if isinstance(index, str) else None

    def _index(self, record: Record) -> int | str:
        """Which table holds for a record, or why none does."""
        if record.sha256 not in self._chosen:
            self._chosen[record.sha256] = self._fitting(record)
        return self._chosen[record.sha256]

    def _fitting(self, record: Record) -> int | str:
        try:
            space = track_space(record)
        except UsageError as error:
            return f"the space cannot be counted here: {error.message}"
        shortcuts = str(table_of(record.science, "net").get("shortcuts", "identity"))
        reasons = []
        for index, table in enumerate(self.tables):
            sizes = record.task.resolutions
            reason = table.misfit(space, record.task.classes, sizes, shortcuts)
            if reason is None:
                return index
            reasons.append(reason)
        return reasons[-1]

    def scores(self, record: Record) -> Sequence[Scored]:
        """The candidates with their latency in steps; UsageError where no table fits."""
        if record.sha256 not in self._scores:
            index = self._index(record)
            if isinstance(index, str):
                raise UsageError(f"no latency table fits: {index}", "name one that does")
            space, cost = track_space(record), self._costs[index]
            self._scores[record.sha256] = tuple(
                CostedScore(
                    cost.steps(cost.of(space, space.subnet(score.subnet))),
                    score.top1_select,
                    score.top1_test,
                )
                for score in record.scores
            )
        return self._scores[record.sha256]

    def range(self, record: Record) -> tuple[int, int]:
        """From the smallest net's latency to the largest's, over all tables of the space."""
        space, classes = track_space(record), record.task.classes
        ends = []
        for table, cost in zip(self.tables, self._costs, strict=True):
            if table.misfit(space, classes, space.listed, table.space.shortcuts) is None:
                ends += [cost.of(space, space.smallest), cost.of(space, space.largest)]
        return self._costs[0].steps(min(ends)), self._costs[0].steps(max(ends))

    def summary(self, record: Record) -> Summary | None:
        """The summary over the candidates' own range of latencies; what MACs define is left out."""
        if record.summary is None:
            return None
        scores = self.scores(record)
        costs = [score.macs for score in scores]
        low, high = min(costs), max(costs)
        first, last, share = covered(scores, *self.range(record))
        values = {
            "mean_pareto_accuracy": mean_pareto_accuracy(scores, low, high),
            "mean_pareto_accuracy_paper": None,
            "mean_pareto_accuracy_paper_reason": "the paper's metric is over MACs",
            "coverage": Coverage(low=max(first, 0), high=max(last, 0), share=share),
            "selection_bonus": selection_bonus(scores, low, high),
        }
        return record.summary.model_copy(update=values)

    def value(self, steps: float) -> float:
        """Milliseconds."""
        return steps / self._costs[0].scale

    def text(self, steps: float) -> str:
        """Milliseconds to four digits."""
        return f"{self.value(steps):.4g}"

    @property
    def about(self) -> str:
        """Device, batch, threads and processor of the tables, and their error."""
        checks = "; ".join(f"the table, {table.check}" for table in self.tables)
        return f"latency is in ms a batch, by {_where(self.tables[0])}; {checks}"


def _where(table: LatencyTable) -> str:
    threads = f"{table.threads} thread{'s' if table.threads > 1 else ''}"
    return f"{table.device}, batch {table.batch}, {threads}, on {table.machine.processor}"
