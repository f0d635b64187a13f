"""Every evaluated net of every row: the table behind the fronts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from ofa_bench.formatting import count, percent
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.records.pareto import front
from ofa_bench.records.schema import Score, canonical
from ofa_bench.report.tables import Cell, HtmlTable, shown, word

HEADS = ("row", "net", ">MACs", ">params", ">top-1 select, %", ">top-1 test, %", ">deployed")


def candidates(board: Board) -> HtmlTable:
    """A line a row and net; accuracies are means over seeds, from the lowest to the highest."""
    lines = tuple(line for standing in board.places for line in _lines(standing.row))
    return HtmlTable("A line a row and net", HEADS, lines, sortable=True, filtered=True)


def _lines(row: BoardRow) -> Iterator[tuple[Cell, ...]]:
    scores: dict[bytes, list[Score]] = {}
    deployed: Counter[bytes] = Counter()
    for entry in row.good:
        nets = [canonical(score.subnet) for score in entry.record.scores]
        for net, score in zip(nets, entry.record.scores, strict=True):
            scores.setdefault(net, []).append(score)
        deployed.update(nets[tread.candidate] for tread in front(entry.record.scores))
    for net, seeds in scores.items():
        first = seeds[0]
        yield (
            word(row.label, "name"),
            word(first.name, "mono"),
            shown(count(first.macs), first.macs),
            shown(count(first.params), first.params),
            _mean([score.top1_select for score in seeds]),
            _mean([score.top1_test for score in seeds]),
            shown(f"{deployed[net]} of {len(row.good)}", deployed[net]),
        )


def _mean(values: list[float]) -> Cell:
    low, high = min(values), max(values)
    below = f"{percent(low)} to {percent(high)}" if low < high else ""
    return Cell(percent(fmean(values)), below, fmean(values))
