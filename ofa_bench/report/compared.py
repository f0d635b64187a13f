"""What was compared, and where it ran: facts of a track that every reader should check first; what
extras measured, and where two records differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean, stdev
from typing import Any

from ofa_bench.formatting import DASH, count, percent
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.reproduction import differences
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.recipe.fingerprint import decoder_id
from ofa_bench.records.extra_metrics import table as readings_of
from ofa_bench.records.schema import PolicyRecord, Record, own_hash
from ofa_bench.records.track import number as number_of
from ofa_bench.records.track import table as table_of
from ofa_bench.report.tables import LONGEST, Cell, HtmlTable, number, shown, table, word

RULES = {
    "paper": "each method's published length",
    "epochs": "the same epochs for every method",
    "matched": "the same training MACs for every method",
}


def facts(board: Board) -> list[tuple[str, str]]:
    """Term and description; texts are plain, not yet escaped."""
    record = board.places[0].row.any
    task, science = record.task, record.science
    splits, optim = task.splits, table_of(science, "optim")
    evaluate = table_of(science, "evaluate")
    sizes = " / ".join(f"{s.count:,}" for s in (splits.train, splits.select, splits.test))
    budget = table_of(science, "budget")
    rule = str(budget.get("rule", "paper"))
    places = ", ".join(f"{standing.row.label} {standing.row.n}" for standing in board.places)
    pairs = [
        ("data set", f"{task.dataset}, {task.classes} classes"),
        ("images: train / select / test", sizes),
        ("space", f"{task.space.name}, {board.axis.span(*board.range)}"),
        ("budget", f"{budget_text(board)}: {RULES.get(rule, rule)}"),
        ("seeds a row", places),
        (
            "candidates",
            f"smallest, largest, uniform nets, {task.candidates.per_bucket} in each "
            f"of {number_of(evaluate, 'buckets', 0):.0f} equal ranges of MACs",
        ),
        ("resolutions", ", ".join(map(str, task.resolutions))),
        ("batch", f"{optim.get('batch', DASH)}, norms see {optim.get('norm_batch', DASH)}"),
        ("precision", str(science.get("precision", DASH))),
        ("augmentation", options(table_of(science, "augment"))),
        ("decoder", decoder_id(**task.decoder.model_dump()) if task.decoder else DASH),
        ("“no worse” means", f"a loss of less than {board.delta:g} points is sure"),
        ("track", board.track.id),
    ]
    return [(term, word(text, limit=LONGEST).text) for term, text in pairs]


def title(board: Board) -> list[str]:
    """What a track is called: data set, space, budget."""
    names = (board.track.dataset, board.track.space, budget_text(board))
    return [word(name, limit=80).text for name in names]


def budget_text(board: Board) -> str:
    """The budget as people say it: `paper×0.037`."""
    return board.track.budget.replace("-x", "×")


def options(values: Mapping[str, Any]) -> str:
    """`name value` between commas."""
    return ", ".join(f"{name} {value}" for name, value in values.items()) or DASH


def environment(board: Board) -> HtmlTable:
    """Every machine a row ran on."""
    lines: dict[tuple[Any, ...], list[Record]] = {}
    for standing in board.places:
        for record in records(standing.row):
            machine = record.machine
            made = (
                standing.row.label,
                machine.model_dump_json(),
                record.run.commit,
                record.run.dirty,
            )
            lines.setdefault(made, []).append(record)
    heads = ["row", ">seeds", "device", ">cores", ">threads", "torch", "python", "platform"]
    heads += ["allocator", "layout", "commit"]
    rows = [_machine(str(made[0]), accuracy) for made, accuracy in lines.items()]
    return table("Environment", heads, rows)


def _machine(name: str, group: list[Record]) -> list[Cell]:
    machine, run = group[0].machine, group[0].run
    model = f"{machine.gpus} × {machine.gpu}" if machine.gpu else machine.cpu
    commit = (run.commit or DASH)[:12] + (", changed since" if run.dirty else "")
    return [
        word(name, "name"),
        word(", ".join(str(record.seed) for record in group)),
        word(model),
        number(machine.cores, "d"),
        number(machine.threads, "d"),
        word(machine.torch),
        word(machine.python),
        word(machine.platform),
        word(machine.allocator),
        word(machine.memory_format),
        word(commit),
    ]


def policies(board: Board) -> HtmlTable:
    lines = []
    for standing in board.places:
        method = standing.row.any.method
        extras = [("extra", extra) for extra in method.extras]
        for family, policy in [*method.policies.items(), *extras]:
            lines.append(_policy(standing.row.label, family, policy))
        for wrapper in method.wrappers:
            lines.append([word(standing.row.label, "name"), word("wraps"), word(wrapper)])
    heads = ["row", "family", "policy", "options", "from", "hash of its code"]
    filled = [[*line, *[Cell("")] * (len(heads) - len(line))] for line in lines]
    return table("Policies as they ran", heads, filled)


def _policy(name: str, family: str, policy: PolicyRecord) -> list[Cell]:
    return [
        word(name, "name"),
        word(family),
        word(policy.name),
        word(options(policy.options), "wide", LONGEST),
        word(f"{policy.distribution} {policy.version}".strip()),
        word(policy.source.hash[:16], "mono"),
    ]


def kept(board: Board, link: Callable[[Record], str] | None = None) -> HtmlTable:
    """The records behind the board, and whether each still is what it says of itself; with links,
    they can be filtered too."""
    lines = [
        _kept(standing.row, record, link(record) if link else "")
        for standing in board.places
        for record in records(standing.row)
    ]
    heads = ("row", ">seed", "run", "status", ">mean Pareto, %", ">MACs", "own hash", "command")
    return table("Records", heads, lines, True, bool(link))


def _kept(row: BoardRow, record: Record, link: str) -> list[Cell]:
    accuracy = record.summary.mean_pareto_accuracy if record.summary else None
    holds = own_hash(record) == record.sha256
    return [
        word(row.label, "name"),
        number(record.seed, "d"),
        Cell(word(record.run.id).text, mark="mono", link=link),
        word(record.status, "" if record.status == "ok" else "failed"),
        shown(percent(accuracy), accuracy),
        shown(count(record.cost.train_macs), record.cost.train_macs),
        Cell(record.sha256[:16], "" if holds else "does not hold", None, "mono"),
        word(record.run.command, "wide", LONGEST),
    ]


def records(row: BoardRow) -> Iterable[Record]:
    """All seeds of a row, those with numbers first."""
    return [*(entry.record for entry in row.good), *row.failed]


def span(group: Iterable[Record]) -> str:
    """From the first day of the runs to the last."""
    days = sorted(word(record.run.finished).text[:10] for record in group)
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def readings(board: Board) -> HtmlTable | None:
    """Each quantity of each row, over its seeds; None where no extra measured."""
    rows = [standing.row for standing in board.places]
    readings = readings_of({row.label: [entry.path for entry in row.good] for row in rows})
    lines = [
        [
            word(quantity),
            word(label, "name"),
            number(len(values), "d"),
            number(fmean(values), ".4g"),
            number(stdev(values) if len(values) > 1 else None, ".2g"),
        ]
        for quantity, label, values in readings
    ]
    heads = ["measured", "row", ">n", ">mean", ">deviation"]
    return table("What extras measured", heads, lines) if lines else None


def difference_table(first: Record, second: Record) -> HtmlTable:
    """The fields in which two records differ, each value on one line."""
    heads = ("field", word(first.run.id).text, word(second.run.id).text)
    lines = []
    for path, *values in differences(first, second):
        texts = [DASH if value is None else value for value in values]
        lines.append([word(path, "mono"), *(word(text, "wide", LONGEST) for text in texts)])
    return table("Fields in which the two records differ", heads, lines, True, True)
