"""Whether a run made again came out the same, and by which measure; where two records differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, variance
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ofa_bench.leaderboard.stats import student_t
from ofa_bench.records.pareto import mean_pareto_accuracy
from ofa_bench.records.parts import Part
from ofa_bench.records.per_image import fits, image_accuracies, standard_error
from ofa_bench.records.schema import Record, canonical, plain
from ofa_bench.records.spaces import budget_range

FOLLOW = ("seals", "sha256")  # these differ because something else does
Verdict = Literal["identical", "within interval", "not reproduced"]
ENOUGH = 3  # other seeds of the row, from which on they say what another run may give
SURROUNDINGS = ("machine.", "method.", "science.", "task.", "run.commit", "run.dirty", "row_id")


class Difference(NamedTuple):
    """A field by its dotted path, and its value in each record; None where one has none."""

    path: str
    left: Any
    right: Any


class Interval(Part):
    """Where a faithful run's mean Pareto accuracy lies, in percent, and what says so."""

    low: float = Field(ge=-1000, le=1000)
    high: float = Field(ge=-1000, le=1000)
    source: str = Field(max_length=500)

    def holds(self, *values: float) -> bool:
        """Whether all of them lie in it."""
        return all(self.low <= value <= self.high for value in values)


@dataclass(frozen=True)
class ResultField:
    """A result, as recorded and as it came out now."""

    name: str
    recorded: Any
    rerun: Any
    same: bool


@dataclass(frozen=True)
class Reproduction:
    """The verdict and its reason; `surroundings` are the differences that may explain it."""

    verdict: Verdict
    why: str
    band: Interval | None
    fields: tuple[ResultField, ...]
    surroundings: tuple[Difference, ...]


def reproduction(
    record: Record, again: Record, raw: bytes | None, siblings: Sequence[Record] = ()
) -> Reproduction:
    """Judge a rerun.

    Identical: the same weights to the bit, and the same scores. Within interval: both mean Pareto
    accuracies lie in the 95 % prediction interval of the row's other seeds among `siblings` where
    there are three, else the recorded one lies in the interval that the rerun's own per-image bits
    (`raw`) leave to another test set of this size. The same weights with other scores, or another
    end, reproduce nothing.
    """
    fields = tuple(_fields(record, again))
    around = tuple(
        difference
        for difference in differences(record, again)
        if difference.path.startswith(SURROUNDINGS) and not difference.path.endswith(".source.text")
    )
    if all(field.same for field in fields):
        same = "the same weights to the bit, and the same scores"
        return Reproduction("identical", same, None, fields, around)
    if record.status != again.status:
        why = f"the run ended {again.status}, the record says {record.status}"
        return Reproduction("not reproduced", why, None, fields, around)
    if record.weights_sha256 == again.weights_sha256:
        why = "the recorded weights came out, but they do not score as recorded"
        return Reproduction("not reproduced", why, None, fields, around)
    if not record.good or not again.good:
        return Reproduction("not reproduced", "other weights came out", None, fields, around)
    band, values = _measure(record, again, raw, siblings)
    held = band is not None and band.holds(*values)
    return Reproduction(
        "within interval" if held else "not reproduced",
        _reason(band, values, held),
        band,
        fields,
        around,
    )


def _fields(record: Record, again: Record) -> list[ResultField]:
    """Every result that a run has, side by side."""
    pairs: list[tuple[str, Any, Any]] = [
        (name, getattr(record, name), getattr(again, name)) for name in ("status", "weights_sha256")
    ]
    for name in ("train_macs", "images"):
        pairs.append((name, getattr(record.cost, name), getattr(again.cost, name)))
    if record.summary is not None and again.summary is not None:
        for name in ("mean_pareto_accuracy", "largest_top1", "smallest_top1"):
            pairs.append((name, getattr(record.summary, name), getattr(again.summary, name)))
    fields = [ResultField(name, left, right, left == right) for name, left, right in pairs]
    return [*fields, _scores(record, again)]


def _scores(record: Record, again: Record) -> ResultField:
    """All scores as one field: how many, and how many of them came out the same."""
    ours = {canonical(score.subnet): score for score in again.scores}
    equal = sum(score == ours.get(canonical(score.subnet)) for score in record.scores)
    count = len(record.scores)
    whole = equal == count == len(again.scores)
    return ResultField("scores", f"{count} nets", f"{equal} the same", whole)


def _measure(
    record: Record, again: Record, raw: bytes | None, siblings: Sequence[Record]
) -> tuple[Interval | None, list[float]]:
    """The interval there is, and the values that must lie in it."""
    low, high = budget_range(record)
    claims = [mean_pareto_accuracy(record.scores, low, high)]
    if record.summary is not None:
        claims.append(record.summary.mean_pareto_accuracy)
    accuracy = mean_pareto_accuracy(again.scores, low, high)
    others = [
        mean_pareto_accuracy(sibling.scores, low, high)
        for sibling in {
            s.seed: s for s in siblings if s.good and s.row_id == record.row_id
        }.values()
        if sibling.seed != record.seed
    ]
    if len(others) >= ENOUGH:
        return _of_seeds(others), [*claims, accuracy]
    return _of_images(again, raw, low, high, accuracy), claims


def _of_seeds(values: Sequence[float]) -> Interval:
    count = len(values)
    half = student_t(count - 1) * sqrt(variance(values) * (1 + 1 / count))
    middle = fmean(values)
    return Interval(low=middle - half, high=middle + half, source=f"the row's {count} other seeds")


def _of_images(
    again: Record, raw: bytes | None, low: int, high: int, middle: float
) -> Interval | None:
    bits = again.bits
    if raw is None or bits is None or not fits(raw, bits.layout):
        return None
    error = standard_error([image_accuracies(again.scores, raw, bits.layout, low, high)])
    half = student_t(inf) * error
    return Interval(
        low=middle - half,
        high=middle + half,
        source=f"the rerun's {bits.layout.images} test images",
    )


def _reason(band: Interval | None, values: Sequence[float], held: bool) -> str:
    if band is None:
        return "other weights came out, and no interval says how far a faithful run may stray"
    spread = f"{band.low:.2f} to {band.high:.2f} %, from {band.source}"
    if held:
        return f"mean Pareto accuracy lies within {spread}"
    out = next(value for value in values if not band.holds(value))
    return f"a mean Pareto accuracy of {out:.2f} % lies outside {spread}"


def differences(a: Record, b: Record) -> list[Difference]:
    """Every leaf that two records do not share, in the order of the schema.

    Tables and lists are compared item by item; an item that one side lacks is one difference.
    """
    ours, theirs = plain(a), plain(b)
    return [
        difference
        for name in ours
        if name not in FOLLOW
        for difference in _between(ours[name], theirs[name], name)
    ]


def _between(left: Any, right: Any, path: str) -> Iterator[Difference]:
    ours, theirs = _items(left), _items(right)
    if ours is None or theirs is None or isinstance(left, Mapping) != isinstance(right, Mapping):
        if type(left) is not type(right) or left != right:
            yield Difference(path, left, right)
        return
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        yield from _between(ours.get(key), theirs.get(key), f"{path}.{key}")


def _items(value: Any) -> dict[str, Any] | None:
    """What a table or list holds, by name or place; None for a leaf."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return {str(index): item for index, item in enumerate(value)}
    return None
