"""A track: what two records must share to stand in one table (docs/evaluation-protocol.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ofa_bench.recipe.fingerprint import decoder_id
from ofa_bench.records.json_text import digest
from ofa_bench.records.schema import Record
from ofa_bench.records.store import StoredRecord, slug
from ofa_bench.spec_files import load_toml, specs_root


@dataclass(frozen=True)
class Track:
    """`facts` are what the id hashes; `budget` is how the rule and size are printed."""

    id: str
    dataset: str
    space: str
    budget: str
    facts: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def name(self) -> str:
        """The boards' file name."""
        return f"{slug(self.dataset)}-{slug(self.space)}-{slug(self.budget)}-{self.id[:8]}"


def track_of(record: Record) -> Track:
    facts = _facts(record)
    return Track(
        id=digest(facts),
        dataset=record.task.dataset,
        space=record.task.space.name,
        budget=budget_label(table(record.science, "budget")),
        facts=facts,
    )


def tracks(entries: Iterable[StoredRecord]) -> dict[Track, list[StoredRecord]]:
    """The records of each track, tracks by name; nets alone are on none."""
    groups: dict[Track, list[StoredRecord]] = {}
    for entry in entries:
        if not alone(entry.record):
            groups.setdefault(track_of(entry.record), []).append(entry)
    return dict(sorted(groups.items(), key=lambda item: item[0].name))


def alone(record: Record) -> bool:
    """Whether a record is of a net that `truth` trained alone: it is no method's, and its space
    holds nothing to compare."""
    carried = record.task.space.table
    if carried is None or record.method.name != _method_alone():
        return False
    choices = [options for row in carried.rows for options in (row.depth, row.expand, row.kernel)]
    return all(len(options) == 1 for options in (*choices, carried.resolutions))


@lru_cache
def _method_alone() -> str:
    return str(load_toml(specs_root() / "defaults.toml")["truth"]["method"])


def budget_label(budget: Mapping[str, Any]) -> str:
    """`paper-x0.037` (relative to the published lengths), `epochs-12`, `matched-12`."""
    rule = str(budget.get("rule", "paper"))
    if rule != "paper":
        return f"{rule}-{number(budget, 'epochs', 0.0):.4g}"
    share = number(budget, "scale", 1.0) * number(budget, "factor", 1.0)
    return f"paper-x{share / (number(budget, 'published', 1.0) or 1.0):.4g}"


def table(science: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table of the science; empty where there is none."""
    value = science.get(name)
    return value if isinstance(value, Mapping) else {}


def number(values: Mapping[str, Any], name: str, default: float) -> float:
    """A number of a table; the default where it is absent or no number."""
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else default


def _facts(record: Record) -> dict[str, Any]:
    task, science = record.task, record.science
    optim, evaluate = table(science, "optim"), table(science, "evaluate")
    return {
        "dataset": [task.dataset, task.dataset_hash, task.classes],
        "splits": task.splits.model_dump(mode="json"),
        "space": [task.space.name, task.space.fingerprint],
        "augment": dict(table(science, "augment")),
        "batch": [optim.get("batch"), optim.get("norm_batch")],
        "precision": science.get("precision"),
        "evaluation": {
            "calibration": task.calibration,
            "resolutions": list(task.resolutions),
            "per_bucket": evaluate.get("per_bucket"),
            "buckets": evaluate.get("buckets"),
        },
        "budget": _budget(table(science, "budget")),
        # Absent, not None, so that records from before it was kept stay on their track.
        **({"decoder": decoder_id(**task.decoder.model_dump())} if task.decoder else {}),
    }


def _budget(budget: Mapping[str, Any]) -> list[Any]:
    # A method's own reference length is not the track's: `paper` gives each method its own.
    rule = budget.get("rule")
    names = ("scale", "factor", "published") if rule == "paper" else ("epochs",)
    return [rule, *(budget.get(name) for name in names)]
