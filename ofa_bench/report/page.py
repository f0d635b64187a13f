"""The page itself: sections of a track, and the template that holds them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from markupsafe import Markup

from ofa_bench.errors import BenchError
from ofa_bench.leaderboard.board import Board, separated
from ofa_bench.leaderboard.board import board as board_of
from ofa_bench.leaderboard.published import published
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.records.schema import Record
from ofa_bench.records.store import StoredRecord
from ofa_bench.records.truths.schema import TruthRecord
from ofa_bench.records.validation.validate import UNUSABLE
from ofa_bench.report import board_section, compared, training
from ofa_bench.report.charts import Chart, Palette
from ofa_bench.report.fronts import fronts_chart, price_chart
from ofa_bench.report.spending import spending_chart
from ofa_bench.report.tables import embedded
from ofa_bench.report.templating import environment, rendered_card, source
from ofa_bench.report.training import Metered

T = TypeVar("T")


@dataclass(frozen=True)
class Sources:
    """What records do not hold: a run's meter's lines, and a method's card as Markdown."""

    meter: Callable[[Record], Metered | None]
    card: Callable[[str], str | None]


@dataclass(frozen=True)
class Links:
    """Where the names in a track's tables lead: a row of the board, a record; "" is nowhere. A
    board with links stands on a page of its own, where it can be filtered."""

    row: Callable[[BoardRow], str] | None = None
    record: Callable[[Record], str] | None = None


NO_LINKS = Links()


def page(
    boards: Sequence[Board],
    sources: Sources,
    pair: tuple[Record, Record] | None = None,
    unread: Sequence[str] = (),
    truths: Sequence[TruthRecord] = (),
) -> str:
    """One HTML page that needs no network; `pair` are two records to hold against each other,
    `unread` the files that could not be, `truths` what is known of rankings of these tracks."""
    palette = Palette(standing.row.label for board in boards for standing in board.places)
    entries = [
        entry for board in boards for standing in board.places for entry in standing.row.good
    ]
    failed = [record for b in boards for standing in b.places for record in standing.row.failed]
    return _written(
        "page.html",
        tracks=[track_section(board, palette, sources, f"t{n}") for n, board in enumerate(boards)],
        cards=_cards(boards, sources),
        records=len(entries) + len(failed),
        span=compared.span([*(entry.record for entry in entries), *failed]),
        pair=compared.difference_table(*pair) if pair else None,
        unread=list(unread),
        truths=_truths(truths),
    )


def _truths(records: Sequence[TruthRecord]) -> list[dict[str, Any]]:
    if not records:
        return []
    from ofa_bench.leaderboard.truth.columns import tracks
    from ofa_bench.report.truth import truth_section

    groups = tracks(records).items()
    return [truth_section(*group, f"truth{number}") for number, group in enumerate(groups)]


def showable(boards: Sequence[Board], sources: Sources) -> tuple[list[Board], list[str]]:
    """The boards without the records that break a page, and a line for each of those."""
    shown: list[Board] = []
    lines: list[str] = []
    for board in boards:
        try:
            page_of_track(board, sources)
            shown.append(board)
        except (BenchError, *UNUSABLE):
            entries = [entry for standing in board.places for entry in standing.row.good]
            kept, broken = separated(
                entries,
                lambda kept: page_of_track(_again(board, kept), sources),  # noqa: B023
            )
            lines += map(str, broken)
            if kept:
                shown.append(_again(board, kept))
    return shown, lines


def _again(board: Board, entries: Sequence[StoredRecord]) -> Board:
    """The board of some of its records."""
    return board_of(board.track, entries, board.delta, board.unranked, board.axis)


def page_of_track(board: Board, sources: Sources) -> None:
    """Lay out a track's part of a page, to learn whether it can be."""
    palette = Palette(standing.row.label for standing in board.places)
    charts = track_section(board, palette, sources, "t0")["charts"].values()
    embedded([chart.figure for chart in charts if chart is not None])


def track_section(
    board: Board, palette: Palette, sources: Sources, key: str, links: Links = NO_LINKS
) -> dict[str, Any]:
    """What a page says of a track: its tables, charts and words, by the names in `track_body`."""
    papers = published(board.track.dataset)
    rated = _by_label(board, lambda record: record.rates)
    charts: dict[str, Chart | None] = {"spending": spending_chart(board, key)}
    if any(standing.row.good for standing in board.places):
        charts["price"] = price_chart(board, palette, key)
        charts["fronts"] = fronts_chart(board, papers, palette, key)
        charts["curves"] = training.curves_chart(board, palette, key)
    charts["rates"] = training.rates_chart(rated, palette, key)
    charts["interference"] = training.interference_chart(
        _by_label(board, sources.meter), palette, key
    )
    return {
        "key": key,
        "name": compared.title(board),
        "facts": compared.facts(board),
        "preface": board_section.preface(board),
        "leaderboard": board_section.leaderboard(board, links.row),
        "pairs": board_section.pairs(board),
        "buckets": board_section.best_by_macs(board, papers),
        "caveats": board_section.caveats(board),
        "more": list(board.more),
        "papers": [(paper, board_section.paper_table(paper)) for paper in papers],
        "charts": charts,
        "without_rates": [s.row.label for s in board.places if s.row.label not in rated],
        "readings": compared.readings(board),
        "candidates": board_section.candidates(board),
        "environment": compared.environment(board),
        "policies": compared.policies(board),
        "kept": compared.kept(board, links.record),
    }


def _by_label(board: Board, get: Callable[[Record], T | None]) -> dict[str, T]:
    """By row's label, what its first record that has some has; rows without are left out."""
    values: dict[str, T] = {}
    for row in (standing.row for standing in board.places):
        first = next(filter(None, map(get, compared.records(row))), None)
        if first is not None:
            values[row.label] = first
    return values


def _cards(boards: Sequence[Board], sources: Sources) -> Mapping[str, Markup]:
    names = {standing.row.any.method.name for board in boards for standing in board.places}
    texts = {name: sources.card(name) for name in sorted(names)}
    return {name: rendered_card(text) for name, text in texts.items() if text is not None}


def _written(template: str, **values: Any) -> str:
    templates = environment()
    scripts = [source(templates, name) for name in ("charts.js", "page.js")]
    # A script's place in the Content-Security-Policy is its hash, so that no other runs.
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    return templates.get_template(template).render(
        scripts=[Markup(script) for script in scripts],
        policy=" ".join(f"'sha256-{digest.decode()}'" for digest in digests),
        style=Markup(source(templates, "style.css")),
        **values,
    )
