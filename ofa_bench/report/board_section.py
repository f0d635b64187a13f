"""The board on the page: rows, pairwise verdicts, caveats, and every evaluated net of every row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from ofa_bench.formatting import DASH, count, percent, spread
from ofa_bench.leaderboard import columns
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.by_cost.buckets import HEADS as RANGE_HEADS
from ofa_bench.leaderboard.by_cost.buckets import NOTE, lines_of, ranges_of
from ofa_bench.leaderboard.columns import ACCURACY, HEADS, TEXTS, cells
from ofa_bench.leaderboard.cost_axis import MACS
from ofa_bench.leaderboard.published import Published
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.leaderboard.stats import Pair
from ofa_bench.records.pareto import front
from ofa_bench.records.schema import Score, canonical
from ofa_bench.report.tables import LONGEST, Cell, HtmlTable, number, shown, table, word

STYLES = {"method": "name", ACCURACY: "strong"}  # CSS classes of columns
NET_HEADS = ("row", "net", ">MACs", ">params", ">top-1 select, %", ">top-1 test, %", ">deployed")
MARKS = {"better": "better", "no worse": "noworse", "undecided": "undecided"}


def leaderboard(board: Board, link: Callable[[BoardRow], str] | None = None) -> HtmlTable:
    """A row a line, with the columns of `ofa-bench board`; with links, it can be filtered too."""
    heads = [head if head in TEXTS else f">{head}" for head in HEADS]
    rows = (_cells(standing, link(standing.row) if link else "") for standing in board.places)
    return table("A line a row; below the accuracy its interval", heads, rows, True, bool(link))


def _cells(standing: Standing, link: str) -> Iterator[Cell]:
    for head, item in cells(standing).items():
        marks = ["grey"] * bool(standing.greyed_by) + [STYLES.get(head, "")]
        if head == "ok/n" and standing.row.failed:
            marks = ["failed"]
        text, to = word(item.text).text, link if head == "method" else ""
        yield Cell(text, item.aside, item.value, " ".join(marks).strip(), to)


def preface(board: Board) -> str:
    """What the numbers are, and what they cannot show."""
    about = f" {board.axis.about[:1].upper()}{board.axis.about[1:]}." if board.axis.about else ""
    return (
        f"Mean Pareto accuracy over budgets of {board.axis.span(*board.range)}, the range that "
        f"all rows cover, with its 95 % interval over seeds. Rank is 1 + the rows that beat it. "
        f"In this board, {board.detectable_text}.{about}"
    )


def pairs(board: Board) -> HtmlTable | None:
    """Who is better than whom; None where there are no two rows to compare."""
    able = [standing.row for standing in board.places if standing.row.good]
    if len(able) < 2:
        return None
    lines = []
    for a in able:
        cells = [Cell(DASH) if a.id == b.id else _pair(board.pairs[a.id, b.id]) for b in able]
        lines.append([word(a.label, "name"), *cells])
    caption = "The row against the column: verdict, difference in points, family-wise interval"
    return table(caption, ["", *(row.label for row in able)], lines)


def _pair(pair: Pair) -> Cell:
    if pair.low is None or pair.high is None:
        return Cell(pair.verdict, f"{pair.difference:+.2f}", pair.difference, "undecided")
    limits = f"{pair.difference:+.2f} ({spread(pair.low, pair.high)})"
    paired = ", seed by seed" if pair.paired else ""
    return Cell(pair.verdict, limits + paired, pair.difference, MARKS[pair.verdict])


def best_by_macs(board: Board, papers: Sequence[Published]) -> HtmlTable | None:
    """The best net of every row in each range of MACs; None where there is no row."""
    lines = [[word(text) for text in line] for line in lines_of(ranges_of(board, papers))]
    return table(NOTE, RANGE_HEADS, lines) if lines else None


def caveats(board: Board) -> list[str]:
    """What must be read with the rows: failures, gaps, hours that do not compare."""
    return columns.caveats(board, lambda text: word(text, limit=LONGEST).text)


def paper_table(paper: Published) -> HtmlTable:
    """A paper's rows; they stand beside, and are never ranked with, measured ones."""
    heads = ["published", ">mean Pareto, %", ">smallest, %", ">largest, %", ">epochs"]
    lines = [
        [
            word(row.method),
            number(row.mean_pareto, ".2f"),
            number(row.smallest, ".2f"),
            number(row.largest, ".2f"),
            number(row.epochs, ",d"),
            number(row.gpu_hours, ",d"),
            number(row.dollars, ",d"),
        ]
        for row in paper.rows
    ]
    return table("Published, not ranked", [*heads, ">GPU-hours", ">$"], lines)


def candidates(board: Board) -> HtmlTable:
    """A line a row and net; accuracies are means over seeds, from the lowest to the highest."""
    lines = (line for standing in board.places for line in _nets(standing.row))
    heads = (
        NET_HEADS if board.axis is MACS else (*NET_HEADS[:2], f">{board.axis.unit}", *NET_HEADS[2:])
    )
    return table("A line a row and net", heads, lines, sortable=True, filtered=True)


def _nets(row: BoardRow) -> Iterator[tuple[Cell, ...]]:
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
