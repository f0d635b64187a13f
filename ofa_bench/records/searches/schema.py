"""What one search leaves behind: an immutable, versioned file that carries its own hash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ofa_bench.records.json_text import digest, hash_without_itself
from ofa_bench.records.parts import Count, Hash, Macs, Part, Percent
from ofa_bench.records.per_image import wilson
from ofa_bench.records.tables import SpaceTable

VERSION = 1
MOST_NETS = 20_000  # that one search scores
MOST_TOP = 100
QUESTION = (
    *("run", "weights", "data", "searched", "classes", "budget"),
    *("searcher", "seed", "wanted", "evaluations"),
)


class SplitSizes(Part):
    """How many images the select and test splits hold."""

    select: Count
    test: Count


class SearchBudget(Part):
    """What was asked for: at most `value` of `kind`, in `unit`; the whole front without a value.

    `table` is the hash of the latency table that the costs are from.
    """

    kind: Literal["macs", "params", "latency"]
    value: float | None = Field(ge=0, le=1e30)
    unit: str = Field(max_length=20)
    table: Hash | None = None


class SearcherUsed(Part):
    """The searcher that proposed nets: its name, distribution, version and source hash."""

    name: str = Field(max_length=100)
    distribution: str = Field(max_length=200)
    version: str = Field(max_length=100)
    source: Hash


def accuracy(split: str, hits: int, images: int) -> dict[str, float]:
    """The fields of a net's accuracy on a split, in percent, with its 95 % Wilson interval."""
    low, high = wilson(hits, images)
    return {f"top1_{split}": 100 * hits / images, f"{split}_low": low, f"{split}_high": high}


class SearchedNet(Part):
    """A subnet with its costs and accuracies in percent, each with its 95 % Wilson interval.

    `latency` in ms where the search had a table, `measured` in ms where the net was measured whole.
    Only nets that a search names are scored on test.
    """

    subnet: dict[str, Any]
    name: str = Field(max_length=200)
    macs: Macs
    params: Count
    latency: float | None = Field(default=None, ge=-1e12, le=1e12)
    measured: float | None = Field(default=None, ge=0, le=1e12)
    top1_select: Percent
    select_low: Percent
    select_high: Percent
    top1_test: Percent | None = None
    test_low: Percent | None = None
    test_high: Percent | None = None


class FrontNet(SearchedNet):
    """The best net inside one budget of a front, beside the best random net and the net of most
    MACs inside that budget, in percent on select."""

    budget: float = Field(ge=0, le=1e30)
    random: Percent | None = None
    macs_alone: Percent | None = None


class SearchBaselines(Part):
    """The best of as many random nets as the searcher proposed, and the net of most MACs; None of
    a front, whose points have their own."""

    random: SearchedNet | None = None
    macs_alone: SearchedNet | None = None


class PredictorRecord(Part):
    """Kendall's tau of the surrogate on nets that it was not fitted to, with a 95 % interval; of
    MACs alone on the same nets; of select against test accuracy on the nets of the run's record."""

    tau: float = Field(ge=-1, le=1)
    low: float = Field(ge=-1, le=1)
    high: float = Field(ge=-1, le=1)
    tau_macs_alone: float = Field(ge=-1, le=1)
    ceiling: float | None = Field(ge=-1, le=1)
    nets: Count


class SearchTrials(Part):
    """Which of the scored nets, by index, each way of choosing proposed, in its order."""

    searcher: tuple[Count, ...] = Field(max_length=MOST_NETS)
    random: tuple[Count, ...] = Field(default=(), max_length=MOST_NETS)
    macs_alone: tuple[Count, ...] = Field(default=(), max_length=1000)


class SelectHits(Part):
    """A subnet and how many of the select images it gets right."""

    subnet: dict[str, Any]
    select: Count


class SearchRecord(Part):
    """One search of one finished run. Make it with `sealed_search`, which adds the hash.

    `weights` is the hash of the run's weights file, `data` that of its images, `searched` the part
    of the space that the run trained. `exhaustive`: every net of it was scored. `best` is the most
    accurate on select of all that were scored inside the budget (fewer MACs, then the order of its
    JSON, decide between equals), `best_by` the first that proposed it. Under a latency it is the
    first of `top` that was measured within it, if one was.
    """

    version: Literal[1] = Field(default=1, alias="schema")
    run: str = Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$", max_length=100)
    weights: Hash
    data: str = Field(max_length=1000)
    space: str = Field(max_length=200)
    searched: dict[str, Any]
    table: SpaceTable | None = None
    classes: int = Field(gt=0, le=10**6)
    images: SplitSizes
    budget: SearchBudget
    searcher: SearcherUsed
    seed: int = Field(ge=0, lt=2**31)
    wanted: int = Field(gt=0, le=MOST_TOP)
    evaluations: int = Field(gt=0, le=MOST_NETS)
    exhaustive: bool
    nets: Macs
    evaluated: Count
    best: SearchedNet
    best_by: Literal["searcher", "random", "macs_alone"]
    top: tuple[SearchedNet, ...] = Field(max_length=MOST_TOP)
    front: tuple[FrontNet, ...] = Field(default=(), max_length=1000)
    baselines: SearchBaselines
    predictor: PredictorRecord | None
    trials: SearchTrials
    scored: tuple[SelectHits, ...] = Field(max_length=2 * MOST_NETS)
    question: Hash
    command: str = Field(max_length=100_000)
    ofa_bench: str = Field(max_length=100)
    torch: str = Field(max_length=100)
    finished: str = Field(pattern=r"^[0-9T:.+Z-]{10,40}$")
    sha256: Hash


def sealed_search(fields: Mapping[str, Any]) -> SearchRecord:
    """The search record of these fields, with its own hash. Raises pydantic.ValidationError."""
    draft = SearchRecord.model_validate({"schema": VERSION, **fields, "sha256": "0" * 64})
    return draft.model_copy(update={"sha256": hash_without_itself(search_values(draft))})


def search_values(record: SearchRecord) -> dict[str, Any]:
    return record.model_dump(mode="json", by_alias=True)


def question_hash(fields: Mapping[str, Any]) -> str:
    """Hex SHA-256 of what a search was asked, from a record's fields as JSON values (`QUESTION`).

    Its answer is filed under the first 16 digits.
    """
    return digest({name: fields[name] for name in QUESTION})


def order(hits: int, macs: int, subnet: Mapping[str, Any]) -> tuple[int, int, str]:
    """The key by which nets are ranked, the best first: hits, fewer MACs, JSON."""
    return -hits, macs, json.dumps(subnet, sort_keys=True)
