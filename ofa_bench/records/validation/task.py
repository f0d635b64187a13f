"""Whether a record agrees with itself on what was run: names, times, curve, track."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import PurePath
from typing import Any

from ofa_bench.records.schema import Record
from ofa_bench.records.track import number, table
from ofa_bench.records.validation.findings import Finding

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


def task_findings(record: Record) -> Iterator[Finding]:
    """Disagreements between science, task, method, times and curve."""
    yield from _spelled(record)
    yield from _names(record)
    yield from _track(record)
    yield from _times(record)
    yield from _curve(record)


def _spelled(record: Record) -> Iterator[Finding]:
    """Names that a reader would take for another: letters that look alike, blanks, marks."""
    method = record.method
    names = {"method.name": method.name, "method.composition": method.composition}
    names |= {f"the policy {number}": policy.name for number, policy in enumerate(method.parts)}
    for name, text in names.items():
        if not NAME.fullmatch(text):
            yield Finding(name, f"is {text[:80]!a}: names have letters a to z, 0-9 and -_.+")


def _names(record: Record) -> Iterator[Finding]:
    science, method, task = record.science, record.method, record.task
    fields: dict[str, tuple[Any, Any]] = {
        "dataset": (science.get("dataset"), task.dataset),
        "space": (_space_name(science.get("space")), task.space.name),
        "method": (science.get("method"), method.name),
        "evaluate.per_bucket": (
            table(science, "evaluate").get("per_bucket"),
            task.candidates.per_bucket,
        ),
        "extras": (list(science.get("extras", ())), [extra.name for extra in method.extras]),
    }
    for family, policy in method.policies.items():
        ours = table(science, family)
        fields[f"{family}.name"] = (ours.get("name"), policy.name)
        fields[f"{family}.options"] = (ours.get("options", {}), policy.options)
    for name, (here, there) in fields.items():
        if here != there:
            yield Finding(f"science.{name}", f"is {here!r}, elsewhere the record says {there!r}")
    names = task.class_names
    if names is not None and len(names) != task.classes:
        yield Finding("task.class_names", f"are {len(names)}, of {task.classes} classes")
    composed = "+".join(policy.name for policy in method.policies.values())
    if method.composition != composed:
        yield Finding("method.composition", f"is {method.composition!r}, should be {composed!r}")


def _space_name(space: Any) -> Any:
    """A space's name; where a run named the file of a table, the table's."""
    is_file = isinstance(space, str) and space.endswith(".toml")
    return PurePath(space).name.removesuffix(".toml") if is_file else space


def _track(record: Record) -> Iterator[Finding]:
    science = record.science
    for name, key in (
        ("optim", "batch"),
        ("optim", "norm_batch"),
        ("budget", "rule"),
        ("evaluate", "per_bucket"),
        ("augment", "kind"),
    ):
        if table(science, name).get(key) is None:
            yield Finding(f"science.{name}.{key}", "is missing, so the record has no track")
    if science.get("precision") not in ("fp32", "bf16", "fp16"):
        yield Finding("science.precision", "is missing or unknown")
    budget = table(science, "budget")
    rule = budget.get("rule")
    if rule not in ("paper", "epochs", "matched"):
        yield Finding("science.budget.rule", f"is {rule!r}")
    elif rule != "paper" and number(budget, "epochs", 0.0) <= 0:
        yield Finding("science.budget.epochs", f"is missing under the {rule} rule")


def _times(record: Record) -> Iterator[Finding]:
    moments = {}
    for name in ("started", "finished"):
        try:
            moments[name] = datetime.fromisoformat(getattr(record.run, name))
            if moments[name].tzinfo is None:
                raise ValueError("without a zone")
        except ValueError:
            yield Finding(f"run.{name}", "is not an ISO 8601 time with its zone")
            return
    if moments["finished"] < moments["started"]:
        yield Finding("run.finished", "is before run.started")


def _curve(record: Record) -> Iterator[Finding]:
    steps = sum(phase.steps for phase in record.cost.phases)
    names = {phase.name for phase in record.cost.phases}
    for index, point in enumerate(record.curve):
        if point.step > steps:
            yield Finding(f"curve.{index}.step", f"is {point.step} of {steps} steps")
        if point.phase not in names:
            yield Finding(f"curve.{index}.phase", f"is {point.phase!r}, no phase of the ledger")
    if any(b.step < a.step for a, b in pairwise(record.curve)):
        yield Finding("curve", "does not go forward")
