"""A board as JSON and as Markdown: what `results/boards/` holds."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor
from typing import Any

from ofa_bench.formatting import DASH, count, duration, interval, percent, spread
from ofa_bench.leaderboard.board import Board, Standing
from ofa_bench.leaderboard.rows import WAITING, BoardRow
from ofa_bench.leaderboard.stats import Estimate, Pair
from ofa_bench.records.json_text import cell
from ofa_bench.records.store import slug
from ofa_bench.sanitize import code_span

REPRODUCED = " ✓"  # after the name of a row of which a rerun reproduced a seed
_HEADS = (
    "rank",
    "method",
    "composition",
    "ok/n",
    "mean Pareto accuracy, % (95 %)",
    "over its own range",
    "largest",
    "smallest",
    "coverage",
    "training MACs",
    "device time",
    "$",
    "time/epoch",
    "waiting",
    "selection bonus",
)


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
        "range": list(board.range),
        "delta": board.delta,
        "detectable": _fine(board.detectable),
        "provisional": board.provisional,
        "rows": [row_json(standing) for standing in board.places],
        "pairs": [
            {"row": a, "against": b, **pair_json(pair)} for (a, b), pair in board.pairs.items()
        ],
        "more": list(board.more),
    }


def row_json(standing: Standing) -> dict[str, Any]:
    """One row as JSON values."""
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
        "failures_as_chance": _fine(standing.with_failures),
        **{
            name: _fine(row.mean("summary", name))
            for name in (
                "mean_pareto_accuracy_paper",
                "largest_top1",
                "smallest_top1",
                "selection_bonus",
            )
        },
        "coverage": {
            name: _fine(row.mean("summary", "coverage", name)) for name in ("low", "high", "share")
        },
        "cost": cost_json(row),
        "rank": standing.rank,
        "provisional": standing.provisional,
        "front": standing.front,
        "greyed_by": list(standing.greyed_by),
        "notes": list(row.notes),
        **({"reproduced": reproduced} if reproduced else {}),
    }


def cost_json(row: BoardRow) -> dict[str, Any]:
    """What a run of this row cost, on average over its good seeds; $ whole, rounded down."""
    device, epochs = row.mean("cost", "device_seconds"), _epochs(row)
    usd, waiting = row.mean("cost", "usd"), row.mean("cost", "waiting_share")
    return {
        "train_macs": _whole(row.mean("cost", "train_macs")),
        "subnet_passes": _whole(row.mean("cost", "subnet_passes")),
        "images": _whole(row.mean("cost", "images")),
        "device_seconds": _fine(device),
        "device_hours": None if device is None else float(f"{device / 3600:.6g}"),
        "wall_seconds": _fine(row.mean("cost", "wall_seconds")),
        "usd": None if usd is None else floor(usd + 1e-9),
        "epochs": _fine(epochs),
        "minutes_per_epoch": _fine(device / 60 / epochs) if device and epochs else None,
        "waiting_share": _fine(waiting),
        "comparable_hours": waiting is not None and waiting <= WAITING,
        "peak_bytes": _whole(row.mean("cost", "peak_bytes")),
        "device": sorted({entry.record.machine.model for entry in row.good}),
    }


def estimate_json(estimate: Estimate | None) -> dict[str, float | None]:
    """Mean and interval; nulls where there is none."""
    if estimate is None:
        return {"mean": None, "low": None, "high": None}
    return {
        "mean": _fine(estimate.mean),
        "low": _fine(estimate.low),
        "high": _fine(estimate.high),
    }


def pair_json(pair: Pair) -> dict[str, Any]:
    """One comparison as JSON values."""
    return {
        "verdict": pair.verdict,
        "difference": _fine(pair.difference),
        "low": _fine(pair.low),
        "high": _fine(pair.high),
        "paired": pair.paired,
        "resolution": _fine(pair.resolution),
        "detectable": _fine(pair.detectable),
    }


def to_markdown(board: Board) -> str:
    """The board as a Markdown page; texts from records are shown, never interpreted."""
    rows = [_table_row(_cells(standing)) for standing in board.places]
    parts = [
        f"# {cell(board.track.name)}",
        _preface(board),
        "\n".join([_table_row(_HEADS), _table_row(["---"] * len(_HEADS)), *rows]),
        _verdicts(board),
        _notes(board),
        _unranked(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _preface(board: Board) -> str:
    low, high = (value / 1e6 for value in board.range)
    return (
        f"Mean Pareto accuracy over budgets {low:.4g} to {high:.4g} M MACs, the range that all "
        f"rows cover. Rank = 1 + the rows that beat it; {board.detectable_text}. "
        "Claims are about this test set, and must exceed its own noise. No worse: a loss of less "
        f"than {board.delta:g} points is sure. Made by `ofa-bench board` from records; do not edit."
    )


def _cells(standing: Standing) -> list[str]:
    row, values = standing.row, row_json(standing)
    cost, share = values["cost"], values["coverage"]["share"]
    name = cell(row.label) + (REPRODUCED if row.reproduced else "")
    time = duration(cost["device_seconds"]) + ("" if cost["comparable_hours"] else " †")
    return [
        standing.rank_text,
        f"*{name}* (greyed)" if standing.greyed_by else name,
        cell(values["composition"]),
        f"{values['ok']}/{values['n']}",
        _accuracy_text(standing),
        _text(values["own_range"]["mean"], ".2f"),
        _text(values["largest_top1"], ".2f"),
        _text(values["smallest_top1"], ".2f"),
        _text(share, ".0%"),
        count(cost["train_macs"]),
        time if row.good else DASH,
        _text(cost["usd"], "d"),
        time_per_epoch(cost),
        _text(cost["waiting_share"], ".1%"),
        _text(values["selection_bonus"], "+.2f"),
    ]


def _verdicts(board: Board) -> str:
    able = [standing.row for standing in board.places if standing.row.good]
    if len(able) < 2:
        return ""
    lines = [_table_row(["row against column", *(cell(row.label) for row in able)])]
    lines.append(_table_row(["---"] * (len(able) + 1)))
    for a in able:
        pairs = [DASH if a.id == b.id else _pair_text(board.pairs[a.id, b.id]) for b in able]
        lines.append(_table_row([cell(a.label), *pairs]))
    return "\n".join(lines)


def _pair_text(pair: Pair) -> str:
    if pair.low is None or pair.high is None:
        return f"{pair.difference:+.2f}, undecided"
    paired = ", paired" if pair.paired else ""
    return f"{pair.verdict}: {pair.difference:+.2f} ({spread(pair.low, pair.high)}{paired})"


def _notes(board: Board) -> str:
    lines = [f"{line}." for line in board.order_caveats(cell)]
    for standing in board.places:
        name = cell(standing.row.label)
        lines += [f"{name}: {cell(note)}." for note in standing.row.notes]
        if standing.with_failures is not None:
            lines.append(
                f"{name}: {standing.with_failures:.2f} % with failed seeds counted as chance; "
                "a row with failed seeds beats none."
            )
        lines += [f"✓ {name}: {cell(line)}." for line in reproduced_lines(standing.row)]
        if standing.greyed_by:
            by = ", ".join(cell(label) for label in standing.greyed_by)
            lines.append(f"{name} is greyed: {by} is no worse and cheaper.")
        if standing.row.good and not cost_json(standing.row)["comparable_hours"]:
            lines.append(f"† {name} waited for data: its hours are not comparable.")
    methods = [standing.row.any.method for standing in board.places]
    # A mere composition has no card, and a stranger's name may be anything.
    named = {m.name for m in methods if m.name != m.composition and slug(m.name) == m.name}
    cards = ", ".join(f"`ofa-bench show --card {name}`" for name in sorted(named))
    lines += [f"How faithful each method is to its paper: {cards}."] if cards else []
    lines += [f"More seeds: {code_span(line)}" for line in board.more]
    return "\n".join(f"* {line}" for line in lines)


def reproduced_lines(row: BoardRow) -> list[str]:
    """Which seeds of a row were reproduced, and where."""
    return [
        f"seed {seed} was reproduced on {', '.join(machines)}"
        for seed, machines in row.reproduced.items()
    ]


def _unranked(board: Board) -> str:
    if not board.unranked:
        return ""
    lines = [f"* {cell(item.name)}: {cell(item.reason)}" for item in board.unranked]
    return "\n".join(["Not ranked:", "", *lines])


def time_per_epoch(cost: Mapping[str, Any]) -> str:
    """Device time of an epoch, from a row's cost as JSON values."""
    minutes = cost["minutes_per_epoch"]
    return DASH if minutes is None else duration(minutes * 60)


def _epochs(row: BoardRow) -> float | None:
    totals = [sum(p.epochs for p in entry.record.cost.phases) for entry in row.good]
    return sum(totals) / len(totals) if totals else None


def _accuracy_text(standing: Standing) -> str:
    accuracy = standing.accuracy
    if accuracy is None:
        return DASH
    if accuracy.low is None:
        return percent(accuracy.mean)
    limits = interval(accuracy.low, accuracy.high, len(standing.row.good))
    return f"{percent(accuracy.mean)} ({limits})"


def _table_row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: float | None, form: str) -> str:
    return DASH if value is None else format(value, form)


def _fine(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
