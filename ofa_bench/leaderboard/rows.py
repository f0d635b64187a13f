"""One row of a board: the seeds of one row id, what they amount to, and what the row is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from statistics import fmean
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.cost_axis import MACS, CostAxis
from ofa_bench.leaderboard.stats import Estimate, estimate
from ofa_bench.recipe.load import FAMILIES
from ofa_bench.records.pareto import Scored, mean_pareto_accuracy
from ofa_bench.records.per_image import fits, image_accuracies
from ofa_bench.records.schema import Record
from ofa_bench.records.store import StoredRecord, read_bits
from ofa_bench.sanitize import plain_text

MOST_MISSING = 20  # seeds that a note names
WAITING = 0.05  # above this share of waiting for data, hours are not comparable
WIDTH = 60  # characters of a label


@dataclass(frozen=True)
class BoardRow:
    """The records of one row id; `good` are the seeds with numbers, in seed order."""

    id: str
    label: str
    good: tuple[StoredRecord, ...]
    failed: tuple[Record, ...]
    notes: tuple[str, ...]
    axis: CostAxis = MACS
    _images: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)
    _values: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

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

    @cached_property
    def low(self) -> int:
        """The cost from which on every seed has something to deploy, in steps of the axis."""
        return max(min(score.macs for score in self.scores(entry)) for entry in self.good)

    def scores(self, entry: StoredRecord) -> Sequence[Scored]:
        """A seed's candidates by the cost that budgets are counted in."""
        return self.axis.scores(entry.record)

    def values(self, low: int, high: int) -> tuple[float, ...]:
        """Mean Pareto accuracy of each good seed over a range of budgets."""
        if (low, high) not in self._values:  # every other row asks for it
            self._values[low, high] = tuple(
                mean_pareto_accuracy(self.scores(entry), low, high) for entry in self.good
            )
        values: tuple[float, ...] = self._values[low, high]
        return values

    def images(self, low: int, high: int) -> list[Any] | None:
        """Per-image accuracies of each good seed over a range; None where bits are missing."""
        if (low, high) not in self._images:
            self._images[low, high] = _images(self.good, low, high, self.axis)
        images: list[Any] | None = self._images[low, high]
        return images

    @property
    def reproduced(self) -> dict[int, tuple[str, ...]]:
        """Seeds that a rerun reproduced, and on which machines."""
        return {entry.record.seed: entry.machines for entry in self.good if entry.machines}

    def own_range(self) -> Estimate:
        """Mean Pareto accuracy over the range of this row's own subnets, as recorded."""
        return estimate(self.of("summary", "mean_pareto_accuracy"))

    def of(self, *path: str) -> list[float]:
        """A number of every good seed, by attribute path."""
        values: list[Any] = [entry.record for entry in self.good]
        if path[0] == "summary":
            values, path = [self.axis.summary(record) for record in values], path[1:]
        for name in path:
            values = [getattr(value, name) for value in values]
        return [value for value in values if value is not None]

    def mean(self, *path: str) -> float | None:
        """The mean of `of`; None where a seed lacks the number."""
        values = self.of(*path)
        return fmean(values) if values and len(values) == len(self.good) else None

    def with_failures(self, values: Sequence[float]) -> float | None:
        """The mean when failed seeds count as chance; None where none failed."""
        chance = 100.0 / self.any.task.classes
        return fmean([*values, *(chance for _ in self.failed)]) if self.failed else None


def rows(entries: Iterable[StoredRecord], axis: CostAxis = MACS) -> list[BoardRow]:
    """One row a row id; rows of one method are named by what they differ in."""
    groups: dict[str, list[StoredRecord]] = {}
    for entry in sorted(entries, key=lambda entry: str(entry.path)):
        groups.setdefault(entry.record.row_id, []).append(entry)
    named = labels({row: group[0].record for row, group in groups.items()})
    return [_row(row, named[row], group, axis) for row, group in groups.items()]


def _row(row: str, label: str, group: list[StoredRecord], axis: CostAxis) -> BoardRow:
    seeds: dict[int, list[StoredRecord]] = {}
    for entry in group:
        seeds.setdefault(entry.record.seed, []).append(entry)
    good: dict[int, StoredRecord] = {}
    failed: dict[int, Record] = {}
    notes = []
    for seed, entries in sorted(seeds.items()):
        first, *others = sorted(entries, key=_standing)
        if first.record.good and first.record.status != "diverged":
            good[seed] = first
        else:
            failed[seed] = first.record
        notes += [_again(first, other.record) for other in others]
    count = max(seeds) + 1 - len(seeds)  # of the seeds under the highest that are not there
    if count:
        gaps = (seed for seed in range(max(seeds)) if seed not in seeds)
        missing = ", ".join(map(str, islice(gaps, MOST_MISSING)))
        more = f" and {count - MOST_MISSING} more" if count > MOST_MISSING else ""
        notes.append(f"seeds {missing}{more} are missing")
    notes += [f"seed {seed} {record.status}" for seed, record in failed.items()]
    return BoardRow(row, label, (*good.values(),), (*failed.values(),), tuple(notes), axis)


def _standing(entry: StoredRecord) -> tuple[bool, bool, bool, float, str, str]:
    """Which of several records of one run stands, by what they hold and never by a date.

    One with results before one without, which anybody could write; one that was reproduced before
    one that was not; then the lowest accuracy, so that no repetition raises a row.
    """
    record = entry.record
    accuracy = record.summary.mean_pareto_accuracy if record.summary else 0.0
    good = record.good and record.status != "diverged"
    return (
        not good,
        not entry.machines,
        record.status != "diverged",
        accuracy,
        record.weights_sha256 or "",
        record.sha256,
    )


def _again(standing: StoredRecord, second: Record) -> str:
    first, seed = standing.record, standing.record.seed
    how = "the reproduced one" if standing.machines else "the lower one"
    if first.good and second.good:
        if first.weights_sha256 == second.weights_sha256 and first.scores == second.scores:
            return f"seed {seed} was run twice, identical"
        return f"seed {seed} was run twice, with another result; {how} counts"
    return f"seed {seed} also {second.status} once"


def _images(
    entries: Sequence[StoredRecord], low: int, high: int, axis: CostAxis
) -> list[Any] | None:
    images = []
    for entry in entries:
        try:
            raw = read_bits(entry.path, entry.record)
        except UsageError:
            return None
        bits = entry.record.bits
        if raw is None or bits is None or not fits(raw, bits.layout):
            return None
        if bits.layout.rows != len(entry.record.scores):
            return None
        images.append(image_accuracies(axis.scores(entry.record), raw, bits.layout, low, high))
    sizes = {len(values) for values in images}
    return images if len(sizes) == 1 else None


def labels(records: Mapping[str, Record]) -> dict[str, str]:
    """Row id -> label: the method's name, and in brackets what tells it from its namesakes.

    Policies by name, options and other recipe values as `key value`, extras as `+name`; rows that
    differ in code or data alone are told apart by their ids.
    """
    named: dict[str, dict[str, Record]] = {}
    for row, record in records.items():
        named.setdefault(record.method.name, {})[row] = record
    names: dict[str, str] = {}
    for name, group in named.items():
        texts = _distinctions(group)
        names |= {row: plain_text(f"{name} ({it})" if it else name, WIDTH) for row, it in texts}
    often = Counter(names.values())
    return {
        row: label if often[label] == 1 else plain_text(f"{label[: WIDTH - 9]} ({row[:6]})", WIDTH)
        for row, label in names.items()
    }


def _distinctions(group: Mapping[str, Record]) -> list[tuple[str, str]]:
    """For each row of one method, the text in which it differs from the others."""
    facts = {row: _facts(record) for row, record in group.items()}
    values: dict[str, set[str]] = {}
    for row_facts in facts.values():
        for key, value in row_facts.items():
            values.setdefault(key, set()).add(value)
    differing = [key for key in sorted(values) if len(values[key]) > 1]
    families = [family for family in FAMILIES if family in differing]
    others = [key for key in differing if key not in FAMILIES]
    extras = {row: [f"+{e.name}" for e in record.method.extras] for row, record in group.items()}
    alike = len(set(map(tuple, extras.values()))) == 1
    texts = []
    for row, row_facts in facts.items():
        words = ["+".join(row_facts[family] for family in families)]
        words += [f"{key} {row_facts[key]}" for key in others if key in row_facts]
        words += [] if alike else extras[row]
        texts.append((row, ", ".join(filter(None, words))))
    return texts


def _facts(record: Record) -> dict[str, str]:
    """Policies by family, and every recipe value; an option carries its policy's name, so that
    only rows with the same policy can differ in it."""
    science = {key: value for key, value in record.science.items() if key != "extras"}
    facts: dict[str, str] = {}
    for family, policy in record.method.policies.items():
        science.pop(family, None)
        facts[family] = policy.name
        facts |= {f"{policy.name}.{key}": value for key, value in _leaves(policy.options)}
    return facts | dict(_leaves(science))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", _short(value)


def _short(value: Any) -> str:
    """A value as a person would write it: fractions are kept as text in records."""
    try:
        return f"{float(value):.4g}"
    except (TypeError, ValueError):
        return str(value)
