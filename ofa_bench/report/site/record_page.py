"""A record's page: what the run was, what came out, what it cost, and how to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ofa_bench.formatting import DASH, count, duration, money, percent
from ofa_bench.leaderboard.board import Board
from ofa_bench.records.pareto import front
from ofa_bench.records.schema import Record
from ofa_bench.report import compared, training
from ofa_bench.report.charts import Chart, Palette
from ofa_bench.report.fronts import fronts_chart
from ofa_bench.report.spending import spending_chart
from ofa_bench.report.tables import LONGEST, HtmlTable, embedded, number, shown, table, word
from ofa_bench.sanitize import LONGEST_LINE, command_line, command_words

ABOUT = {  # one run has no mean over seeds
    "fronts": "Test accuracy of the net that was best on held-out images within the budget. The "
    "mean height of the line is the run's mean Pareto accuracy.",
    "curves": "Top-1 on held-out images. Solid: the largest net; dotted: the smallest.",
    "spending": "Phases from left to right. A trained pass counts three forward passes, the "
    "teacher's and the probes' one.",
}
Facts = list[tuple[str, str]]


def record_section(board: Board, member: str) -> dict[str, Any]:
    """What a page says of the one record of a board, by the names in its template; `member` is
    the record's file in its archive."""
    row = board.places[0].row
    record = row.any
    charts = _charts(board)
    embedded([chart.figure for chart in charts.values() if chart is not None])
    return {
        "error": f"{record.status}: {record.error or 'no reason is kept'}" if row.failed else "",
        "result": _result(board, record),
        "charts": charts,
        "deployed": _deployed(record) if row.good else None,
        "composition": word(record.method.composition).text,
        "policies": _without_row(compared.policies(board)),
        "recipe": _recipe(record),
        "cost": _cost(record),
        "machine": _machine(record),
        "identity": _identity(record),
        "reproduce": command_line("ofa-bench", "reproduce", member),
        "command": _command(record),
    }


def _charts(board: Board) -> dict[str, Chart | None]:
    row = board.places[0].row
    palette, by_label = Palette([row.label]), {row.label: row.any}
    rates = {name: record.rates for name, record in by_label.items() if record.rates is not None}
    charts = {
        "fronts": fronts_chart(board, (), palette, "run") if row.good else None,
        "spending": spending_chart(board, "run"),
        "curves": training.curves_chart(board, palette, "run") if row.good else None,
        "rates": training.rates_chart(rates, palette, "run"),
    }
    return {name: chart and _of_one_run(name, chart) for name, chart in charts.items()}


def _of_one_run(name: str, chart: Chart) -> Chart:
    """A chart whose words and table do not speak of rows."""
    numbers = chart.table if name == "fronts" else _without_row(chart.table)
    return replace(chart, about=ABOUT.get(name, chart.about), table=numbers)


def _without_row(whole: HtmlTable) -> HtmlTable:
    """A table of one row of the board, without its name on each line."""
    return replace(whole, heads=whole.heads[1:], rows=tuple(row[1:] for row in whole.rows))


def _facts(*pairs: tuple[str, object]) -> Facts:
    """Terms with a description; those without one are left out."""
    return [(term, word(text, limit=LONGEST).text) for term, text in pairs if text is not None]


def _result(board: Board, record: Record) -> Facts:
    summary, task = record.summary, record.task
    about = _facts(
        ("data set", task.dataset),
        ("space", f"{task.space.name}, {board.axis.span(*board.range)}"),
        ("budget", compared.budget_text(board)),
        ("seed", record.seed),
        ("status", record.status),
    )
    if summary is None:
        return about
    return about + _facts(
        ("mean Pareto accuracy", f"{percent(summary.mean_pareto_accuracy)} %"),
        ("largest net", f"{percent(summary.largest_top1)} %"),
        ("smallest net", f"{percent(summary.smallest_top1)} %"),
        ("nets evaluated", f"{len(record.scores):,}"),
        ("share of the budgets covered", f"{summary.coverage.share:.0%}"),
        ("selection bonus", f"{summary.selection_bonus:+.2f} points"),
    )


def _deployed(record: Record) -> HtmlTable:
    scores = [record.scores[tread.candidate] for tread in front(record.scores)]
    lines = [
        [
            word(score.name, "mono"),
            shown(count(score.macs), score.macs),
            shown(count(score.params), score.params),
            number(score.top1_select, ".2f"),
            number(score.top1_test, ".2f"),
        ]
        for score in scores
    ]
    heads = ("net", ">MACs", ">params", ">top-1 select, %", ">top-1 test, %")
    return table("Best on held-out images for each budget", heads, lines)


def _recipe(record: Record) -> list[str]:
    """The training configuration, a line a key, with what set it where that was no default."""
    lines = []
    for path, value in _leaves(record.science):
        by = record.origins.get(path)
        lines.append(f"{path} = {value}" + (f"  # {by}" if by else ""))
    return [word(line, limit=LONGEST).text for line in lines]


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        elif value not in (None, [], ()):
            yield f"{path}{name}", value


def _cost(record: Record) -> Facts:
    cost, ancestor = record.cost, record.ancestor
    before = None
    if ancestor is not None:
        macs = DASH if ancestor.train_macs is None else count(ancestor.train_macs)
        before = f"{macs} MACs for {ancestor.run}, whose {ancestor.name} it is"
    return _facts(
        ("training MACs", count(cost.train_macs)),
        ("on top of", before),
        ("passes of subnets", count(cost.subnet_passes)),
        ("images", count(cost.images)),
        ("device time", duration(cost.device_seconds)),
        ("time on the clock", duration(cost.wall_seconds)),
        ("waiting for data", f"{cost.waiting_share:.1%}"),
        ("final evaluation", duration(cost.beside.evaluation_seconds)),
        ("peak memory", f"{count(cost.peak_bytes)}B"),
        ("price", None if cost.usd is None else f"$ {money(cost.usd)}"),
    )


def _machine(record: Record) -> Facts:
    machine, run = record.machine, record.run
    changed = {True: ", changed since", False: "", None: ""}[run.dirty]
    return _facts(
        ("device", f"{machine.gpus} × {machine.gpu}" if machine.gpu else machine.cpu),
        ("cores, threads", f"{machine.cores}, {machine.threads}"),
        ("precision", record.science.get("precision", DASH)),
        ("torch", machine.torch),
        ("python", machine.python),
        ("platform", machine.platform),
        ("memory", f"{machine.memory_format}, {machine.allocator}"),
        ("started", run.started),
        ("finished", run.finished),
        ("code", None if run.commit is None else f"{run.commit[:40]}{changed}"),
    )


def _identity(record: Record) -> Facts:
    decoder = record.task.decoder
    return _facts(
        ("run", record.run.id),
        ("hash of the record", record.sha256),
        ("row", record.row_id),
        ("row and seed", record.run_id),
        ("hash of the weights", record.weights_sha256),
        ("hash of the data set", record.task.dataset_hash),
        ("space", record.task.space.fingerprint),
        ("decoder", decoder and f"{decoder.name} {decoder.version}, JPEG {decoder.jpeg}"),
    )


def _command(record: Record) -> str:
    """The command that the record names, quoted so that it can be pasted; "" for another's."""
    words = command_words(record.run.command)
    if words is None or words[:1] != ["ofa-bench"]:
        return ""
    line = command_line(*words)
    return line if len(line) <= LONGEST_LINE else ""
