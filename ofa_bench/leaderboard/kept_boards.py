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
from collections.abc import Mapping, Sequence
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
from ofa_bench.leaderboard.reproduced import FOLDER, reproductions
from ofa_bench.leaderboard.screening import (
    Fingerprint,
    Screened,
    Unranked,
    copies,
    fingerprint_of,
    screen,
    unranked_entry,
    unreadable,
    with_machines,
)
from ofa_bench.limits import VARIABLE
from ofa_bench.records.parts import Part
from ofa_bench.records.schema import Record
from ofa_bench.records.staging import recover
from ofa_bench.records.store import Store, StoredRecord, read, read_bytes, slug
from ofa_bench.records.track import alone, track_of
from ofa_bench.records.validation.validate import Context
from ofa_bench.sanitize import plain_text
from ofa_bench.seeding import digest
from ofa_bench.spec_files import specs_root

RACY = 2_000_000_000  # nanoseconds within which a file may change without another time
TIMES = slice(4, None, 5)  # of a version: when a file, or what is known of it, changed last
Version = tuple[int, ...]
"""Device, inode, size and times (modification, change) of a record and of its bits."""


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


class KnownRecord(Part):
    """What checking a record gave: how it is listed if it is not ranked, and else its track, its
    fingerprint and where it was reproduced; one that is not steady is checked each time."""

    version: Version
    sha256: str = ""
    listed: tuple[str, str, str] | None = None
    track: str = ""
    dataset: str = ""
    fingerprint: Fingerprint | None = None
    machines: tuple[str, ...] = ()
    steady: bool = True


class KnownBoard(Part):
    """The board of a track, none where it has no rows, and the hash of what it was made of."""

    made_of: str
    boards: tuple[ShownBoard, ...]


class IndexFile(Part):
    """The index of one results folder."""

    code: str
    records: dict[str, KnownRecord] = {}
    boards: dict[str, KnownBoard] = {}


def kept_boards(results: Path, context: Context) -> tuple[list[ShownBoard], tuple[Unranked, ...]]:
    """The boards of all records that hold, by name, and what is not ranked: as `held` and
    `boards_of` give them, made anew only where a record changed."""
    recover(results)
    store, path = Store(results), _path(results, context)
    old = _read(path, _code(results))
    check = _Check(store, context)
    paths = sorted(store.root.glob("*/*/*.json"))
    names = [str(file.relative_to(store.root)) for file in paths]
    records = {
        name: check.known(file, old.records.get(name))
        for name, file in zip(names, paths, strict=True)
    }
    unranked = _unranked(store.root, records)
    boards: dict[str, KnownBoard] = {}
    left_out = {item.file for item in unranked}
    ranked = [name for name in names if str(store.root / name) not in left_out]
    for track, members in _tracks(records, ranked).items():
        dataset = records[members[0]].dataset
        listed = [item for item in unranked if _belongs(item, track, dataset)]
        parts = [(name, records[name].sha256, records[name].machines) for name in members]
        made_of = digest(old.code, parts, listed)
        known = old.boards.get(track)
        if known is None or known.made_of != made_of:
            files = [(store.root / name, records[name].machines) for name in members]
            entries = tuple(StoredRecord(file, _checked(file), where) for file, where in files)
            made = boards_of(Screened(entries, unranked))
            known = KnownBoard(made_of=made_of, boards=tuple(map(shown, made)))
        boards[track] = known
    now = time.time_ns()
    lasting = {
        name: known
        for name, known in records.items()  # what did not hold may have been a disk's moment
        if max(known.version[TIMES]) < now - RACY and known.steady
    }
    new = IndexFile(code=old.code, records=lasting, boards=boards)
    if path is not None and new != old:
        with suppress(BenchError):  # an index that cannot be written only costs time
            write_whole(path, new.model_dump_json())
    return [item for known in boards.values() for item in known.boards], unranked


class _Check:
    """Checks records that are not known, or changed."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store, self._context = store, context
        self._reproductions: Mapping[str, Any] | None = None

    def known(self, path: Path, before: KnownRecord | None) -> KnownRecord:
        """What is known of a record's file, from before where it is the same."""
        version = (*_version(path), *_version(path.with_suffix(".bits")))
        if before is not None and before.version == version:
            return before
        try:
            record = read(path)
        except UsageError as error:
            return KnownRecord(version=version, listed=_line(unreadable(error)), steady=False)
        if alone(record):  # on no track
            return KnownRecord(version=version, sha256=record.sha256)
        entry = StoredRecord(path, record)
        if self._reproductions is None:
            self._reproductions = reproductions(self._store.results)
        reason = screen(entry, self._context)
        if reason is not None:
            listed = _line(unranked_entry(entry, reason))
            return KnownRecord(version=version, sha256=record.sha256, listed=listed, steady=False)
        track = track_of(record)
        return KnownRecord(
            version=version,
            sha256=record.sha256,
            track=track.name,
            dataset=track.dataset,
            fingerprint=fingerprint_of(record),
            machines=with_machines(entry, self._reproductions).machines,
            steady=record.bits is None or record.bits.file == path.with_suffix(".bits").name,
        )


def _checked(path: Path) -> Record:
    """A record that was checked already; its bounds are not checked again, which takes most of the
    time of reading it. UsageError where the file is gone or none any more."""
    try:
        return Record.model_validate_json(read_bytes(path, "record-bytes"))
    except ValidationError:
        return read(path)


def _version(path: Path) -> Version:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return (0, 0, 0, 0, 0)
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _line(item: Unranked) -> tuple[str, str, str]:
    return (item.name, item.reason, item.track)


def _unranked(root: Path, records: Mapping[str, KnownRecord]) -> tuple[Unranked, ...]:
    """What is not ranked, in the order of `held`: unreadable files, records that do not hold, and
    copies of others."""
    unranked = [
        Unranked(*known.listed, file=str(root / name))
        for name, known in sorted(records.items(), key=lambda item: bool(item[1].sha256))
        if known.listed is not None
    ]
    whole = [(name, known) for name, known in records.items() if known.fingerprint is not None]
    prints = [known.fingerprint for _, known in whole if known.fingerprint is not None]
    for index, reason in sorted(copies(prints).items()):
        name, known = whole[index]
        short = plain_text("/".join(name.rsplit("/", 3)[-3:]))
        unranked.append(Unranked(short, reason, known.track, str(root / name)))
    return tuple(unranked)


def _tracks(records: Mapping[str, KnownRecord], ranked: Sequence[str]) -> dict[str, list[str]]:
    """The files of each track's records that are ranked, tracks by name; nets alone are on none."""
    tracks: dict[str, list[str]] = {}
    for name in ranked:
        if track := records[name].track:
            tracks.setdefault(track, []).append(name)
    return dict(sorted(tracks.items()))


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
    facts = [(str(path), *_version(path)) for path in files]
    return digest(facts, os.environ.get(NARROWED), os.environ.get(VARIABLE))
