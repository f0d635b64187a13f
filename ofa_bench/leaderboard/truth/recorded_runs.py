"""What a record of ground truth says of runs, beside the records of those runs: its nets alone, and
the supernet that ranks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ofa_bench.errors import UsageError
from ofa_bench.recipe.fingerprint import decoder_id
from ofa_bench.records.json_text import digest
from ofa_bench.records.schema import Record, own_hash
from ofa_bench.records.spaces import Loader, recorded_net, trained_space
from ofa_bench.records.track import alone, budget_label, table
from ofa_bench.records.truths.schema import SeedAlone, TruthNet, TruthRecord
from ofa_bench.records.validation.findings import Finding, far
from ofa_bench.space import Space, Subnet
from ofa_bench.space.one_net import name_alone, one_net_table

SHARED = ("augment", "optim.batch", "optim.norm_batch", "precision")  # with the supernet


@dataclass(frozen=True)
class KnownRecords:
    """The unchanged records of a results folder, by hash and by run."""

    by_hash: Mapping[str, Record]
    by_run: Mapping[str, Record]

    @classmethod
    def of(cls, records: Sequence[Record]) -> KnownRecords:
        """Those whose hash is their own."""
        unchanged = [record for record in records if own_hash(record) == record.sha256]
        by_run = {record.run.id: record for record in unchanged}
        return cls({record.sha256: record for record in unchanged}, by_run)


NO_RECORDS = KnownRecords({}, {})


def run_findings(
    truth: TruthRecord, known: KnownRecords, space: Space | None, load: Loader
) -> Iterator[Finding]:
    """Where the runs' records are not here, or say otherwise than the truth. `space` is the one
    searched, None where it cannot be had."""
    track = _Track(truth)
    subnets = [_subnet(space, net) for net in truth.nets]
    for index, net in enumerate(truth.nets):
        for number, run in enumerate(net.alone):
            name = f"nets.{index}.alone.{number}"
            yield from _stated(name, run)
            if run.record is None:
                continue
            record = known.by_hash.get(run.record)
            if record is None:
                missing = "is not here, or does not hold: its accuracies cannot be recomputed"
                yield Finding(f"{name}.record", missing)
                continue
            yield from _net_alone(name, net, run, record)
            if space is not None and (subnet := subnets[index]) is not None:
                yield from _one_net(name, space, subnet, record)
            yield from track.differences(name, record)
    supernet = known.by_run.get(truth.run)
    if supernet is None:
        yield Finding("run", f"the record of {truth.run} is not here", unknown=True)
        return
    yield from _supernet(truth, supernet)
    yield from track.of_supernet(supernet)
    yield from _trained(truth, supernet, subnets, load)


def _subnet(space: Space | None, net: TruthNet) -> Subnet | None:
    """A net of the space, None where it is none or the space is not here."""
    try:
        return None if space is None else recorded_net(space, net.subnet)
    except UsageError:
        return None


def _stated(name: str, run: SeedAlone) -> Iterator[Finding]:
    """Whether a run has accuracies exactly where it is ok, and then a record too."""
    good = run.status == "ok"
    for split in ("top1_select", "top1_test"):
        if good != (getattr(run, split) is not None):
            yield Finding(f"{name}.{split}", f"is {getattr(run, split)}, of status {run.status}")
    if run.record is None and (good or run.run is not None):
        yield Finding(f"{name}.record", "is missing: its accuracies cannot be recomputed")


def _net_alone(name: str, net: TruthNet, run: SeedAlone, record: Record) -> Iterator[Finding]:
    score = record.scores[0] if record.scores else None
    values = {
        "run": record.run.id,
        "seed": record.seed,
        "status": record.status,
        "top1_select": score.top1_select if score else None,
        "top1_test": score.top1_test if score else None,
    }
    for field, value in values.items():
        if getattr(run, field) != value:
            yield Finding(f"{name}.{field}", f"is {getattr(run, field)}, not {value}")
    if not alone(record):
        yield Finding(name, f"{record.run.id} is no net that was trained alone")
    if score is not None and (score.macs, score.params) != (net.macs, net.params):
        yield Finding(
            name,
            f"is a net of {score.macs} MACs and {score.params} parameters, "
            f"not of {net.macs} and {net.params}",
        )


def _one_net(name: str, space: Space, subnet: Subnet, record: Record) -> Iterator[Finding]:
    """Whether a record's network is that subnet, and its images had that resolution."""
    title = name_alone(space, subnet)
    used = record.task.space
    expected = Space(one_net_table(space, subnet, title)).fingerprint()
    if used.fingerprint != expected:
        yield Finding(name, f"was trained on {used.name}, which is not {subnet} alone")
    sizes = list(record.task.resolutions)
    if sizes != [subnet.resolution]:
        yield Finding(name, f"was trained at resolution {sizes}, not at {subnet.resolution}")


class _Track:
    """What all nets of a truth share. A field that differs is named once, with the first run."""

    def __init__(self, truth: TruthRecord) -> None:
        self.first: Record | None = None
        self._named: set[str] = set()
        self._truth = {
            "dataset": truth.dataset,
            "data": truth.data,
            "classes": truth.classes,
            "images": truth.images.model_dump(),
        }
        self._recipe = {"recipe": truth.recipe, "budget": truth.budget}

    def differences(self, name: str, record: Record) -> Iterator[Finding]:
        """Between the truth and a net alone, and between that net and the first one."""
        self.first = self.first or record
        yield from self._compared(name, self._truth, _task(record))
        yield from self._compared(name, self._recipe, _recipe(record))
        yield from self._compared(name, _pixels(self.first), _pixels(record))

    def of_supernet(self, record: Record) -> Iterator[Finding]:
        """Between the truth and its supernet, and between that and the nets alone."""
        yield from self._compared(record.run.id, self._truth, _task(record))
        if self.first is not None:
            ours, theirs = (_pixels(one) | _shared(one) for one in (self.first, record))
            yield from self._compared(record.run.id, ours, theirs)

    def _compared(
        self, name: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]
    ) -> Iterator[Finding]:
        for field, value in ours.items():
            if value != theirs[field] and field not in self._named:
                self._named.add(field)
                yield Finding(field, f"is {value}, of {name} it is {theirs[field]}")


def _task(record: Record) -> dict[str, Any]:
    task = record.task
    splits = {split: getattr(task.splits, split).count for split in ("select", "test")}
    return {
        "dataset": task.dataset,
        "data": task.dataset_hash,
        "classes": task.classes,
        "images": splits,
    }


def _recipe(record: Record) -> dict[str, Any]:
    return {
        "recipe": recipe_hash(record.science),
        "budget": budget_label(table(record.science, "budget")),
    }


def recipe_hash(science: Mapping[str, Any]) -> str:
    """The hash of a net's science but for the space, which is each net's alone."""
    return digest({**science, "space": ""})


def _pixels(record: Record) -> dict[str, Any]:
    """Which images, and what makes pixels of them."""
    splits, decoder = record.task.splits, record.task.decoder
    return {
        **{f"splits.{name}": getattr(splits, name).hash for name in ("train", "select", "test")},
        "decoder": decoder_id(**decoder.model_dump()) if decoder else None,
    }


def _shared(record: Record) -> dict[str, Any]:
    values = {}
    for path in SHARED:
        section, _, key = path.partition(".")
        value = record.science.get(section)
        values[path] = value.get(key) if key and isinstance(value, Mapping) else value
    return values


def _supernet(truth: TruthRecord, record: Record) -> Iterator[Finding]:
    """Beside the supernet's own record, where its weights are hashed otherwise: they are not
    compared. Nets that were among its candidates have the same scores."""
    values = {
        "method": record.method.name,
        "supernet_seed": record.seed,
        "fingerprint": record.task.space.fingerprint,
        "searched": record.task.space.description,
    }
    for field, value in values.items():
        if getattr(truth, field) != value:
            yield Finding(field, f"is {getattr(truth, field)}, its record says {value}")
    scores = {str(score.subnet): score for score in record.scores}
    for index, net in enumerate(truth.nets):
        score = scores.get(str(net.subnet))
        if score is None:
            continue
        for split, stated in (("select", score.top1_select), ("test", score.top1_test)):
            hits, images = getattr(net, split), getattr(truth.images, split)
            if far(100 * hits / max(images, 1), stated):
                yield Finding(f"nets.{index}.{split}", f"is {hits}, its record says {stated} %")


def _trained(
    truth: TruthRecord, record: Record, subnets: Sequence[Subnet | None], load: Loader
) -> Iterator[Finding]:
    """Which of the nets the supernet's method trained as such."""
    try:
        trained = trained_space(record, load)
    except UsageError as error:
        yield Finding("nets", error.message, unknown=True)
        return
    for index, subnet in enumerate(subnets):
        stated, inside = truth.nets[index].trained, subnet in trained
        if subnet is not None and stated != inside:
            yield Finding(f"nets.{index}.trained", f"is {stated}, its record says {inside}")
