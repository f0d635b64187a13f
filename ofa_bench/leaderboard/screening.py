"""Which records a board may rank: those that hold. The others are listed, each with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.reproduced import reproductions, supporting
from ofa_bench.records.schema import Record, own_hash
from ofa_bench.records.spaces import installed
from ofa_bench.records.store import Store, StoredRecord, read_bits, slug
from ofa_bench.records.track import Track, alone, track_of
from ofa_bench.records.validation.validate import UNUSABLE, Context, findings_of
from ofa_bench.sanitize import plain_text

PLAIN = 20  # wrong answers and more: nets that answer alike by chance have fewer in common


SHARED = Context()


@dataclass(frozen=True)
class Unranked:
    """A file that is listed below the boards, and why it is not on them. `track`: the name of the
    board it would be on, where it says enough for one."""

    name: str
    reason: str
    track: str = ""
    file: str = ""

    def belongs(self, track: Track) -> bool:
        """Whether the file is listed with a track; without one of its own, by its data set."""
        dataset = self.name.partition("/")[0]
        return self.track == track.name if self.track else dataset == slug(track.dataset)

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Screened:
    """Records that hold, and the files that do not."""

    entries: tuple[StoredRecord, ...]
    unranked: tuple[Unranked, ...] = field(default=())


def screened(entries: Iterable[StoredRecord], context: Context | None = None) -> Screened:
    """Split records into those that hold under `validate`, and those that are listed only.

    Where two runs of other seeds have the same weights, or the same answers to all images, one of
    them is a copy: it counts once.
    """
    context, kept, unranked = context or SHARED, [], []
    for entry in entries:
        key = ["reason", entry.record.sha256, own_hash(entry.record), _version(entry)]
        reason = context.once(key, lambda: _reason(entry, context))  # noqa: B023
        if reason is None:
            kept.append(entry)
        else:
            unranked.append(unranked_entry(entry, reason))
    copies = _copies(kept)
    unranked += [unranked_entry(entry, copies[id(entry)]) for entry in kept if id(entry) in copies]
    whole = tuple(entry for entry in kept if id(entry) not in copies)
    return Screened(whole, tuple(unranked))


def _version(entry: StoredRecord) -> list[object]:
    """Which bits a record was checked with."""
    try:
        facts = entry.path.with_suffix(".bits").stat()
    except (OSError, ValueError):
        return [str(entry.path).encode(errors="replace").decode()]
    return [facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns]


def held(store: Store, filters: Iterable[str] = (), context: Context | None = None) -> Screened:
    """The screened records of a store that answer to the filters, unreadable files listed; nets
    alone, which nothing here ranks, are left out."""
    unread: list[Unranked] = []

    def unreadable(error: UsageError) -> None:
        name, _, reason = error.message.partition(": ")
        unread.append(Unranked(_short(name), plain_text(reason), file=name))

    entries = [e for e in store.list(filters, broken=unreadable) if not alone(e.record)]
    marked = screened(_with_reproductions(store, entries), context)
    return Screened(marked.entries, (*unread, *marked.unranked))


def _with_reproductions(store: Store, entries: Iterable[StoredRecord]) -> list[StoredRecord]:
    """The entries with the machines on which reruns reproduced them."""
    files = reproductions(store.results)
    marked = []
    for entry in entries:
        good = supporting(entry.record, files.get(entry.record.sha256, ()))
        machines = tuple(sorted({plain_text(file.machine, 80) for file in good}))
        marked.append(replace(entry, machines=machines) if machines else entry)
    return marked


def intact(entries: Iterable[StoredRecord]) -> Screened:
    """Split records by their seals alone, for lists that rank nothing."""
    kept, unranked = [], []
    for entry in entries:
        if own_hash(entry.record) == entry.record.sha256:
            kept.append(entry)
        else:
            unranked.append(unranked_entry(entry, "was changed after it was written"))
    return Screened(tuple(kept), tuple(unranked))


def _short(path: str) -> str:
    """A record's file below the records folder: the same text wherever the results lie."""
    return plain_text("/".join(path.rsplit("/", 3)[-3:]))


def unranked_entry(entry: StoredRecord, reason: str) -> Unranked:
    """A record as the line that lists it."""
    try:
        track = track_of(entry.record).name
    except UNUSABLE:
        track = ""
    return Unranked(_short(str(entry.path)), reason, track, str(entry.path))


def _reason(entry: StoredRecord, context: Context) -> str | None:
    """The first thing that does not hold of a record; None where all does.

    A space that cannot be counted here is no fault of the record's.
    """
    record = entry.record
    findings = findings_of(record, None, lambda: read_bits(entry.path, record), context)
    for finding in findings:
        if finding.unknown:
            continue
        if finding.field == "task.space" and not installed(record, context.load):
            continue
        return str(finding)
    if record.adoption is not None:
        return "was trained elsewhere: what that cost is not known"
    from ofa_bench.leaderboard.board import written

    try:  # a board of it alone
        written(track_of(entry.record), [entry])
    except UsageError as error:
        return f"cannot be shown: {plain_text(error.message)}"
    except UNUSABLE as error:
        return f"cannot be shown: {plain_text(repr(error))}"
    return None


def _copies(entries: Sequence[StoredRecord]) -> dict[int, str]:
    """Of records that share weights or answers under several seeds, all but one, with the reason.

    The one with the lowest seed stays: its numbers are those of all.
    """
    groups: dict[tuple[str, str], list[StoredRecord]] = defaultdict(list)
    for entry in entries:
        record = entry.record
        trained = any(phase.steps for phase in record.cost.phases)
        if record.weights_sha256 is not None and record.good and trained:
            groups["weights", record.weights_sha256].append(entry)
        if record.bits is not None and _telling(record):
            groups["answers", record.bits.sha256].append(entry)
    copies: dict[int, str] = {}
    for (what, _), group in groups.items():
        if len({entry.record.seed for entry in group}) < 2:
            continue
        ordered = sorted(group, key=lambda entry: (entry.record.seed, entry.record.sha256))
        first = ordered[0].record
        for entry in ordered[1:]:
            if entry.record.seed != first.seed:
                copies[id(entry)] = (
                    f"{what} of seed {entry.record.seed} are those of {first.run.id}: "
                    "one run under two seeds"
                )
    return copies


def _telling(record: Record) -> bool:
    """Whether two honest runs would not give the same answers: some net is above chance, and
    there are wrong answers to agree on."""
    chance, images = 100 / record.task.classes, record.task.splits.test.count
    able = any(score.top1_test > 1.5 * chance for score in record.scores)
    wrong = sum((100 - score.top1_test) * images / 100 for score in record.scores)
    return able and wrong >= PLAIN and images >= PLAIN
