"""What `truth` leaves behind for one supernet: immutable, versioned, with its own hash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ofa_bench.records.json_text import digest, hash_without_itself
from ofa_bench.records.parts import Count, Hash, Macs, Part, Percent
from ofa_bench.records.searches.schema import SplitSizes
from ofa_bench.records.tables import SpaceTable

VERSION: Literal[2] = 2
MOST_NETS = 300
MOST_SEEDS = 20
MOST_PROXIES = 50
CIRCUMSTANCES = ("command", "ofa_bench", "torch", "finished", "sha256")
QUESTION = ("run", "weights", "data", "fingerprint", "recipe", "seeds")

Correlation = Annotated[float, Field(ge=-1, le=1)]
Difference = Annotated[float, Field(ge=-100, le=100)]
Name = Annotated[str, Field(max_length=200)]
Scores = Annotated[tuple[float, ...], Field(max_length=MOST_NETS)]


class SeedAlone(Part):
    """One run of a net alone: its id, its record's hash, and its accuracies in percent on select
    and test, None where it failed."""

    seed: int = Field(ge=0, lt=2**31)
    run: Name | None
    record: Hash | None
    status: Literal["ok", "failed", "diverged"]
    top1_select: Percent | None
    top1_test: Percent | None


class TruthNet(Part):
    """A net: its costs, the images that the supernet's weights get right, its runs alone by seed.

    `trained`: whether the supernet's method trained it, or only its parts in other combinations.
    """

    subnet: dict[str, Any]
    name: Name
    macs: Macs
    params: Count
    trained: bool
    select: Count
    test: Count
    alone: tuple[SeedAlone, ...] = Field(max_length=MOST_SEEDS)


class TauRecord(Part):
    """See `ofa_bench.leaderboard.truth.analysis.Tau`."""

    measured: Correlation
    value: Correlation
    low: Correlation
    high: Correlation


class PointsRecord(Part):
    """See `ofa_bench.leaderboard.truth.analysis.Points`."""

    value: Difference
    low: Difference
    high: Difference


class RankingRecord(Part):
    """See `ofa_bench.leaderboard.truth.analysis.RankingTruth`; `regret` by k as text."""

    name: Name
    overall: TauRecord
    within: TauRecord
    regret: dict[Annotated[str, Field(pattern=r"^[0-9]{1,3}$")], PointsRecord]
    regret_within: PointsRecord
    gap: PointsRecord | None


class TruthRecord(Part):
    """How one supernet ranks nets, beside the nets alone. Make it with `sealed_truth`.

    `run`, `method`, `supernet_seed` and `weights` name the supernet; `recipe` is the hash of the
    nets' recipe and `budget` its length as boards print it. `proxies` are further scores of the
    nets, by name. `left_out` counts nets that lack a seed: no number follows from them. The other
    fields are those of `TruthAnalysis`; in version 1 intervals of gaps are by bootstrap.
    """

    version: Literal[1, 2] = Field(default=VERSION, alias="schema")
    run: str = Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$", max_length=100)
    method: Name
    supernet_seed: int = Field(ge=0, lt=2**31)
    weights: Hash
    data: str = Field(max_length=1000)
    dataset: Name
    space: Name
    fingerprint: str = Field(max_length=200)
    searched: dict[str, Any]
    table: SpaceTable | None = None
    classes: int = Field(gt=0, le=10**6)
    images: SplitSizes
    recipe: Hash
    budget: Name
    seeds: tuple[int, ...] = Field(min_length=1, max_length=MOST_SEEDS)
    nets: tuple[TruthNet, ...] = Field(min_length=1, max_length=MOST_NETS)
    proxies: dict[Name, Scores] = Field(default={}, max_length=MOST_PROXIES)
    left_out: Count
    ranges: tuple[tuple[Macs, Macs], ...] = Field(max_length=MOST_NETS)
    rankings: tuple[RankingRecord, ...] = Field(max_length=100)
    ceiling: TauRecord | None
    ceiling_within: TauRecord | None
    question: Hash
    command: str = Field(max_length=100_000)
    ofa_bench: Name
    torch: Name
    finished: str = Field(pattern=r"^[0-9T:.+Z-]{10,40}$")
    sha256: Hash

    def same_as(self, other: TruthRecord) -> bool:
        """Whether two records differ in when and by which line and version they were made alone."""
        circumstances = dict.fromkeys(CIRCUMSTANCES)
        ours, theirs = ({**truth_values(one), **circumstances} for one in (self, other))
        return ours == theirs


def sealed_truth(fields: Mapping[str, Any]) -> TruthRecord:
    """The record of these fields, with its question and its own hash. Raises ValidationError."""
    blank = "0" * 64
    draft = TruthRecord.model_validate(
        {"schema": VERSION, **fields, "question": blank, "sha256": blank}
    )
    draft = draft.model_copy(update={"question": truth_question(draft)})
    return draft.model_copy(update={"sha256": hash_without_itself(truth_values(draft))})


def truth_values(record: TruthRecord) -> dict[str, Any]:
    """The record as JSON values."""
    return record.model_dump(mode="json", by_alias=True)


def truth_question(record: TruthRecord) -> str:
    """Hex SHA-256 of what was asked: supernet, data, space, recipe, seeds and nets."""
    values = truth_values(record)
    nets = [net["subnet"] for net in values["nets"]]
    return digest([*(values[name] for name in QUESTION), nets])
