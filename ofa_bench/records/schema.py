"""What one run leaves behind: an immutable, versioned record that carries its own hash."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from ofa_bench.records import parts
from ofa_bench.records.json_text import canonical as canonical
from ofa_bench.records.json_text import digest, hash_without_itself
from ofa_bench.records.parts import Beside as Beside
from ofa_bench.records.parts import Cost as Cost
from ofa_bench.records.parts import Count, Epochs, Hash, Macs, Part, Percent, Share, Units
from ofa_bench.records.parts import DecoderRecord as DecoderRecord
from ofa_bench.records.parts import Identity as Identity
from ofa_bench.records.parts import Machine as Machine
from ofa_bench.records.parts import PhaseCost as PhaseCost
from ofa_bench.records.parts import Rates as Rates
from ofa_bench.records.tables import SpaceTable

VERSION = 1
SEEDS = 2**31  # as `run` takes
MOST_PER_BUCKET = 1000  # as recipes allow
# Fields that came after the first records, by dotted path, with the value that is left out of the
# file: a record from before them keeps its bytes, and so its hash.
LATER: dict[str, Any] = {
    "adoption": None,
    "ancestor": None,
    "identity": None,
    "rates": None,
    "task.class_names": None,
    "task.decoder": None,
    "task.space.table": None,
}
# Fields of `cost.phases` and `cost.beside` that nothing fills any more: early files have them.
FORMER = {"compile_seconds", "download_seconds", "energy_joules"}


class Run(Part):
    """When, by which command and from which code; times are ISO 8601 in UTC.

    `prefix` is the id of the beginning this run shares with other rows of its comparison, where it
    branched from one: such rows are compared seed by seed.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$", max_length=100)
    started: str
    finished: str
    command: str
    commit: str | None = None
    dirty: bool | None = None
    prefix: str | None = None


class SourceText(Part):
    """The code of a policy; shown, never executed."""

    hash: str
    text: str


class PolicyRecord(Part):
    """A policy or extra as it ran."""

    name: str
    options: dict[str, Any]
    distribution: str
    version: str
    source: SourceText


class Method(Part):
    """The bundle and its parts; `composition` as `sandwich+cosine+labels`."""

    name: str
    composition: str
    shrink: PolicyRecord
    lr: PolicyRecord
    distill: PolicyRecord
    extras: tuple[PolicyRecord, ...] = ()
    wrappers: tuple[str, ...] = ()

    @property
    def policies(self) -> dict[str, PolicyRecord]:
        """The three policies by family."""
        return {"shrink": self.shrink, "lr": self.lr, "distill": self.distill}

    @property
    def parts(self) -> tuple[PolicyRecord, ...]:
        """The policies, then the extras."""
        return (*self.policies.values(), *self.extras)


class Split(Part):
    """How many images, and the hash of their bytes."""

    count: Count
    hash: str


class Splits(Part):
    """What trains, what every choice is made on, and what is read once."""

    train: Split
    select: Split
    test: Split


class SpaceUsed(Part):
    """The track's space, and the part of it that the method trained (both as `Space.describe`);
    `table` is there where the space does not come with ofa-bench."""

    name: str
    fingerprint: str
    description: dict[str, Any]
    trained: dict[str, Any]
    table: SpaceTable | None = None


class Candidates(Part):
    """The evaluated nets: `hash` by `ofa_bench.records.pareto.candidates_hash`."""

    count: Count
    hash: Hash
    per_bucket: int = Field(ge=0, le=MOST_PER_BUCKET)


class Task(Part):
    """What was to be learned and how it was measured; `calibration` hashes the fixed image list.

    `class_names` in label order; `decoder` where image files were decoded. Both are absent from
    records that were made before they were kept.
    """

    dataset: str
    dataset_hash: str
    splits: Splits
    space: SpaceUsed
    classes: int = Field(gt=0, le=10**6)
    candidates: Candidates
    calibration: str
    resolutions: tuple[Units, ...] = Field(max_length=1000)
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    decoder: DecoderRecord | None = None


class Score(Part):
    """One candidate; `subnet` as `Subnet.to_json`, accuracies in percent."""

    subnet: dict[str, Any]
    name: str
    macs: Macs
    params: Count
    top1_select: Percent
    top1_test: Percent


class Coverage(Part):
    """MACs of the cheapest and dearest candidate, and the share of the space's range they span."""

    low: Macs
    high: Macs
    share: Share


class Summary(Part):
    """The numbers a board shows; each follows from `scores` (see `front`)."""

    mean_pareto_accuracy: Percent
    mean_pareto_accuracy_paper: Percent | None
    mean_pareto_accuracy_paper_reason: str | None = None
    coverage: Coverage
    largest_top1: Percent
    smallest_top1: Percent
    selection_bonus: float = Field(ge=-100, le=100)


class CurvePoint(Part):
    """Accuracies on `select` during training; None where a net is not trained yet."""

    step: Count
    epoch: Epochs
    phase: str
    largest: Percent | None = None
    smallest: Percent | None = None


class Layout(Part):
    """Shape of the bits file: a candidate a row, a test image a bit, big-endian, rows padded."""

    rows: Count
    images: Count
    packing: Literal["packbits-big"] = "packbits-big"


class Bits(Part):
    """The per-image correctness beside the record."""

    file: str = Field(pattern=r"^[a-z0-9][a-z0-9._+-]*\.bits$")
    sha256: Hash
    layout: Layout


class Record(Part):
    """One run. Make it with `sealed`, which adds the seals (a hash per field, to name what was
    changed) and the hash over everything else."""

    version: Literal[1] = Field(default=1, alias="schema")
    run: Run
    status: Literal["ok", "failed", "diverged", "imported"]
    method: Method
    task: Task
    science: dict[str, Any]
    origins: dict[str, str] = {}
    execution: dict[str, Any] = {}
    seed: int = Field(ge=0, lt=SEEDS)
    row_id: Hash
    run_id: Hash
    identity: Identity | None = None
    adoption: parts.Adoption | None = None
    ancestor: parts.Ancestor | None = None
    machine: Machine
    cost: Cost
    scores: tuple[Score, ...] = Field(default=(), max_length=100_000)
    summary: Summary | None = None
    curve: tuple[CurvePoint, ...] = Field(default=(), max_length=100_000)
    rates: Rates | None = None
    error: str | None = None
    bits: Bits | None = None
    weights_sha256: Hash | None = None
    seals: dict[str, str] = {}
    sha256: Hash

    @property
    def good(self) -> bool:
        """Whether the run has numbers."""
        return self.summary is not None


def sealed(fields: Mapping[str, Any]) -> Record:
    """The record of these fields (parts or plain values), with its own seals and hash.

    Raises pydantic.ValidationError on a field that is missing, unknown or of the wrong kind.
    """
    body = {name: value for name, value in fields.items() if name not in ("seals", "sha256")}
    draft = Record.model_validate({"schema": VERSION, **body, "sha256": "0" * 64})
    draft = draft.model_copy(update={"seals": seals(draft)})
    return draft.model_copy(update={"sha256": own_hash(draft)})


def seals(record: Record) -> dict[str, str]:
    """Field or list item (`task.splits`, `scores.12`) -> 16 hex digits of its SHA-256."""
    body = {k: v for k, v in plain(record).items() if k not in ("seals", "sha256")}
    return {name: digest(value)[:16] for name, value in _leaves(body)}


def _leaves(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in body.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        elif isinstance(value, list) and value:
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))
        else:
            yield name, value


def plain(record: Record) -> dict[str, Any]:
    """The record as JSON values."""
    values = record.model_dump(mode="json", by_alias=True)
    for path, absent in LATER.items():
        *parents, name = path.split(".")
        inner = values
        for parent in parents:
            inner = inner[parent]
        if inner[name] == absent:
            del inner[name]
    phases = zip(record.cost.phases, values["cost"]["phases"], strict=True)
    for part, inner in [(record.cost.beside, values["cost"]["beside"]), *phases]:
        for name in FORMER & (inner.keys() - part.model_fields_set):
            del inner[name]
    return values


def own_hash(record: Record) -> str:
    """Hex SHA-256 over the canonical JSON of everything but the hash itself."""
    return hash_without_itself(plain(record))


def json_schema(model: type[Part] = Record) -> str:
    """The published JSON Schema, as the `schema.json` beside the model holds it."""
    schema = model.model_json_schema(by_alias=True, mode="serialization")
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"
