"""The records of one track, read when its turn comes, and the board that can be shown of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.board import Board, boards_of
from ofa_bench.leaderboard.known_records import KnownFile
from ofa_bench.leaderboard.screening import Screened, Unranked
from ofa_bench.records.schema import Record
from ofa_bench.records.store import StoredRecord
from ofa_bench.report.page import Sources, showable
from ofa_bench.report.site.index_page import ResultsIndex
from ofa_bench.sanitize import plain_text


class TrackRecords:
    """The records of one track, read when its turn comes."""

    def __init__(
        self,
        files: Iterable[KnownFile],
        unranked: tuple[Unranked, ...],
        collection: ResultsIndex,
        sources: Sources,
    ) -> None:
        self.collection, self.sources = collection, sources
        entries = read_entries(files, collection.left_out)
        self._unranked = unranked
        self._entries = {entry.record.sha256: entry for entry in entries}

    def entry(self, record: Record) -> StoredRecord:
        """A record of a board with its file."""
        return self._entries[record.sha256]

    def boards(self) -> list[Board]:
        """The board of the track, without the records that break it; empty where none is left."""
        boards = boards_of(Screened(tuple(self._entries.values()), self._unranked))
        known = set(self._unranked)
        for board in boards:
            new = (item for item in board.unranked if item not in known)
            self.collection.left_out += map(str, new)
        shown, lines = showable(boards, self.sources)
        self.collection.left_out += lines
        return shown


def read_entries(files: Iterable[KnownFile], left_out: list[str]) -> list[StoredRecord]:
    """The records in files; those that went away, or changed, since they were checked are named."""
    entries = []
    for file in files:
        try:
            entries.append(file.entry())
        except UsageError as error:
            name = plain_text("/".join(file.path.parts[-3:]))
            left_out.append(error.message.replace(plain_text(file.path), name))
    return entries


def without_root(text: str, results: Path, label: str) -> str:
    """A text for the site with the results folder as the site names it, not by where it lies."""
    roots = {str(path) for path in (results, results.absolute(), results.resolve())}
    for root in sorted(roots, key=len, reverse=True):
        if Path(root).is_absolute() and Path(root) != Path(root).parent:
            text = text.replace(root, label)
    return text
