"""What a search is asked, checked before anything is scored and without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ofa_bench import __version__
from ofa_bench.atomic_io import sha256_file
from ofa_bench.hooks.catalogue import Entry
from ofa_bench.recipe.fingerprint import source_of
from ofa_bench.records.searches.schema import question_hash
from ofa_bench.records.tables import carried
from ofa_bench.runs.finished import FinishedRun
from ofa_bench.search.budget import CostBudget
from ofa_bench.search.costs import COUNTS, AdditiveCost, counted
from ofa_bench.search.dynamic import cheapest, dearest, infeasible
from ofa_bench.search.latency_table import LatencyTable, load_latency_table
from ofa_bench.search.searcher import Problem
from ofa_bench.space import Space

WHOLE = 5_000  # nets of a space that is scored whole unless `evaluations` says otherwise
EVALUATIONS = 200
FRONT_EVALUATIONS = 400
BUDGETS = 16  # of a front, evenly between the cheapest net and the dearest


@dataclass(frozen=True)
class SearchRequest:
    """A search that can be carried out: its run, costs and budget, and who proposes the nets."""

    run: FinishedRun
    budget: CostBudget
    cost: AdditiveCost
    table: Path | None
    entry: Entry
    top: int
    evaluations: int
    seed: int
    measured: LatencyTable | None = None

    @property
    def space(self) -> Space:
        """The part of the run's space that was trained."""
        return self.run.assembly.trained

    @property
    def classes(self) -> int:
        return self.run.assembly.classes

    @cached_property
    def macs(self) -> AdditiveCost:
        return counted(self.space, "macs", self.classes)

    @property
    def nets(self) -> int:
        """How many subnets there are, at all listed resolutions."""
        return self.space.count * len(self.space.listed)

    @property
    def exhaustive(self) -> bool:
        """Whether every net of the space is scored."""
        return self.nets <= self.evaluations

    @cached_property
    def budgets(self) -> tuple[float, ...]:
        """The budgets to answer: one, or those of a front."""
        if self.budget.value is not None:
            return (self.budget.value,)
        low, high = cheapest(self.space, self.cost), dearest(self.space, self.cost)
        steps = [low + (high - low) * step / (BUDGETS - 1) for step in range(1, BUDGETS - 1)]
        inner = [round(step) if self.cost.kind in COUNTS else step for step in steps]
        return tuple(dict.fromkeys([low, *inner, high]))

    def problem(self, budget: float) -> Problem:
        """The problem of one budget, as searchers are asked it."""
        return Problem(self.space, self.cost, budget, self.classes, self.macs)

    def question(self, weights: str, data: str) -> dict[str, Any]:
        """The fields of the search's record that are known beforehand, as JSON values."""
        origin = self.entry.origin
        fields: dict[str, Any] = {
            "run": self.run.folder.name,
            "weights": weights,
            "data": data,
            "space": self.space.name,
            "searched": self.space.describe(),
            "table": carried(self.space),
            "classes": self.classes,
            "budget": {
                "kind": self.budget.kind,
                "value": None if self.budget.value is None else float(self.budget.value),
                "unit": self.cost.unit,
                "table": sha256_file(self.table) if self.table is not None else None,
            },
            "searcher": {
                "name": self.entry.name,
                "distribution": origin.distribution,
                "version": origin.version or __version__,
                "source": source_of(self.entry.load()).hash,
            },
            "seed": self.seed,
            "wanted": self.top,
            "evaluations": self.evaluations,
        }
        return fields | {"question": question_hash(fields)}


def search_request(
    run: FinishedRun,
    budget: CostBudget,
    table: Path | None,
    searcher: str,
    top: int,
    evaluations: int | None,
    seed: int,
) -> SearchRequest:
    """The search of a run. Raises UsageError where the searcher is unknown, the table of another
    space, or no subnet inside the budget."""
    entry, space = run.catalogue.get("searcher", searcher), run.assembly.trained
    classes, shortcuts = run.assembly.classes, run.assembly.science.net.shortcuts
    measured = None
    if table is not None:
        measured = load_latency_table(table)
        measured.check_fits(space, classes, shortcuts=shortcuts)
    cost = measured.cost() if measured else counted(space, budget.kind, classes)
    if budget.value is not None and cheapest(space, cost) > budget.value:
        raise infeasible(space, cost, budget.value)
    if evaluations is None:
        nets = space.count * len(space.listed)
        evaluations = EVALUATIONS if budget.value is not None else FRONT_EVALUATIONS
        evaluations = nets if nets <= WHOLE else evaluations
    return SearchRequest(run, budget, cost, table, entry, top, evaluations, seed, measured)
