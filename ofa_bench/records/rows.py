"""One row of a board: the seeds of one row id, and what they amount to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.records.bits import fits
from ofa_bench.records.front import mean_pareto_accuracy
from ofa_bench.records.labels import labels
from ofa_bench.records.noise import per_image
from ofa_bench.records.schema import Record
from ofa_bench.records.stats import Estimate, estimate
from ofa_bench.records.store import Entry, read_bits

WAITING = 0.05  # above this share of waiting for data, hours are not comparable


@dataclass(frozen=True)
class Row:
    """The records of one row id; `good` are the seeds with numbers, in seed order."""

    id: str
    label: str
    good: tuple[Entry, ...]
    failed: tuple[Record, ...]
    notes: tuple[str, ...]
    _images: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def any(self) -> Record:
        """A record that stands for what all seeds share."""
        return self.good[0].record if self.good else self.failed[0]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds with numbers."""
        return tuple(entry.record.seed for entry in self.good)

    @property
    def n(self) -> int:
        """All seeds, failed ones too."""
        return len(self.good) + len(self.failed)

    @property
    def low(self) -> int:
        """MACs from which on every seed has something to deploy."""
        return max(min(score.macs for score in entry.record.scores) for entry in self.good)

    def values(self, low: int, high: int) -> tuple[float, ...]:
        """Mean Pareto accuracy of each good seed over a range of budgets."""
        return tuple(mean_pareto_accuracy(entry.record.scores, low, high) for entry in self.good)

    def images(self, low: int, high: int) -> list[Any] | None:
        """Per-image accuracies of each good seed over a range; None where bits are missing."""
        if (low, high) not in self._images:
            self._images[low, high] = _images(self.good, low, high)
        found: list[Any] | None = self._images[low, high]
        return found

    def own(self) -> Estimate:
        """Over the whole range of the row's own nets, as its records state it."""
        return estimate(self.of("summary", "mean_pareto_accuracy"))

    def of(self, *path: str) -> list[float]:
        """A number of every good seed, by attribute path."""
        values: list[Any] = [entry.record for entry in self.good]
        for name in path:
            values = [getattr(value, name) for value in values]
        return [value for value in values if value is not None]

    def mean(self, *path: str) -> float | None:
        """The mean of `of`; None where a seed lacks the number."""
        found = self.of(*path)
        return fmean(found) if found and len(found) == len(self.good) else None

    def with_failures(self, values: Sequence[float]) -> float | None:
        """The mean when failed seeds count as chance; None where none failed."""
        chance = 100.0 / self.any.task.classes
        return fmean([*values, *(chance for _ in self.failed)]) if self.failed else None


def rows(entries: Iterable[Entry]) -> list[Row]:
    """One row a row id; rows of one method are named by what they differ in."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: str(entry.path)):
        groups.setdefault(entry.record.row_id, []).append(entry)
    named = labels({row: group[0].record for row, group in groups.items()})
    return [_row(row, named[row], group) for row, group in groups.items()]


def _row(row: str, label: str, group: list[Entry]) -> Row:
    good: dict[int, Entry] = {}
    failed: dict[int, Record] = {}
    notes = []
    for entry in sorted(group, key=lambda entry: (entry.record.run.finished, entry.record.run.id)):
        record = entry.record
        if record.status == "diverged" or not record.good:
            failed.setdefault(record.seed, record)
        elif record.seed in good:
            notes.append(_again(good[record.seed].record, record))
        else:
            good[record.seed] = entry
    for seed in sorted(set(good) & set(failed)):
        notes.append(f"seed {seed} also {failed[seed].status} once")
        # A crash may be run again; a divergence is a result, and stands.
        del (good if failed[seed].status == "diverged" else failed)[seed]
    present = set(good) | set(failed)
    missing = sorted(set(range(max(present) + 1)) - present)
    if missing:
        notes.append(f"seeds {', '.join(map(str, missing))} are missing")
    notes += [f"seed {seed} {failed[seed].status}" for seed in sorted(failed)]
    ordered = tuple(good[seed] for seed in sorted(good))
    return Row(row, label, ordered, tuple(failed[seed] for seed in sorted(failed)), tuple(notes))


def _again(first: Record, second: Record) -> str:
    same = first.weights_sha256 == second.weights_sha256
    how = "identical" if same else "with another result"
    return f"seed {first.seed} was run twice, {how}; the first counts"


def _images(entries: Sequence[Entry], low: int, high: int) -> list[Any] | None:
    found = []
    for entry in entries:
        try:
            raw = read_bits(entry.path, entry.record)
        except UsageError:
            return None
        scores, told = entry.record.scores, entry.record.bits
        if raw is None or told is None or told.layout.rows != len(scores):
            return None
        if not fits(raw, told.layout):
            return None
        found.append(per_image(scores, raw, told.layout, low, high))
    sizes = {len(values) for values in found}
    return found if len(sizes) == 1 else None
