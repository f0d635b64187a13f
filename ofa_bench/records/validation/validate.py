"""Recompute what can be recomputed of a record; anything that does not agree is named."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ofa_bench.errors import BenchError, UsageError
from ofa_bench.limits import advice, limit
from ofa_bench.records import per_image
from ofa_bench.records.json_text import spell
from ofa_bench.records.pareto import candidates_hash, summarise
from ofa_bench.records.schema import Record, canonical, own_hash, plain, seals
from ofa_bench.records.spaces import (
    Loader,
    installed,
    shipped_space,
    track_space,
    trained_space,
)
from ofa_bench.records.store import parse, read_bits, read_bytes, slug
from ofa_bench.records.track import number, table
from ofa_bench.records.validation.cost import cost_findings
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.records.validation.identity import identity_findings
from ofa_bench.records.validation.ledger import Planned
from ofa_bench.records.validation.task import task_findings
from ofa_bench.space import Space, Subnet

Expected = Callable[[Record, Space, Space], Sequence[Subnet]]
"""The candidates that a record's track demands, from the record, its space and trained part."""

UNUSABLE = (
    *(ArithmeticError, ValueError, TypeError, LookupError),
    *(AttributeError, RecursionError, MemoryError),
)
MOST_FINDINGS = 200  # of one check
MOST_KEPT = 20_000


@dataclass(frozen=True)
class Context:
    """What a check may use: how spaces load, which candidates a track demands, and the phases that
    a science lays out. What was computed for one record is kept for the next."""

    load: Loader = shipped_space
    expected: Expected | None = None
    planned: Planned | None = None
    memo: dict[bytes, Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """A value by its key, computed when it is first asked for."""
        name = hashlib.sha256(canonical(key)).digest()
        if name not in self.memo:
            if len(self.memo) > MOST_KEPT:
                self.memo.clear()
            self.memo[name] = compute()
        return self.memo[name]


def validate(path: Path, context: Context = Context()) -> list[Finding]:
    """What is wrong with a record's file and its bits, whatever they hold; empty if nothing."""
    try:
        raw = read_bytes(path, "record-bytes")
        record = parse(raw, str(path))
    except UsageError as error:
        return [Finding("file", error.message)]
    return carefully(lambda: _path(path, record)) + findings_of(
        record, raw, lambda: read_bits(path, record), context
    )


def findings_of(
    record: Record, raw: bytes | None, bits: Callable[[], bytes | None], context: Context
) -> list[Finding]:
    """What is wrong with a record, wherever it lies; `raw` is how its file spells it."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        lambda: _hashes(raw, record),
        lambda: identity_findings(record),
        lambda: _status(record),
        lambda: _scores(record, context),
        lambda: _bits(record, bits),
        lambda: task_findings(record),
        lambda: cost_findings(record, context.load, _planned(context)),
    ]
    return [finding for check in checks for finding in carefully(check)]


def _planned(context: Context) -> Planned | None:
    """The context's, asked once for all seeds of a row."""
    if context.planned is None:
        return None
    planned = context.planned

    def once(record: Record) -> Any:
        sources = [(policy.distribution, policy.source.hash) for policy in record.method.parts]
        splits = record.task.splits.model_dump(mode="json")
        size = [record.task.classes, splits, record.method.name, record.origins]
        files = [record.execution.get(name) for name in ("init", "teacher")]
        lender = re.findall(r"--method[ =](\S+)", record.run.command)
        table = record.task.space.table and record.task.space.table.model_dump(mode="json")
        key = ["planned", record.science, table, sources, size, files, lender]
        return context.once(key, lambda: planned(record))

    return once


def carefully(check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """A check's findings; values it cannot even work with are one more, and stop no other check."""
    findings: list[Finding] = []
    try:
        for finding in check():
            findings.append(finding)
            if len(findings) == MOST_FINDINGS:
                findings.append(Finding("record", "has more findings of this kind"))
                break
    except BenchError as error:
        findings.append(Finding("record", error.message))
    except UNUSABLE as error:
        findings.append(Finding("record", f"holds values that cannot be used: {error!r}"))
    return findings


def _path(path: Path, record: Record) -> Iterator[Finding]:
    if path.stem != slug(record.run.id):
        yield Finding("run.id", f"is {record.run.id}, the file {path.stem}")
    folders = (slug(record.task.dataset), slug(record.method.name))
    if path.absolute().parts[-3:-1] != folders:
        yield Finding("file", f"should lie in {'/'.join(folders)}/")


def _hashes(raw: bytes | None, record: Record) -> Iterator[Finding]:
    if raw is not None and raw != spell(plain(record)).encode():
        yield Finding("file", "is not spelled as ofa-bench writes records")
    kept, made = record.seals, seals(record)
    for name in sorted({*kept, *made}):
        if kept.get(name) != made.get(name):
            yield Finding(name, "value or checksum was modified")
    if own_hash(record) != record.sha256:
        yield Finding("sha256", "is not the record's own hash")


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
        yield Finding("task.space", error.message, unknown=not installed(record, context.load))
        return
    if space.fingerprint() != task.space.fingerprint:
        yield Finding("task.space.fingerprint", "is not that of the space described")
    if list(task.resolutions) != list(space.listed):
        yield Finding("task.resolutions", f"should be {list(space.listed)}")
    nets = [score.subnet for score in scores]
    key = ["nets", space.fingerprint(), trained.describe(), task.classes, nets]
    counted = context.once(key, lambda: [_counted(net, trained, task.classes) for net in nets])
    for index, net in enumerate(counted):
        yield from _score(record, index, net)
    if scores:
        yield from _summary(record, space)
        yield from _membership(record, space, trained, context)


def _counted(values: Mapping[str, Any], trained: Space, classes: int) -> dict[str, Any] | Finding:
    """What a recorded net costs and is called, or why it is none of the trained space."""
    try:
        subnet = trained.subnet(values)
    except UsageError as error:
        return Finding("subnet", error.message)
    if subnet not in trained or subnet.to_json() != values:
        return Finding("subnet", "is not a net of the trained space, canonically written")
    macs, params = trained.macs(subnet, classes), trained.params(subnet, classes)
    return {"macs": macs, "params": params, "name": str(subnet)}


def _score(record: Record, index: int, facts: dict[str, Any] | Finding) -> Iterator[Finding]:
    score, name = record.scores[index], f"scores.{index}"
    if isinstance(facts, Finding):
        yield replace(facts, field=f"{name}.subnet")
        return
    for key, value in facts.items():
        if getattr(score, key) != value:
            yield Finding(f"{name}.{key}", f"is {getattr(score, key)}, should be {value}")
    images = record.task.splits.select.count
    right = score.top1_select * images / 100
    if not images or far(right, round(right), 1e-6):
        yield Finding(f"{name}.top1_select", f"is no whole number of {images} images")


def _summary(record: Record, space: Space) -> Iterator[Finding]:
    made = summarise(record.scores, space, record.task.classes)
    recorded = record.summary
    if recorded is None:
        return
    ours, theirs = made.model_dump(mode="json"), recorded.model_dump(mode="json")
    ours |= ours.pop("coverage")
    theirs |= theirs.pop("coverage")
    for name, value in ours.items():
        stated = theirs[name]
        both = isinstance(value, int | float) and isinstance(stated, int | float)
        if far(value, stated) if both else value != stated:
            yield Finding(f"summary.{name}", f"is {stated}, the scores say {value}")


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
    expected = context.expected
    evaluate = table(record.science, "evaluate")
    buckets, per_bucket = number(evaluate, "buckets", 0.0), number(evaluate, "per_bucket", 0.0)
    if buckets * per_bucket > limit("candidates"):
        yield Finding(
            "science.evaluate",
            f"asks for {buckets * per_bucket:.0f} candidates: {advice('candidates')}",
        )
        return
    parts = [space.fingerprint(), trained.describe(), buckets, per_bucket, record.task.classes]
    wanted = context.once(["expected", parts], lambda: expected(record, space, trained))
    if set(wanted) != set(scored):
        lacking = len(set(wanted) - set(scored))
        extra = len(set(scored) - set(wanted))
        yield Finding("scores", f"lack {lacking} of the track's candidates and hold {extra} others")


def _bits(record: Record, bits: Callable[[], bytes | None]) -> Iterator[Finding]:
    recorded = record.bits
    if recorded is None:
        return
    if recorded.file != f"{record.run.id}.bits":
        yield Finding("bits.file", f"is {recorded.file}, should be named as the run")
    shape = (len(record.scores), record.task.splits.test.count)
    if (recorded.layout.rows, recorded.layout.images) != shape:
        yield Finding("bits.layout", f"should be {shape[0]} candidates of {shape[1]} images")
        return
    try:
        raw = bits() or b""
    except UsageError as error:
        yield Finding("bits.file", error.message)
        return
    if hashlib.sha256(raw).hexdigest() != recorded.sha256:
        yield Finding("bits.sha256", "is not that of the file")
    if not per_image.fits(raw, recorded.layout):
        yield Finding("bits", "are not of the size and padding their layout says")
        return
    for index, right in enumerate(per_image.counts(raw, recorded.layout)):
        top1 = record.scores[index].top1_test
        if not shape[1] or far(top1, 100 * right / shape[1]):
            yield Finding(
                f"scores.{index}.top1_test", f"is {top1}, the bits say {right}/{shape[1]}"
            )
