"""Which records a board may rank: those that hold. The others are listed, each with its reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.reproduced import ReproductionFile, reproductions, supporting
from ofa_bench.records.parts import Part
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
        reason = screen(entry, context)
        if reason is None:
            kept.append(entry)
        else:
            unranked.append(unranked_entry(entry, reason))
    reasons = copies([fingerprint_of(entry.record) for entry in kept])
    unranked += [unranked_entry(kept[index], reason) for index, reason in sorted(reasons.items())]
    whole = tuple(entry for index, entry in enumerate(kept) if index not in reasons)
    return Screened(whole, tuple(unranked))


def screen(entry: StoredRecord, context: Context) -> str | None:
    """Why a record does not hold by itself; None where it does."""
    key = ["reason", entry.record.sha256, own_hash(entry.record), _version(entry)]
    reason: str | None = context.once(key, lambda: _reason(entry, context))
    return reason


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
    listed = store.list(filters, broken=lambda error: unread.append(unreadable(error)))
    entries = [entry for entry in listed if not alone(entry.record)]
    files = reproductions(store.results)
    marked = screened([with_machines(entry, files) for entry in entries], context)
    return Screened(marked.entries, (*unread, *marked.unranked))


def unreadable(error: UsageError) -> Unranked:
    """A file that is no record, as the line that lists it."""
    name, _, reason = error.message.partition(": ")
    return Unranked(_short(name), plain_text(reason), file=name)


def with_machines(
    entry: StoredRecord, files: Mapping[str, Sequence[ReproductionFile]]
) -> StoredRecord:
    """An entry with the machines on which reruns reproduced it."""
    good = supporting(entry.record, files.get(entry.record.sha256, ()))
    machines = tuple(sorted({plain_text(file.machine, 80) for file in good}))
    return replace(entry, machines=machines) if machines else entry


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


class Fingerprint(Part):
    """By what one run is known under several seeds: hashes of its weights, and of its answers to
    all test images; None where those say nothing."""

    run: str
    seed: int
    sha256: str
    weights: str | None
    answers: str | None


def fingerprint_of(record: Record) -> Fingerprint:
    """A record's fingerprint."""
    trained = record.good and any(phase.steps for phase in record.cost.phases)
    answers = record.bits.sha256 if record.bits is not None and _telling(record) else None
    return Fingerprint(
        run=record.run.id,
        seed=record.seed,
        sha256=record.sha256,
        weights=record.weights_sha256 if trained else None,
        answers=answers,
    )


def copies(prints: Sequence[Fingerprint]) -> dict[int, str]:
    """Of records that share weights or answers under several seeds, all but one, by their index,
    with the reason.

    The one with the lowest seed stays: its numbers are those of all.
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, known in enumerate(prints):
        for what, value in (("weights", known.weights), ("answers", known.answers)):
            if value is not None:
                groups[what, value].append(index)
    reasons: dict[int, str] = {}
    for (what, _), group in groups.items():
        if len({prints[index].seed for index in group}) < 2:
            continue
        ordered = sorted(group, key=lambda index: (prints[index].seed, prints[index].sha256))
        first = prints[ordered[0]]
        for index in ordered[1:]:
            if prints[index].seed != first.seed:
                reasons[index] = (
                    f"{what} of seed {prints[index].seed} are those of {first.run}: "
                    "one run under two seeds"
                )
    return reasons


def _telling(record: Record) -> bool:
    """Whether two honest runs would not give the same answers: some net is above chance, and
    there are wrong answers to agree on."""
    chance, images = 100 / record.task.classes, record.task.splits.test.count
    able = any(score.top1_test > 1.5 * chance for score in record.scores)
    wrong = sum((100 - score.top1_test) * images / 100 for score in record.scores)
    return able and wrong >= PLAIN and images >= PLAIN
