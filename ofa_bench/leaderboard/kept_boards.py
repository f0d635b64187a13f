"""Boards made again only where something changed, by an index in the user's cache.

The index knows each file of a record and of its bits by device, inode, size and times, with what
checking it gave, and each board by the records that it was made of. It lies in the user's cache and
never in a results folder, which may come from others; it is another one for each results folder and
each state of the code that checks. `validate` and `board --check` never read it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import ofa_bench
from ofa_bench.atomic_io import write_whole
from ofa_bench.data.discovery.layout import user_cache
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.hooks.catalogue import GROUP, NARROWED
from ofa_bench.leaderboard.board import Board, boards_of
from ofa_bench.leaderboard.columns import caveats, cells
from ofa_bench.leaderboard.export import to_json, to_markdown
from ofa_bench.leaderboard.known_records import (
    KnownFile,
    KnownRecord,
    RecordCheck,
    file_version,
    tracks_of,
    unranked_of,
)
from ofa_bench.leaderboard.reproduced import FOLDER
from ofa_bench.leaderboard.screening import Screened, Unranked
from ofa_bench.limits import VARIABLE
from ofa_bench.records.parts import Part
from ofa_bench.records.staging import recover
from ofa_bench.records.store import Store, read_bytes, slug
from ofa_bench.records.validation.validate import Context
from ofa_bench.seeding import digest
from ofa_bench.spec_files import specs_root

RACY = 2_000_000_000  # nanoseconds within which a file may change without another time
TIMES = slice(4, None, 5)  # of a version: when a file, or what is known of it, changed last


class TrackName(Part):
    """How a track is asked for."""

    id: str
    name: str
    dataset: str


class ShownBoard(Part):
    """A board as it is shown: its JSON values, its Markdown, and its cells by head,
    caveats and detectable difference for a terminal."""

    track: TrackName
    document: dict[str, Any]
    markdown: str
    cells: tuple[dict[str, str], ...]
    caveats: tuple[str, ...]
    detectable: str
    about: str = ""
    more: tuple[str, ...] = ()


def shown(board: Board) -> ShownBoard:
    """A board as it is shown."""
    able = any(standing.accuracy for standing in board.places)
    about = f"budgets {board.axis.span(*board.range)}; {board.axis.about}"
    track = board.track
    return ShownBoard(
        track=TrackName(id=track.id, name=track.name, dataset=track.dataset),
        document=to_json(board),
        markdown=to_markdown(board),
        cells=tuple(
            {head: str(cell) for head, cell in cells(standing).items()} for standing in board.places
        ),
        caveats=tuple(caveats(board)),
        detectable=f"{board.detectable_text}." if able else "",
        about=about if board.axis.about else "",
        more=board.more,
    )


class KnownBoard(Part):
    """The board of a track, none where it has no rows, and the hash of what it was made of."""

    made_of: str
    boards: tuple[ShownBoard, ...]


class IndexFile(Part):
    """The index of one results folder."""

    code: str
    records: dict[str, KnownRecord] = {}
    boards: dict[str, KnownBoard] = {}


class _Index:
    """A results folder's records, each checked where it is not known from before."""

    def __init__(self, results: Path, context: Context) -> None:
        recover(results)
        store, self._path = Store(results), _path(results, context)
        self.root, self.old = store.root, _read(self._path, _code(results))
        check = RecordCheck(store, context)
        paths = sorted(store.root.glob("*/*/*.json"))
        names = [str(file.relative_to(store.root)) for file in paths]
        self.records = {
            name: check.known(file, self.old.records.get(name))
            for name, file in zip(names, paths, strict=True)
        }
        self.unranked = unranked_of(store.root, self.records)
        left_out = {item.file for item in self.unranked}
        ranked = [name for name in names if str(store.root / name) not in left_out]
        self.tracks = tracks_of(self.records, ranked)

    def files(self, members: Sequence[str]) -> list[KnownFile]:
        """Records by name, each with where it was reproduced."""
        return [KnownFile(self.root / name, self.records[name].machines) for name in members]

    def keep(self, boards: dict[str, KnownBoard]) -> None:
        """Write the index for the next time, where it says anything new."""
        now = time.time_ns()
        lasting = {
            name: known
            for name, known in self.records.items()  # what did not hold may be a disk's moment
            if max(known.version[TIMES]) < now - RACY and known.steady
        }
        new = IndexFile(code=self.old.code, records=lasting, boards=boards)
        if self._path is not None and new != self.old:
            with suppress(BenchError):  # an index that cannot be written only costs time
                write_whole(self._path, new.model_dump_json())


def kept_boards(results: Path, context: Context) -> tuple[list[ShownBoard], tuple[Unranked, ...]]:
    """The boards of all records that hold, by name, and what is not ranked: as `held` and
    `boards_of` give them, made anew only where a record changed."""
    index = _Index(results, context)
    old, records, unranked = index.old, index.records, index.unranked
    boards: dict[str, KnownBoard] = {}
    for track, members in index.tracks.items():
        dataset = records[members[0]].dataset
        listed = [item for item in unranked if _belongs(item, track, dataset)]
        parts = [(name, records[name].sha256, records[name].machines) for name in members]
        made_of = digest(old.code, parts, listed)
        known = old.boards.get(track)
        if known is None or known.made_of != made_of:
            entries = tuple(file.entry() for file in index.files(members))
            made = boards_of(Screened(entries, unranked))
            known = KnownBoard(made_of=made_of, boards=tuple(map(shown, made)))
        boards[track] = known
    index.keep(boards)
    return [item for known in boards.values() for item in known.boards], unranked


def kept_tracks(
    results: Path, context: Context
) -> tuple[dict[str, list[KnownFile]], tuple[Unranked, ...]]:
    """The files of the records that hold, by their track's name, and what is not ranked; as
    `kept_boards` checks them, so that tracks can be read one after another."""
    index = _Index(results, context)
    index.keep(index.old.boards)
    return {name: index.files(members) for name, members in index.tracks.items()}, index.unranked


def _belongs(item: Unranked, track: str, dataset: str) -> bool:
    return item.track == track if item.track else item.name.partition("/")[0] == slug(dataset)


def _path(results: Path, context: Context) -> Path | None:
    """The index of a results folder, for checks of this kind; None for a function that cannot be
    known again by its name."""
    kind = [_name(part) for part in (context.load, context.planned, context.expected)]
    if any("<" in name for name in kind):
        return None
    return user_cache() / "boards" / f"{digest(str(results.resolve()), kind)[:32]}.json"


def _name(function: object) -> str:
    if function is None:
        return ""
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '<>')}"


def _read(path: Path | None, code: str) -> IndexFile:
    """The index in a file; an empty one where there is none of this code."""
    if path is None:
        return IndexFile(code=code)
    try:
        index = IndexFile.model_validate_json(read_bytes(path, "bundle-bytes"))
    except (UsageError, ValidationError, ValueError):
        return IndexFile(code=code)
    return index if index.code == code else IndexFile(code=code)


def _code(results: Path) -> str:
    """A hash of the files that decide what checking gives: this package, its tables, plugins, and
    the reproductions that mark rows; by name, size and time."""
    roots = {Path(ofa_bench.__file__).parent, specs_root(), results / FOLDER}
    files: list[Path] = []
    for point in importlib.metadata.entry_points(group=GROUP):
        spec = importlib.util.find_spec(point.module.partition(".")[0])
        if spec is not None and spec.submodule_search_locations:
            roots |= set(map(Path, spec.submodule_search_locations))
        elif spec is not None and spec.origin:
            files.append(Path(spec.origin))
    for root in sorted(roots):
        for kind in ("*.py", "*.toml", "*.json"):
            files += sorted(root.rglob(kind))
    facts = [(str(path), *file_version(path)) for path in files]
    return digest(facts, os.environ.get(NARROWED), os.environ.get(VARIABLE))
