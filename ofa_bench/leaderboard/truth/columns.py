"""Ground truth as rows and lines that terminal, Markdown and page lay out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count

from ofa_bench.formatting import DASH
from ofa_bench.leaderboard.truth.recorded import SELECT, SUPERNET
from ofa_bench.records.json_text import cell, markdown_table
from ofa_bench.records.truths.schema import PointsRecord, RankingRecord, TauRecord, TruthRecord

HEADS = (
    "ranking",
    ">τ within ranges (95 %)",
    ">τ overall (95 %)",
    ">lost in a range, points",
    ">lost overall, points",
    ">gap, points",
)


def tracks(records: Iterable[TruthRecord]) -> dict[str, list[TruthRecord]]:
    """The records that rank the same nets alone, by the track's title.

    The same: equal images, space and recipe, and the very same runs alone, whose records hold the
    splits and the decoder. Tracks of one title are told apart by their images and a number.
    """
    groups: dict[tuple[object, ...], list[TruthRecord]] = {}
    for record in records:
        groups.setdefault(_track(record), []).append(record)
    titles: dict[str, list[TruthRecord]] = {}
    alike = Counter(title_of(group[0]) for group in groups.values())
    for group in groups.values():
        title = title_of(group[0])
        if alike[title] > 1:
            title += f", images {group[0].data[:8]}"
        names = (title if number == 1 else f"{title} ({number})" for number in count(1))
        titles[next(name for name in names if name not in titles)] = group
    return dict(sorted(titles.items()))


def _track(record: TruthRecord) -> tuple[object, ...]:
    nets = tuple((str(net.subnet), net.alone) for net in record.nets)
    images = (record.dataset, record.data, record.classes, record.images)
    return (*images, record.fingerprint, record.recipe, record.seeds, nets)


def title_of(record: TruthRecord) -> str:
    """What a track's nets alone are."""
    return (
        f"{record.dataset} · {record.space} · {len(record.nets)} nets alone, {record.budget}, "
        + _number(len(record.seeds), "seed")
    )


def _number(value: int, noun: str) -> str:
    return f"{value} {noun}" + ("" if value == 1 else "s")


def lines(records: Sequence[TruthRecord]) -> Iterator[list[str]]:
    """A row for each supernet and each ranking that needs none, the best within ranges first; then
    the noise ceiling."""
    rows = ranked(records)
    rows.sort(key=lambda row: -row[1].within.value)
    for label, ranking in rows:
        yield [
            label,
            estimate(ranking.within),
            estimate(ranking.overall),
            estimate(ranking.regret_within),
            estimate(ranking.regret.get("1")),
            estimate(ranking.gap),
        ]
    first = records[0]
    within, overall = estimate(first.ceiling_within), estimate(first.ceiling)
    yield ["one seed by another", within, overall, DASH, DASH, DASH]


def ranked(records: Sequence[TruthRecord]) -> list[tuple[str, RankingRecord]]:
    """All rankings of a track with their labels; those without a supernet once. A proxy that is
    called as a supernet's row is says that it is one."""
    labels = [supernet_label(record, records) for record in records]
    rows: list[tuple[str, RankingRecord]] = []
    proxies: dict[str, RankingRecord] = {}
    for label, record in zip(labels, records, strict=True):
        names = {SUPERNET: label, SELECT: f"{label}, on select"}
        for ranking in record.rankings:
            if ranking.name in names:
                rows.append((names[ranking.name], ranking))
            else:
                proxies.setdefault(ranking.name, ranking)
    taken = {name for name, _ in rows}
    named = [(f"{name} (proxy)" if name in taken else name, one) for name, one in proxies.items()]
    return rows + named


def supernet_label(record: TruthRecord, records: Sequence[TruthRecord]) -> str:
    """The method of a supernet, with as much more as tells it from the others of its track."""
    same = [other for other in records if other.method == record.method]
    if len(same) == 1:
        return record.method
    label = f"{record.method}, seed {record.supernet_seed}"
    if sum(other.supernet_seed == record.supernet_seed for other in same) > 1:
        label += f", {record.run[-10:]}"
    return label


def estimate(value: TauRecord | PointsRecord | None) -> str:
    """A τ or points with their interval: `0.62 (0.31 to 0.84)`."""
    if value is None:
        return DASH
    return f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})"


def to_markdown(title: str, records: Sequence[TruthRecord]) -> str:
    """A track's rankings as a Markdown table with its caveats; names as plain text."""
    rows = [[cell(text) for text in row] for row in lines(records)]
    text = [f"## {cell(title)}", "", *markdown_table(HEADS, rows), ""]
    return "\n".join([*text, *(f"* {cell(line)}" for line in caveats(records)), ""])


def caveats(records: Sequence[TruthRecord]) -> list[str]:
    """What must be read with a track's rankings, a sentence each."""
    first = records[0]
    used = len(first.nets) - first.left_out
    made = [f"{used} nets in {_number(len(first.ranges), 'range')} of MACs"]
    failed = [net.name for net in first.nets if any(run.status != "ok" for run in net.alone)]
    if failed:
        made.append(
            f"failed and left out of every number: {len(failed)} of {len(first.nets)} nets "
            f"({', '.join(failed[:5])}{', …' if len(failed) > 5 else ''})"
        )
    for record in records:
        outside = sum(not net.trained for net in record.nets)
        if outside:
            made.append(
                f"{record.method} never trained {outside} of the {len(record.nets)} nets as such: "
                "its weights reach them in other combinations"
            )
    if len(first.seeds) == 1:
        made.append("one seed: its noise is in every number, and no interval covers it")
    elif any(ranking.within.high - ranking.within.low > 1.5 for ranking in first.rankings):
        made.append("the seeds differ as much as the nets: the order within ranges cannot be told")
    return list(dict.fromkeys(made))
