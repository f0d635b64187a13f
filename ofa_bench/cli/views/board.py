"""A board on the terminal and as JSON, and the boards kept beside the records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from ofa_bench import api
from ofa_bench.cli import console
from ofa_bench.cli.views import cost
from ofa_bench.errors import BenchError
from ofa_bench.formatting import DASH
from ofa_bench.leaderboard import claims
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.board_files import B, check_boards, choose, write_boards
from ofa_bench.leaderboard.by_cost import buckets
from ofa_bench.leaderboard.by_cost.cost_curves import families
from ofa_bench.leaderboard.columns import HEADS, TEXTS
from ofa_bench.leaderboard.kept_boards import ShownBoard
from ofa_bench.leaderboard.published import Published, published
from ofa_bench.leaderboard.screening import Screened, Unranked
from ofa_bench.records.extra_metrics import table as readings_of
from ofa_bench.records.store import StoredRecord
from ofa_bench.records.track import track_of
from ofa_bench.records.validation.validate import Context
from ofa_bench.sanitize import command_line, command_words

# A terminal has no room for more.
LEFT_OUT = ("composition", "over its own range", "coverage", "time/epoch", "waiting")
COLUMNS = [head for head in HEADS if head not in (*LEFT_OUT, "selection bonus")]


def document(boards: Iterable[ShownBoard], **more: Any) -> dict[str, Any]:
    """The boards as JSON: all rows, each with its track, and the tracks."""
    documents = [dict(board.document) for board in boards]
    rows = [{"track": board["track"], **row} for board in documents for row in board.pop("rows")]
    return {**more, "rows": rows, "tracks": documents}


def show(board: ShownBoard, title: str = "") -> None:
    """Print a board as a table, then what must be read with it and what its seeds can show."""
    heads = [head if head in TEXTS else f">{head}" for head in COLUMNS]
    rows = [[row[head] for head in COLUMNS] for row in board.cells]
    console.table(heads, rows, title)
    for line in board.caveats:
        console.say(line)
    if board.detectable:
        console.say(board.detectable)


def unranked_document(unranked: Iterable[Unranked]) -> dict[str, Any]:
    """The same for a JSON answer; nothing where all records hold."""
    items = [vars(item) for item in unranked]
    return {"unranked": items} if items else {}


def list_unranked(unranked: Iterable[Unranked]) -> None:
    """Records that do not hold, below the tables that leave them out."""
    lines = [f"  {item}" for item in unranked]
    if lines:
        console.say("not ranked:")
        for line in lines:
            console.say(line)


def refresh(results: Path, made: Sequence[ShownBoard] | None = None) -> None:
    """Write the boards anew, those that are `made` already where they are; where that cannot be
    done, say so and go on."""
    if not console.heard():
        return
    try:
        write_boards(results, api.record_checks(candidates=False), made)
    except BenchError as error:
        console.tell(f"the boards are not written anew: {error.message}")
    except OSError as error:
        console.tell(f"the boards are not written anew: {error.filename}: {error.strerror}")


def check(results: Path, context: Context, form: str) -> list[str]:
    """Show where the kept boards are not what the records say; those lines."""
    differences = check_boards(results, context)
    lines = differences or [f"the boards in {results} are what the records say"]
    console.result(form == "json", {"ok": not differences, "differences": differences}, *lines)
    return differences


def show_claims(results: Path, paper: str, context: Context, form: str) -> None:
    """A paper's claims, judged on the records."""
    verdicts = claims.findings(results, paper, context)
    if form == "json":
        console.answer({"claims": [asdict(verdict) for verdict in verdicts]})
    else:
        console.raw(claims.to_markdown(verdicts))


def show_curves(screened: Screened, which: str | None, reach: float | None, form: str) -> None:
    """Accuracy against cost, of all records or of a data set's."""
    records: Sequence[StoredRecord] = screened.entries
    if which:
        records = [e for e in records if track_of(e.record).name.startswith(f"{which}-")]
    groups = families(records)
    if form == "json":
        unranked = unranked_document(screened.unranked)
        console.answer({"families": cost.document(groups, reach), **unranked})
    elif form == "md":
        console.raw(cost.markdown(groups, reach))
    elif groups:
        cost.show(groups, reach)
    else:
        console.say("no rows at two sizes of a budget; compare --curve makes them")
    if form == "table":
        list_unranked(screened.unranked)


def choose_boards(
    boards: Sequence[B], unranked: Sequence[Unranked], which: str | None, with_papers: bool
) -> tuple[list[B], list[Published] | None]:
    """The boards of a data set, a track or all, and the papers' figures beside them if wanted."""
    papers = None
    if with_papers:
        datasets = [which] if which else sorted({b.track.name.partition("-")[0] for b in boards})
        papers = [paper for dataset in datasets for paper in published(dataset)]
    mine = [item for item in boards if not papers or item.track.name.startswith(f"{which}-")]
    return choose(mine, which if mine or (not papers and not unranked) else None), papers


def show_all(
    boards: Sequence[ShownBoard],
    unranked: Sequence[Unranked],
    papers: Sequence[Published] | None,
    results: Path,
    form: str,
) -> None:
    """Boards, the papers beside them, and the records that none of them ranks."""
    if form == "json":
        more: dict[str, Any] = unranked_document(unranked)
        if papers is not None:
            more = {"published": [asdict(paper) for paper in papers], **more}
        console.answer(document(boards, **more))
        return
    if form == "md":
        console.raw("\n".join(item.markdown for item in boards))
        return
    for paper in papers or ():
        _show_paper(paper)
    if not boards and not unranked:
        console.say(f"no records in {results}")
    for index, board in enumerate(boards):
        if index:
            console.say()
        show(board, board.track.name)
        if board.about:
            console.say(board.about)
        for line in board.more:
            console.say(f"more seeds: {_into(line, results)}")
    list_unranked(unranked)


def _into(line: str, results: Path) -> str:
    """A line of ours with `--results` of this folder, so that what it adds lies beside."""
    words = [word for word in command_words(line) or [] if not word.startswith("--results=")]
    while "--results" in words:
        at = words.index("--results")
        del words[at : at + 2]
    if results == api.results_root(None):
        return command_line(*words)
    return command_line(*words, "--results", results)


def _show_paper(paper: Published) -> None:
    """A paper's rows; they are never ranked with measured ones."""
    columns = ("published", ">mean Pareto, %", ">smallest", ">largest", ">epochs", ">GPU-h", ">$")
    rows = []
    for row in paper.rows:
        area = None if row.mean_pareto is None else f"{row.mean_pareto:.1f}"
        cells = (row.method, area, row.smallest, row.largest, row.epochs, row.gpu_hours)
        rows.append([DASH if cell is None else cell for cell in (*cells, row.dollars)])
    console.table(columns, rows, "")
    if paper.reference:
        console.table(("single net", ">M MACs", ">top-1, %"), paper.reference, "")
    for line in (f"source: {paper.source}", *paper.notes):
        console.say(line)
    console.say()


def show_buckets(boards: Sequence[Board], form: str) -> None:
    """The best net of every row by ranges of MACs."""
    papers = [published(board.track.dataset) for board in boards]
    if form == "json":
        console.answer({"boards": list(map(buckets.ranges_json, boards, papers))})
    elif form == "md":
        console.raw("\n".join(map(buckets.ranges_markdown, boards, papers)))
    elif not boards:
        console.say("no board to show ranges of")
    else:
        for board, beside in zip(boards, papers, strict=True):
            rows = list(buckets.lines_of(buckets.ranges_of(board, beside)))
            console.table(buckets.HEADS, rows, board.track.name)
            for line in (buckets.NOTE, *buckets.notes_of(board, beside)):
                console.say(line)


def readings(boards: Sequence[Board]) -> list[tuple[str, str, list[float]]]:
    """What extras measured: (quantity, row, a number by seed)."""
    rows = [standing.row for board in boards for standing in board.places]
    return readings_of({row.label: [entry.path for entry in row.good] for row in rows})


def show_readings(boards: Sequence[Board]) -> None:
    """One line a quantity and row; nothing where no extra measured."""
    lines = [
        (
            quantity,
            label,
            len(values),
            f"{fmean(values):.4g}",
            f"{stdev(values):.2g}" if len(values) > 1 else DASH,
        )
        for quantity, label, values in readings(boards)
    ]
    if lines:
        columns = ("measured", "row", ">n", ">mean", ">deviation")
        console.table(columns, lines, "what extras measured")
