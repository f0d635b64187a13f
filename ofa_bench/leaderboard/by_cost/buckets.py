"""The best net of every row in each of six equal ranges of MACs (DεpS, ECCV 2024, Table 1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any

from ofa_bench.formatting import DASH, count, interval, percent
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.export import estimate_json
from ofa_bench.leaderboard.published import Published
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.leaderboard.stats import Estimate, estimate
from ofa_bench.records.json_text import cell, markdown_table
from ofa_bench.records.schema import Score
from ofa_bench.records.spaces import budget_range

RANGES = 6
NOTE = (
    "In each range the net that is best on select, shown on test: mean over seeds, n of them with "
    "its 95 % interval; published figures are their papers', and were chosen as those say."
)


@dataclass(frozen=True)
class BestInRange:
    """A row's best net of a range: test accuracy over `n` seeds, and the nets' mean MACs.

    `nets`: the name of each seed's net.
    """

    label: str
    accuracy: Estimate
    n: int
    macs: float
    nets: tuple[str, ...]


@dataclass(frozen=True)
class PublishedNet:
    """A net of a paper: its name, MACs and top-1 in percent."""

    name: str
    macs: int
    top1: float


@dataclass(frozen=True)
class MacsRange:
    """From `low` to `high` MACs: each row's best net, and published nets of that size."""

    low: int
    high: int
    rows: tuple[BestInRange, ...]
    published: tuple[PublishedNet, ...] = ()


def ranges_of(board: Board, papers: Iterable[Published] = ()) -> list[MacsRange]:
    """The ranges of a board's track, between its smallest and largest net's MACs.

    Published nets outside of them are left out, see `outside`.
    """
    rows = [standing.row for standing in board.places if standing.row.good]
    if not rows:
        return []
    low, high = budget_range(rows[0].any)
    edges = [low + (high + 1 - low) * number // RANGES for number in range(RANGES + 1)]
    ranges = []
    for first, after in pairwise(edges):
        best = (_best(row, first, after - 1) for row in rows)
        near = tuple(net for net in _nets(papers) if first <= net.macs < after)
        ranges.append(MacsRange(first, after - 1, tuple(filter(None, best)), near))
    return ranges


def outside(board: Board, papers: Iterable[Published]) -> list[PublishedNet]:
    """Published nets that cost less than the track's smallest net, or more than its largest."""
    ranges = ranges_of(board)
    if not ranges:
        return []
    low, high = ranges[0].low, ranges[-1].high
    return [net for net in _nets(papers) if not low <= net.macs <= high]


def _nets(papers: Iterable[Published]) -> Iterator[PublishedNet]:
    for paper in papers:
        yield from (PublishedNet(name, macs * 10**6, top1) for name, macs, top1 in paper.reference)


def _best(row: BoardRow, low: int, high: int) -> BestInRange | None:
    chosen = [net for entry in row.good if (net := _chosen(entry.record.scores, low, high))]
    if not chosen:
        return None
    return BestInRange(
        label=row.label,
        accuracy=estimate([net.top1_test for net in chosen]),
        n=len(chosen),
        macs=fmean(net.macs for net in chosen),
        nets=tuple(net.name for net in chosen),
    )


def _chosen(scores: Sequence[Score], low: int, high: int) -> Score | None:
    """The net of a range that is best on select; ties go to fewer MACs."""
    inside = [score for score in scores if low <= score.macs <= high]
    return max(inside, key=lambda score: (score.top1_select, -score.macs), default=None)


def ranges_json(board: Board, papers: Sequence[Published]) -> dict[str, Any]:
    return {
        "track": board.track.name,
        "buckets": [
            {
                "low": item.low,
                "high": item.high,
                "rows": [
                    {
                        "label": best.label,
                        "n": best.n,
                        "top1_test": estimate_json(best.accuracy),
                        "macs": round(best.macs),
                        "nets": list(best.nets),
                    }
                    for best in item.rows
                ],
                "published": [vars(net) for net in item.published],
            }
            for item in ranges_of(board, papers)
        ],
        "published_outside": [vars(net) for net in outside(board, papers)],
        "sources": [paper.source for paper in papers],
    }


HEADS = ("MACs", "net", ">top-1 test, %", "95 % interval", ">n", ">MACs of the net")


def lines_of(ranges: Iterable[MacsRange]) -> Iterator[tuple[str, ...]]:
    """A line a range and net, by `HEADS`; published nets are marked."""
    for item in ranges:
        span = f"{count(item.low)} to {count(item.high)}"
        for best in item.rows:
            limits = interval(best.accuracy.low, best.accuracy.high, best.n)
            accuracy = percent(best.accuracy.mean)
            yield (span, best.label, accuracy, limits, str(best.n), count(best.macs))
        for net in item.published:
            yield (span, f"{net.name} (published)", f"{net.top1:.1f}", DASH, DASH, count(net.macs))


def ranges_markdown(board: Board, papers: Sequence[Published]) -> str:
    heads = [head.removeprefix(">") for head in HEADS]
    lines = [list(map(cell, line)) for line in lines_of(ranges_of(board, papers))]
    table = "\n".join(markdown_table(heads, lines))
    notes = [NOTE, *notes_of(board, papers)]
    title = f"# {cell(board.track.name)}: best nets by MACs"
    return "\n\n".join([title, table, "\n".join(f"* {note}" for note in notes)]) + "\n"


def notes_of(board: Board, papers: Sequence[Published]) -> list[str]:
    """Sources of published figures, and those that lie outside the ranges."""
    nets = outside(board, papers)
    far = ", ".join(f"{net.name} {count(net.macs)} {net.top1:.1f} %" for net in nets)
    lines = [f"published outside these ranges: {far}"] if far else []
    return lines + [f"source: {paper.source}" for paper in papers if paper.reference]
