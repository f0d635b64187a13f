"""A board as JSON and as Markdown: what `results/boards/` holds."""

from __future__ import annotations

from typing import Any

from ofa_bench.formatting import DASH, spread
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.columns import HEADS, TEXTS, caveats, cells, fine, row_cost
from ofa_bench.leaderboard.cost_axis import MACS
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.leaderboard.stats import Estimate, Pair
from ofa_bench.records.json_text import cell, markdown_table
from ofa_bench.records.store import slug
from ofa_bench.sanitize import code_span


def to_json(board: Board) -> dict[str, Any]:
    """The board as JSON values; accuracies in percent to four decimals, so machines agree."""
    unranked = [{"record": item.name, "reason": item.reason} for item in board.unranked]
    return {
        **({"unranked": unranked} if unranked else {}),
        "track": board.track.name,
        "track_id": board.track.id,
        "dataset": board.track.dataset,
        "space": board.track.space,
        "budget": board.track.budget,
        **({} if board.axis is MACS else {"axis": board.axis.describe()}),
        "range": [board.axis.value(steps) for steps in board.range],
        "delta": board.delta,
        "detectable": fine(board.detectable),
        "provisional": board.provisional,
        "rows": [row_json(standing) for standing in board.places],
        "pairs": [
            {"row": a, "against": b, **pair_json(pair)} for (a, b), pair in board.pairs.items()
        ],
        "more": list(board.more),
    }


def row_json(standing: Standing) -> dict[str, Any]:
    row = standing.row
    reproduced = [
        {"seed": seed, "machines": list(machines)} for seed, machines in row.reproduced.items()
    ]
    return {
        "row_id": row.id,
        "label": row.label,
        "method": row.any.method.name,
        "composition": row.any.method.composition,
        "ok": len(row.good),
        "n": row.n,
        "seeds": list(row.seeds),
        "failed": [{"seed": r.seed, "status": r.status, "error": r.error} for r in row.failed],
        "mean_pareto_accuracy": estimate_json(standing.accuracy),
        "own_range": estimate_json(row.own_range() if row.good else None),
        "failures_as_chance": fine(standing.with_failures),
        **{
            name: fine(row.mean("summary", name))
            for name in (
                "mean_pareto_accuracy_paper",
                "largest_top1",
                "smallest_top1",
                "selection_bonus",
            )
        },
        "coverage": {
            **{name: _end(row, name) for name in ("low", "high")},
            "share": fine(row.mean("summary", "coverage", "share")),
        },
        "cost": row_cost(row),
        "rank": standing.rank,
        "provisional": standing.provisional,
        "front": standing.front,
        "greyed_by": list(standing.greyed_by),
        "notes": list(row.notes),
        **({"reproduced": reproduced} if reproduced else {}),
    }


def _end(row: BoardRow, name: str) -> float | None:
    """The cheapest or dearest candidate's cost, in the axis' unit."""
    steps = row.mean("summary", "coverage", name)
    return None if steps is None else fine(row.axis.value(steps))


def estimate_json(estimate: Estimate | None) -> dict[str, float | None]:
    """Mean and interval; nulls where there is none."""
    return {name: fine(getattr(estimate, name, None)) for name in ("mean", "low", "high")}


def pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "verdict": pair.verdict,
        "difference": fine(pair.difference),
        "low": fine(pair.low),
        "high": fine(pair.high),
        "paired": pair.paired,
        "resolution": fine(pair.resolution),
        "detectable": fine(pair.detectable),
    }


def to_markdown(board: Board) -> str:
    """The board as a Markdown page; texts from records are shown, never interpreted."""
    rows = [_cells(standing) for standing in board.places]
    parts = [
        f"# {cell(board.track.name)}",
        _preface(board),
        "\n".join(markdown_table(HEADS, rows)),
        _verdicts(board),
        _notes(board),
        _unranked(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _preface(board: Board) -> str:
    low, high = (value / 1e6 for value in board.range)
    budgets = f"{low:.4g} to {high:.4g} M MACs"
    if board.axis is not MACS:
        budgets = f"{board.axis.span(*board.range)} ({cell(board.axis.about)})"
    return (
        f"Mean Pareto accuracy over budgets {budgets}, the range that all "
        f"rows cover. Rank = 1 + the rows that beat it; {board.detectable_text}. "
        "Claims are about this test set, and must exceed its own noise. No worse: a loss of less "
        f"than {board.delta:g} points is sure. Made by `ofa-bench board` from records; do not edit."
    )


def _cells(standing: Standing) -> list[str]:
    shown = []
    for head, item in cells(standing).items():
        shown.append(cell(item.text) if head in TEXTS else str(item))
    if standing.greyed_by:
        shown[1] = f"*{shown[1]}* (greyed)"
    return shown


def _verdicts(board: Board) -> str:
    able = [standing.row for standing in board.places if standing.row.good]
    if len(able) < 2:
        return ""
    lines = []
    for a in able:
        pairs = [DASH if a.id == b.id else _pair_text(board.pairs[a.id, b.id]) for b in able]
        lines.append([cell(a.label), *pairs])
    heads = ["row against column", *(cell(row.label) for row in able)]
    return "\n".join(markdown_table(heads, lines))


def _pair_text(pair: Pair) -> str:
    if pair.low is None or pair.high is None:
        return f"{pair.difference:+.2f}, undecided"
    paired = ", paired" if pair.paired else ""
    return f"{pair.verdict}: {pair.difference:+.2f} ({spread(pair.low, pair.high)}{paired})"


def _notes(board: Board) -> str:
    lines = caveats(board, cell)
    methods = [standing.row.any.method for standing in board.places]
    # A mere composition has no card, and a stranger's name may be anything.
    named = {m.name for m in methods if m.name != m.composition and slug(m.name) == m.name}
    cards = ", ".join(f"`ofa-bench show --card {name}`" for name in sorted(named))
    lines += [f"How faithful each method is to its paper: {cards}."] if cards else []
    lines += [f"More seeds: {code_span(line)}" for line in board.more]
    return "\n".join(f"* {line}" for line in lines)


def _unranked(board: Board) -> str:
    if not board.unranked:
        return ""
    lines = [f"* {cell(item.name)}: {cell(item.reason)}" for item in board.unranked]
    return "\n".join(["Not ranked:", "", *lines])
