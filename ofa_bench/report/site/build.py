"""A site of one or several results folders, a track in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ofa_bench import __version__
from ofa_bench.errors import BenchError
from ofa_bench.leaderboard.board import Board
from ofa_bench.leaderboard.board import board as board_of
from ofa_bench.leaderboard.kept_boards import kept_tracks
from ofa_bench.leaderboard.rows import BoardRow
from ofa_bench.records.schema import Record
from ofa_bench.records.store import Store
from ofa_bench.records.truths.store import FOLDER
from ofa_bench.records.validation.validate import UNUSABLE, Context
from ofa_bench.report import compared
from ofa_bench.report.charts import Palette
from ofa_bench.report.page import Links, Sources, track_section
from ofa_bench.report.site.curve_pages import CurvePage, curve_pages
from ofa_bench.report.site.folder import MARKER, marker_text, staged_site
from ofa_bench.report.site.index_page import (
    ResultsIndex,
    counted,
    index_values,
    track_line,
    track_name,
)
from ofa_bench.report.site.pages import (
    DIGITS,
    MethodPages,
    PageWriter,
    member_names,
    packed,
    record_path,
)
from ofa_bench.report.site.record_page import record_section
from ofa_bench.report.site.track_records import TrackRecords, without_root
from ofa_bench.report.tables import Cell, embedded
from ofa_bench.sanitize import plain_text
from ofa_bench.seeding import digest

BROKEN = (BenchError, *UNUSABLE)
PACKED = 100  # records in one file to take away


@dataclass(frozen=True)
class ResultsFolder:
    """A results folder, and what it is called on the site."""

    label: str
    results: Path


@dataclass(frozen=True)
class SiteOptions:
    """The site's name, where pull requests go ("" says nothing), how records are checked, a
    method's card as Markdown, and what is told a line as the work goes on."""

    title: str
    repository: str
    context: Context
    card: Callable[[str], str | None]
    tell: Callable[[str], object]


@dataclass(frozen=True)
class SiteSummary:
    """What was written; `left_out` has the results folder, the file and the reason."""

    pages: int
    bytes: int
    tracks: int
    records: int
    left_out: tuple[tuple[str, str, str], ...]


def write_site(
    folder: Path, collections: Sequence[ResultsFolder], options: SiteOptions
) -> SiteSummary:
    """Write the pages of results folders; the same records give the same bytes.

    Raises BenchError where the folder cannot be written.
    """
    with staged_site(folder) as fresh:
        site = _Site(PageWriter(fresh, options.title), options)
        for item in collections:
            site.add(item)
        return site.finish()


class _Written(NamedTuple):
    """A track whose page is written."""

    text: str
    link: str


class _Site:
    """A site while it is written."""

    def __init__(self, writer: PageWriter, options: SiteOptions) -> None:
        self._writer, self._options = writer, options
        self._methods = MethodPages(options.card)
        self._collections: list[ResultsIndex] = []
        self._paths: set[str] = set()
        writer.assets()

    def add(self, folder: ResultsFolder) -> None:
        """Write the pages of a results folder."""
        tracks, unranked = kept_tracks(folder.results, self._options.context)
        unranked = tuple(
            replace(item, reason=without_root(item.reason, folder.results, folder.label))
            for item in unranked
        )
        records = sum(map(len, tracks.values()))
        self._options.tell(f"{folder.label}: {records:,} on boards, {len(unranked):,} not ranked")
        collection = ResultsIndex(folder.label, left_out=list(map(str, unranked)))
        self._collections.append(collection)
        sources = Sources(lambda record: None, self._options.card)  # no hash covers a run's folder
        curves = curve_pages(tracks, self._free, collection.left_out)
        by_track = {name: family.path for family in curves for name in family.tracks}
        written = {}
        for name, files in tracks.items():
            track = TrackRecords(files, unranked, collection, sources)
            for board in track.boards():
                written[name] = self._board(board, track, by_track.get(name, ""))
        for family in curves:
            self._curves(family, [written[name] for name in family.tracks if name in written])
            collection.links.append(Cell(f"Accuracy against cost: {family.name}", link=family.path))
        self._truths(folder, collection)
        collection.left_out[:] = [
            without_root(line, folder.results, folder.label) for line in collection.left_out
        ]

    def finish(self) -> SiteSummary:
        """Write the pages that are about all of it."""
        writer, repository = self._writer, self._options.repository
        self._methods.write(writer)
        writer.page("submit.html", "submit.html", "How to submit", repository=repository)
        values = index_values(self._collections)
        writer.page("index.html", "index.html", self._options.title, **values)
        writer.file(MARKER, marker_text(f"ofa-bench {__version__}", writer.pages, writer.files))
        left_out = [
            (collection.label, *line.partition(": ")[::2])
            for collection in self._collections
            for line in collection.left_out
        ]
        return SiteSummary(
            pages=writer.pages,
            bytes=writer.bytes,
            tracks=sum(len(collection.lines) for collection in self._collections),
            records=sum(collection.records for collection in self._collections),
            left_out=tuple(left_out),
        )

    def _free(self, room: str, name: str, end: str = ".html") -> str:
        """A path that no file has; a track or row may be in several results folders."""
        number, path = 1, f"{room}/{name}{end}"
        while path in self._paths:
            number += 1
            path = f"{room}/{name}-{number}{end}"
        self._paths.add(path)
        return path

    def _board(self, board: Board, track: TrackRecords, curves: str) -> _Written:
        """Write a track's page and those of its records."""
        path = self._free("tracks", board.track.id[:DIGITS])
        name = track_name(board)
        links = self._records(board, track, _Written(name, path))

        def row_link(row: BoardRow) -> str:
            card = self._methods.path(row.any.method.name)
            return f"../{card}" if card else ""

        palette = Palette(standing.row.label for standing in board.places)
        section = track_section(
            board,
            palette,
            track.sources,
            "t",
            Links(row_link, lambda record: f"../{links[record.sha256]}" * (record.sha256 in links)),
        )
        records = [record for s in board.places for record in compared.records(s.row)]
        rows = counted(len(board.places), "row")
        self._writer.page(
            path,
            "track.html",
            name,
            track=section,
            curves=curves,
            lead=f"{rows}, {counted(len(records), 'run')}, {compared.span(records)}.",
            left_out=list(map(str, board.unranked)),
        )
        track.collection.lines.append(track_line(board, path))
        track.collection.records += len(records)
        return _Written(name, path)

    def _records(self, board: Board, track: TrackRecords, page: _Written) -> dict[str, str]:
        """Write the pages of a board's records; where each is, by its hash."""
        links: dict[str, str] = {}
        new: list[tuple[BoardRow, Record]] = []
        for row in (standing.row for standing in board.places):
            for record in compared.records(row):
                self._methods.seen(record)
                if record_path(record) in self._paths:
                    links[record.sha256] = record_path(record)
                else:
                    new.append((row, record))
        for start in range(0, len(new), PACKED):
            links |= self._archive(board, track, new[start : start + PACKED], page)
        return links

    def _archive(
        self,
        board: Board,
        track: TrackRecords,
        records: list[tuple[BoardRow, Record]],
        page: _Written,
    ) -> dict[str, str]:
        """Write a page each for records of a board, and one file with all of them to take away."""
        members = member_names([record for _, record in records])
        archive = packed([record for _, record in records], members)
        path = self._free("records", board.track.id[:DIGITS], ".tar.xz")
        size, name = f"{math.ceil(len(archive) / 1000)} kB", path.rpartition("/")[2]
        download = Cell(name, size, len(records), link=name)
        links = {}
        for row, record in records:
            if self._record(board, track, row, record, page, download, members[record.sha256]):
                links[record.sha256] = record_path(record)
                self._paths.add(record_path(record))
        if links:
            self._writer.file(path, archive)
        return links

    def _record(
        self,
        board: Board,
        track: TrackRecords,
        row: BoardRow,
        record: Record,
        page: _Written,
        download: Cell,
        member: str,
    ) -> bool:
        """Write a record's page; False where the record cannot be shown alone."""
        entry = track.entry(record)
        try:
            section = record_section(board_of(board.track, [entry]), member)
        except BROKEN as error:
            name = "/".join(entry.path.parts[-3:])
            track.collection.left_out.append(f"{name}: has no page: {plain_text(repr(error))}")
            return False
        self._writer.page(
            record_path(record),
            "record.html",
            f"{row.label}, seed {record.seed}",
            board=page,
            card=self._methods.path(record.method.name),
            download=download,
            **section,
        )
        return True

    def _curves(self, family: CurvePage, tracks: list[_Written]) -> None:
        values = {"chart": family.chart, "crossings": family.crossings, "tracks": tracks}
        self._writer.page(family.path, "curves.html", family.name, **values)

    def _truths(self, folder: ResultsFolder, collection: ResultsIndex) -> None:
        """Write a page for each set of nets that were trained alone."""
        if not (folder.results / FOLDER).is_dir():
            return
        from ofa_bench.leaderboard.truth.columns import tracks as tracks_of_truth
        from ofa_bench.leaderboard.truth.validate import held_truths
        from ofa_bench.report.truth import truth_section

        records, broken = held_truths(Store(folder.results), self._options.context)
        collection.left_out += broken
        for title, group in tracks_of_truth(records).items():
            try:
                section = truth_section(title.strip(), group, "truth")
                embedded(section["chart"].figure)
            except BROKEN as error:
                collection.left_out.append(f"{title.strip()}: {plain_text(repr(error))}")
                continue
            path = self._free("truth", digest([record.sha256 for record in group])[:DIGITS])
            self._writer.page(path, "truth.html", title.strip(), truth=section)
            collection.links.append(Cell(f"Ground truth: {title.strip()}", link=path))
