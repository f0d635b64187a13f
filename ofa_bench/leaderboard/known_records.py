"""What checking a results folder gave: each record by its file, those that hold by track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.reproduced import reproductions
from ofa_bench.leaderboard.screening import (
    Fingerprint,
    Unranked,
    copies,
    fingerprint_of,
    screen,
    unranked_entry,
    unreadable,
    with_machines,
)
from ofa_bench.records.parts import Part
from ofa_bench.records.schema import Record
from ofa_bench.records.store import Store, StoredRecord, read, read_bytes
from ofa_bench.records.track import alone, track_of
from ofa_bench.records.validation.validate import Context
from ofa_bench.sanitize import plain_text

Version = tuple[int, ...]
"""Device, inode, size and times (modification, change) of a record and of its bits."""


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


class KnownFile(NamedTuple):
    """A record's file that holds, and the machines on which it was reproduced."""

    path: Path
    machines: tuple[str, ...]

    def entry(self) -> StoredRecord:
        """The record; UsageError where the file is gone, or none any more."""
        return StoredRecord(self.path, _checked(self.path), self.machines)


class RecordCheck:
    """Checks records that are not known, or changed."""

    def __init__(self, store: Store, context: Context) -> None:
        self._store, self._context = store, context
        self._reproductions: Mapping[str, Any] | None = None

    def known(self, path: Path, before: KnownRecord | None) -> KnownRecord:
        """What is known of a record's file, from before where it is the same."""
        version = (*file_version(path), *file_version(path.with_suffix(".bits")))
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


def file_version(path: Path) -> Version:
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return (0, 0, 0, 0, 0)
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def _line(item: Unranked) -> tuple[str, str, str]:
    return (item.name, item.reason, item.track)


def unranked_of(root: Path, records: Mapping[str, KnownRecord]) -> tuple[Unranked, ...]:
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


def tracks_of(records: Mapping[str, KnownRecord], ranked: Sequence[str]) -> dict[str, list[str]]:
    """The files of each track's records that are ranked, tracks by name; nets alone are on none."""
    tracks: dict[str, list[str]] = {}
    for name in ranked:
        if track := records[name].track:
            tracks.setdefault(track, []).append(name)
    return dict(sorted(tracks.items()))
