"""Recompute what can be recomputed of a record; anything that does not agree is named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.recipe.fingerprint import run_id
from ofa_bench.records import bits as packing
from ofa_bench.records.checks_cost import cost_findings
from ofa_bench.records.checks_task import task_findings
from ofa_bench.records.findings import Finding, far
from ofa_bench.records.render import spell
from ofa_bench.records.schema import Record, own_hash, plain, seals
from ofa_bench.records.spaces import Loader, track_space, trained_space
from ofa_bench.records.store import LARGEST_RECORD, read, read_bits, read_bytes, slug
from ofa_bench.records.summary import candidates_hash, summarise
from ofa_bench.space import Space, Subnet, load_space

Expected = Callable[[Record, Space, Space], Sequence[Subnet]]
"""The candidates that a record's track demands, from the record, its space and trained part."""


@dataclass(frozen=True)
class Context:
    """What a check may use: how spaces load, and which candidates a track demands."""

    load: Loader = load_space
    expected: Expected | None = None


def validate(path: Path, context: Context = Context()) -> list[Finding]:
    """What is wrong with a record's file and its bits, whatever they hold; empty if nothing."""
    try:
        record = read(path)
        held = read_bytes(path, LARGEST_RECORD)
    except UsageError as error:
        return [Finding("file", error.message)]
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _file(path, held, record),
        lambda: _hashes(record),
        lambda: _status(record),
        lambda: _scores(record, context),
        lambda: _bits(path, record),
        lambda: task_findings(record),
        lambda: cost_findings(record, context.load),
    ]
    return [finding for check in checks for finding in _carefully(check)]


def _carefully(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """A check's findings; values it cannot even work with are one more, and stop no other check."""
    found: list[Finding] = []
    try:
        for finding in check():
            found.append(finding)
    except BenchError as error:
        found.append(Finding("record", error.message))
    except (ArithmeticError, ValueError, TypeError, LookupError, AttributeError) as error:
        found.append(Finding("record", f"holds values that cannot be used: {error!r}"))
    return found


def _file(path: Path, held: bytes, record: Record) -> Iterator[Finding]:
    if held != spell(plain(record)).encode():
        yield Finding("file", "is not spelled as ofa-bench writes records")
    if path.stem != slug(record.run.id):
        yield Finding("run.id", f"is {record.run.id}, the file {path.stem}")
    folders = (slug(record.task.dataset), slug(record.method.name))
    if path.absolute().parts[-3:-1] != folders:
        yield Finding("file", f"should lie in {'/'.join(folders)}/")


def _hashes(record: Record) -> Iterator[Finding]:
    told, made = record.seals, seals(record)
    for name in sorted({*told, *made}):
        if told.get(name) != made.get(name):
            yield Finding(name, "or its seal was changed")
    if own_hash(record) != record.sha256:
        yield Finding("sha256", "is not the record's own hash")
    if run_id(record.row_id, record.seed) != record.run_id:
        yield Finding("run_id", "does not follow from row_id and seed")


def _status(record: Record) -> Iterator[Finding]:
    numbers = {"scores": record.scores, "summary": record.summary, "bits": record.bits}
    good = record.status in ("ok", "imported")
    for name, value in numbers.items():
        if bool(value) != good:
            how = "is missing" if good else "is there"
            yield Finding(name, f"{how} in a run that is {record.status}")
    if (record.error is None) != good:
        yield Finding("error", f"does not go with status {record.status}")
    if good and record.weights_sha256 is None:
        yield Finding("weights_sha256", f"is missing in a run that is {record.status}")


def _scores(record: Record, context: Context) -> Iterator[Finding]:
    task, scores = record.task, record.scores
    if task.candidates.count != len(scores):
        yield Finding(
            "task.candidates.count", f"is {task.candidates.count} of {len(scores)} scores"
        )
    if candidates_hash(score.subnet for score in scores) != task.candidates.hash:
        yield Finding("task.candidates.hash", "is not that of the scored nets")
    try:
        space, trained = track_space(record, context.load), trained_space(record, context.load)
    except UsageError as error:
        yield Finding("task.space", error.message)
        return
    if space.fingerprint() != task.space.fingerprint:
        yield Finding("task.space.fingerprint", "is not that of the space described")
    if list(task.resolutions) != list(space.listed):
        yield Finding("task.resolutions", f"should be {list(space.listed)}")
    for place in range(len(scores)):
        yield from _score(record, place, trained)
    if scores:
        yield from _summary(record, space)
        yield from _membership(record, space, trained, context)


def _score(record: Record, place: int, trained: Space) -> Iterator[Finding]:
    score, classes, name = record.scores[place], record.task.classes, f"scores.{place}"
    try:
        subnet = trained.subnet(score.subnet)
    except UsageError as error:
        yield Finding(f"{name}.subnet", error.message)
        return
    if subnet not in trained or subnet.to_json() != score.subnet:
        yield Finding(f"{name}.subnet", "is not a net of the trained space, canonically written")
        return
    facts = {
        "macs": trained.macs(subnet, classes),
        "params": trained.params(subnet, classes),
        "name": str(subnet),
    }
    for field, value in facts.items():
        if getattr(score, field) != value:
            yield Finding(f"{name}.{field}", f"is {getattr(score, field)}, should be {value}")
    images = record.task.splits.select.count
    right = score.top1_select * images / 100
    if not images or far(right, round(right), 1e-6):
        yield Finding(f"{name}.top1_select", f"is no whole number of {images} images")


def _summary(record: Record, space: Space) -> Iterator[Finding]:
    made = summarise(record.scores, space, record.task.classes)
    told = record.summary
    if told is None:
        return
    ours, theirs = made.model_dump(mode="json"), told.model_dump(mode="json")
    ours |= ours.pop("coverage")
    theirs |= theirs.pop("coverage")
    for name, value in ours.items():
        given = theirs[name]
        both = isinstance(value, int | float) and isinstance(given, int | float)
        if far(value, given) if both else value != given:
            yield Finding(f"summary.{name}", f"is {given}, the scores say {value}")


def _membership(
    record: Record, space: Space, trained: Space, context: Context
) -> Iterator[Finding]:
    scored = [trained.subnet(score.subnet) for score in record.scores]
    if len(set(scored)) != len(scored):
        yield Finding("scores", "hold a net twice")
    for name in ("smallest", "largest"):
        if getattr(trained, name) not in scored:
            yield Finding("scores", f"lack the {name} trained net")
    if context.expected is None:
        return
    wanted = context.expected(record, space, trained)
    if set(wanted) != set(scored):
        lacking = len(set(wanted) - set(scored))
        extra = len(set(scored) - set(wanted))
        yield Finding("scores", f"lack {lacking} of the track's candidates and hold {extra} others")


def _bits(path: Path, record: Record) -> Iterator[Finding]:
    told = record.bits
    if told is None:
        return
    if told.file != f"{record.run.id}.bits":
        yield Finding("bits.file", f"is {told.file}, should be named as the run")
    shape = (len(record.scores), record.task.splits.test.count)
    if (told.layout.rows, told.layout.images) != shape:
        yield Finding("bits.layout", f"should be {shape[0]} candidates of {shape[1]} images")
        return
    try:
        raw = read_bits(path, record) or b""
    except UsageError as error:
        yield Finding("bits.file", error.message)
        return
    if hashlib.sha256(raw).hexdigest() != told.sha256:
        yield Finding("bits.sha256", "is not that of the file")
    if not packing.fits(raw, told.layout):
        yield Finding("bits", "are not of the size and padding their layout says")
        return
    for place, right in enumerate(packing.counts(raw, told.layout)):
        said = record.scores[place].top1_test
        if not shape[1] or far(said, 100 * right / shape[1]):
            yield Finding(
                f"scores.{place}.top1_test", f"is {said}, the bits say {right}/{shape[1]}"
            )
