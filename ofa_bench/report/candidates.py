"""Every evaluated net of every row: the table behind the fronts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from ofa_bench.formatting import count, percent
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.cost_axis import MACS
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.records.pareto import front
from ofa_bench.records.schema import Score, canonical
from ofa_bench.report.tables import Cell, HtmlTable, shown, word

HEADS = ("row", "net", ">MACs", ">params", ">top-1 select, %", ">top-1 test, %", ">deployed")


def candidates(board: Board) -> HtmlTable:
    """A line a row and net; accuracies are means over seeds, from the lowest to the highest."""
    lines = tuple(line for standing in board.places for line in _lines(standing.row))
    heads = HEADS if board.axis is MACS else (*HEADS[:2], f">{board.axis.unit}", *HEADS[2:])
    return HtmlTable("A line a row and net", heads, lines, sortable=True, filtered=True)


def _lines(row: BoardRow) -> Iterator[tuple[Cell, ...]]:
    scores: dict[bytes, list[Score]] = {}
    deployed: Counter[bytes] = Counter()
    costs: dict[bytes, int] = {}
    for entry in row.good:
        nets = [canonical(score.subnet) for score in entry.record.scores]
        for net, score in zip(nets, entry.record.scores, strict=True):
            scores.setdefault(net, []).append(score)
        costs |= zip(nets, (score.macs for score in row.scores(entry)), strict=True)
        deployed.update(nets[tread.candidate] for tread in front(row.scores(entry)))
    for net, seeds in scores.items():
        first = seeds[0]
        yield (
            word(row.label, "name"),
            word(first.name, "mono"),
            *_cost(row, costs[net]),
            shown(count(first.macs), first.macs),
            shown(count(first.params), first.params),
            _mean([score.top1_select for score in seeds]),
            _mean([score.top1_test for score in seeds]),
            shown(f"{deployed[net]} of {len(row.good)}", deployed[net]),
        )


def _cost(row: BoardRow, steps: int) -> list[Cell]:
    """What budgets are counted in, where it is not the MACs that are there anyway."""
    if row.axis is MACS:
        return []
    return [shown(row.axis.text(steps), row.axis.value(steps))]


def _mean(values: list[float]) -> Cell:
    low, high = min(values), max(values)
    below = f"{percent(low)} to {percent(high)}" if low < high else ""
    return Cell(percent(fmean(values)), below, fmean(values))
