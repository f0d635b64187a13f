"""Recompute what can be recomputed of a search's record; what does not agree is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.records.json_text import hash_without_itself
from ofa_bench.records.searches.schema import (
    SearchedNet,
    SearchRecord,
    accuracy,
    order,
    question_hash,
    search_values,
)
from ofa_bench.records.searches.store import DIGITS, FOLDER, lies_in, parse_search, search_text
from ofa_bench.records.spaces import Loader, named_space, recorded_net
from ofa_bench.records.store import read_bytes, slug
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.records.validation.validate import carefully
from ofa_bench.space import Space, Subnet, load_space

WAYS = ("searcher", "random", "macs_alone")


def is_search(path: Path) -> bool:
    """Whether a file is a search's record: by its folder, which no other record lies in."""
    return lies_in(FOLDER, path)


def validate_search(path: Path, load: Loader = load_space) -> list[Finding]:
    """What is wrong with the file of a search, whatever it holds; empty if nothing."""
    try:
        raw = read_bytes(path, "search-bytes")
        record = parse_search(raw, str(path))
    except UsageError as error:
        return [Finding("file", error.message)]
    checks = (
        lambda: _file(path, raw, record),
        lambda: _trials(record),
        lambda: _nets(record, load),
    )
    return [finding for check in checks for finding in carefully(check)]


def _file(path: Path, raw: bytes, record: SearchRecord) -> Iterator[Finding]:
    if raw != search_text(record).encode():
        yield Finding("file", "is not spelled as ofa-bench writes searches")
    if path.stem != record.question[:DIGITS]:
        yield Finding("question", f"begins with {record.question[:DIGITS]}, the file {path.stem}")
    if path.absolute().parent.name != slug(record.run):
        yield Finding("run", f"is {record.run}, the folder {path.absolute().parent.name}")
    if hash_without_itself(search_values(record)) != record.sha256:
        yield Finding("sha256", "is not the search's own hash")
    if question_hash(search_values(record)) != record.question:
        yield Finding("question", "is not the hash of what was asked")


def _trials(record: SearchRecord) -> Iterator[Finding]:
    """Whether the scored nets are those that were proposed, within the evaluations asked for."""
    proposed: set[int] = set()
    for way in WAYS:
        indices: Sequence[int] = getattr(record.trials, way)
        if len(set(indices)) != len(indices) or any(i >= len(record.scored) for i in indices):
            yield Finding(f"trials.{way}", "names a net twice, or one that was not scored")
        proposed |= set(indices)
    if proposed != set(range(len(record.scored))):
        yield Finding("scored", "holds nets that nothing proposed, or lacks some")
    if record.evaluated != len(record.scored):
        yield Finding("evaluated", f"is {record.evaluated} of {len(record.scored)} scored nets")
    if len(record.trials.random) > len(record.trials.searcher):
        yield Finding("trials.random", "are more than the searcher's")


@dataclass(frozen=True)
class _Ranked:
    """A scored net with all that a search's answer follows from."""

    index: int
    subnet: Subnet
    values: Mapping[str, Any]
    hits: int
    macs: int
    params: int

    @property
    def key(self) -> tuple[int, int, str]:
        return order(self.hits, self.macs, self.values)


def _nets(record: SearchRecord, load: Loader) -> Iterator[Finding]:
    try:
        whole = named_space(record.space, record.table, load, "searches")
        space = Space.from_description(whole.table, record.searched)
    except UsageError as error:
        yield Finding("searched", error.message, unknown=record.table is None)
        return
    nets = space.count * len(space.listed)
    if record.nets != nets:
        yield Finding("nets", f"is {record.nets}, the space has {nets}")
    if record.exhaustive != (len(record.scored) == nets):
        yield Finding("exhaustive", f"is {record.exhaustive} of {len(record.scored)} scored nets")
    ranked: list[_Ranked] = []
    for index, net in enumerate(record.scored):
        try:
            subnet = recorded_net(space, net.subnet)
        except UsageError as error:
            yield Finding(f"scored.{index}", error.message)
            return
        macs, params = (count(subnet, record.classes) for count in (space.macs, space.params))
        ranked.append(_Ranked(index, subnet, net.subnet, net.select, macs, params))
        if net.select > record.images.select:
            yield Finding(f"scored.{index}", "gets more images right than there are")
            return
    if len({net.subnet for net in ranked}) != len(ranked) or not ranked:
        yield Finding("scored", "holds a net twice, or none")
        return
    yield from _answer(record, ranked)


def _answer(record: SearchRecord, ranked: Sequence[_Ranked]) -> Iterator[Finding]:
    shown = [("best", record.best), *((f"top.{i}", net) for i, net in enumerate(record.top))]
    shown += [(f"front.{i}", net) for i, net in enumerate(record.front)]
    baselines = record.baselines
    ways = {"random": baselines.random, "macs_alone": baselines.macs_alone}
    shown += [(f"baselines.{way}", net) for way, net in ways.items() if net is not None]
    for field, net in shown:
        yield from _net(field, net, record, ranked)
    budget = record.budget
    if budget.kind == "latency":
        limit = budget.value or 0.0
        within = [n for n in record.top if n.measured is not None and n.measured <= limit]
        if budget.value is not None and record.best not in (within or record.top)[:1]:
            yield Finding("best", "is not the first of the top that was measured in time")
        yield Finding("budget", "latencies need their table, which is not here", unknown=True)
        return
    if budget.value is None:
        yield from _front(record, ranked)
        return
    inside = sorted(_inside(ranked, budget.kind, budget.value), key=lambda net: net.key)
    names = [net.values for net in inside]
    if record.best.subnet != names[0]:
        yield Finding("best", "is not the best scored net inside the budget")
    if [net.subnet for net in record.top] != names[: record.wanted]:
        yield Finding("top", "are not the best scored nets inside the budget")
    for way, baseline in ways.items():
        indices = set(getattr(record.trials, way))
        best = next((other.values for other in inside if other.index in indices), None)
        if (baseline.subnet if baseline is not None else None) != best:
            yield Finding(f"baselines.{way}", "is not the best of its scored nets")
    by = next((w for w in WAYS if inside[0].index in getattr(record.trials, w)), None)
    if record.best_by != by:
        yield Finding("best_by", f"is {record.best_by}, should be {by}")


def _net(
    field: str, net: SearchedNet, record: SearchRecord, ranked: Sequence[_Ranked]
) -> Iterator[Finding]:
    match = next((other for other in ranked if other.values == net.subnet), None)
    if match is None:
        yield Finding(field, "was not scored")
        return
    images = record.images
    values: dict[str, Any] = {
        "name": str(match.subnet),
        "macs": match.macs,
        "params": match.params,
        **accuracy("select", match.hits, images.select),
    }
    if net.top1_test is not None:
        values |= accuracy("test", round(net.top1_test * images.test / 100), images.test)
    for name, value in values.items():
        stated = getattr(net, name)
        if stated != value and (isinstance(value, str) or stated is None or far(stated, value)):
            yield Finding(f"{field}.{name}", f"is {stated}, should be {value}")


def _front(record: SearchRecord, ranked: Sequence[_Ranked]) -> Iterator[Finding]:
    ordered = sorted(ranked, key=lambda net: net.key)
    drawn, alone = set(record.trials.random), set(record.trials.macs_alone)
    winners = []
    for index, point in enumerate(record.front):
        inside = _inside(ordered, record.budget.kind, point.budget)
        if not inside or inside[0].values != point.subnet:
            yield Finding(f"front.{index}", "is not the best scored net inside its budget")
            continue
        winners.append(inside[0])
        largest = max((n for n in inside if n.index in alone), key=lambda n: n.macs, default=None)
        others = {
            "random": next((net for net in inside if net.index in drawn), None),
            "macs_alone": largest,
        }
        for name, net in others.items():
            value = None if net is None else 100 * net.hits / record.images.select
            stated = getattr(point, name)
            if (stated is None) != (value is None) or (value is not None and far(stated, value)):
                yield Finding(f"front.{index}.{name}", f"is {stated}, should be {value}")
    if winners and record.best.subnet != min(winners, key=lambda net: net.key).values:
        yield Finding("best", "is not the best net of the front")


def _inside(ranked: Sequence[_Ranked], kind: str, budget: float) -> list[_Ranked]:
    return [net for net in ranked if (net.macs if kind == "macs" else net.params) <= budget]
