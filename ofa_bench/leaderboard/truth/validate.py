"""Recompute what can be recomputed of a record of ground truth; what does not agree is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.leaderboard.screening import screen
from ofa_bench.leaderboard.truth.recorded import analysed
from ofa_bench.leaderboard.truth.recorded_runs import NO_RECORDS, KnownRecords, run_findings
from ofa_bench.records.json_text import hash_without_itself
from ofa_bench.records.spaces import Loader, named_space, recorded_net
from ofa_bench.records.store import Store, read_bytes, slug
from ofa_bench.records.truths.schema import TruthNet, TruthRecord, truth_question
from ofa_bench.records.truths.schema import truth_values as values_of
from ofa_bench.records.truths.store import DIGITS, parse_truth, truth_text, truths
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.records.validation.validate import Context, carefully
from ofa_bench.sanitize import plain_text
from ofa_bench.space import Space, load_space

FOLLOWING = ("left_out", "ranges", "rankings", "ceiling", "ceiling_within")


def held_truths(
    store: Store, context: Context, which: str | None = None
) -> tuple[list[TruthRecord], list[str]]:
    """The records of ground truth that hold, and a sentence for each file that does not.

    A net alone counts where its record holds too. `which` is a data set, or the beginning of
    `<data set>-<space>`.
    """
    records, broken = truths(store.results)
    load, known = context.load, _holding(store, [record for _, record in records], context)
    kept = []
    for path, record in records:
        findings = [one for one in validate_truth(path, load, known) if not one.unknown]
        meant = which is None or which == record.dataset
        if findings:
            broken.append(f"{plain_text(path.name)} of {record.run}: {findings[0]}")
        elif meant or f"{slug(record.dataset)}-{slug(record.space)}-".startswith(which or ""):
            kept.append(record)
    return kept, broken


def _holding(store: Store, truths: Sequence[TruthRecord], context: Context) -> KnownRecords:
    """Of the records that these name, those that hold."""
    named = {run.record for truth in truths for net in truth.nets for run in net.alone}
    names = {truth.run for truth in truths}
    entries = store.list(broken=lambda error: None) if truths else []
    meant = [one for one in entries if one.record.sha256 in named or one.record.run.id in names]
    holding = [entry.record for entry in meant if screen(entry, context) is None]
    return KnownRecords.of(holding)


def validate_truth(
    path: Path, load: Loader = load_space, known: KnownRecords = NO_RECORDS
) -> list[Finding]:
    """What is wrong with a file of ground truth, whatever it holds; empty if nothing.

    `known` are the records of the same results folder. A net alone whose record is not among them
    is a finding, since nothing can be recomputed of it.
    """
    try:
        raw = read_bytes(path, "record-bytes")
        record = parse_truth(raw, str(path))
    except UsageError as error:
        return [Finding("file", error.message)]
    checks = (
        lambda: _file(path, raw, record),
        lambda: _nets(record, load),
        lambda: _runs(record, known, load),
        lambda: _numbers(record),
    )
    return [finding for check in checks for finding in carefully(check)]


def _runs(record: TruthRecord, known: KnownRecords, load: Loader) -> Iterator[Finding]:
    try:
        space = _searched(record, load)
    except UsageError:
        space = None  # as `_nets` says
    yield from run_findings(record, known, space, load)


def _searched(record: TruthRecord, load: Loader) -> Space:
    """The space of the nets; UsageError where it cannot be had."""
    whole = named_space(record.space, record.table, load)
    return Space.from_description(whole.table, record.searched)


def _file(path: Path, raw: bytes, record: TruthRecord) -> Iterator[Finding]:
    if raw != truth_text(record).encode():
        yield Finding("file", "is not spelled as ofa-bench writes records of ground truth")
    if hash_without_itself(values_of(record)) != record.sha256:
        yield Finding("sha256", "is not the record's own hash")
    if truth_question(record) != record.question:
        yield Finding("question", "is not the hash of what was asked")
    if path.stem != record.question[:DIGITS]:
        yield Finding("question", f"begins with {record.question[:DIGITS]}, the file {path.stem}")
    if path.absolute().parent.name != slug(record.run):
        yield Finding("run", f"is {record.run}, the folder {path.absolute().parent.name}")


def _nets(record: TruthRecord, load: Loader) -> Iterator[Finding]:
    try:
        space = _searched(record, load)
    except UsageError as error:
        yield Finding("space", error.message, unknown=record.table is None)
        return
    if space.fingerprint() != record.fingerprint:
        yield Finding("fingerprint", "is not that of the space described")
    seen = set()
    for index, net in enumerate(record.nets):
        try:
            subnet = recorded_net(space, net.subnet)
        except UsageError as error:
            yield Finding(f"nets.{index}.subnet", error.message)
            return
        seen.add(subnet)
        classes = record.classes
        costs = {"macs": space.macs(subnet, classes), "params": space.params(subnet, classes)}
        for name, value in {**costs, "name": str(subnet)}.items():
            if getattr(net, name) != value:
                yield Finding(f"nets.{index}.{name}", f"is {getattr(net, name)}, should be {value}")
        yield from _hits(record, index, net)
    if len(seen) != len(record.nets):
        yield Finding("nets", "hold a net twice")


def _hits(record: TruthRecord, index: int, net: TruthNet) -> Iterator[Finding]:
    for split in ("select", "test"):
        if getattr(net, split) > getattr(record.images, split):
            yield Finding(f"nets.{index}.{split}", "are more images than there are")
    if tuple(run.seed for run in net.alone) != record.seeds:
        yield Finding(f"nets.{index}.alone", f"are not the runs of seeds {list(record.seeds)}")


def _numbers(record: TruthRecord) -> Iterator[Finding]:
    values = values_of(record)
    if any(len(scores) != len(record.nets) for scores in record.proxies.values()):
        yield Finding("proxies", f"do not score each of the {len(record.nets)} nets")
        return
    made = analysed(values["nets"], values["images"], record.proxies, record.version)
    for field in FOLLOWING:
        yield from _compared(field, values[field], made[field])


def _compared(name: str, stated: Any, made: Any) -> Iterator[Finding]:
    if isinstance(made, Mapping) and isinstance(stated, Mapping) and set(made) == set(stated):
        for key in made:
            yield from _compared(f"{name}.{key}", stated[key], made[key])
    elif isinstance(made, list | tuple) and isinstance(stated, list) and len(made) == len(stated):
        for index, (ours, theirs) in enumerate(zip(made, stated, strict=True)):
            yield from _compared(f"{name}.{index}", theirs, ours)
    elif isinstance(made, float) and isinstance(stated, int | float):
        if far(made, stated, 1e-6):
            yield Finding(name, f"is {stated}, the nets say {made}")
    elif made != stated:
        yield Finding(name, f"is {stated}, the nets say {made}")
