"""Ground truth of finished supernets: plan it, score the nets in them, train the nets alone, write
a record for each supernet. Torch is imported when the first net is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ofa_bench import __version__
from ofa_bench.deploy.truth.nets import sample
from ofa_bench.deploy.truth.scoring import SupernetScores, proxy_rankings, supernet_scores
from ofa_bench.deploy.truth.supernets import supernets as named
from ofa_bench.deploy.truth.training import NetRun, defaults, net_runs
from ofa_bench.errors import UsageError
from ofa_bench.recipe.arguments import amount, whole
from ofa_bench.records.schema import Record
from ofa_bench.records.store import Store, StoredRecord
from ofa_bench.records.tables import carried
from ofa_bench.records.track import budget_label, table
from ofa_bench.records.truths.schema import MOST_NETS, MOST_SEEDS, TruthRecord, sealed_truth
from ofa_bench.records.truths.store import read_truth, truth_path, write_truth
from ofa_bench.runs.comparison import run_all
from ofa_bench.runs.finished import FinishedRun, finished_run
from ofa_bench.runs.folder import Hashes
from ofa_bench.runs.single import results_root
from ofa_bench.sanitize import command_line
from ofa_bench.space import Subnet
from ofa_bench.training.callbacks import Progress, Silent


@dataclass(frozen=True)
class TruthPlan:
    """The supernets, the nets, the runs that train them alone, and where their records go."""

    supernets: tuple[FinishedRun, ...]
    nets: tuple[Subnet, ...]
    seeds: tuple[int, ...]
    runs: tuple[NetRun, ...]
    command: str
    store: Store

    @property
    def macs(self) -> float:
        """Training MACs of all nets."""
        return sum(cost.total for run in self.runs for cost in run.planned[1].cost)


def truth(
    runs: str | Sequence[str],
    *,
    nets: int | None = None,
    seeds: int | None = None,
    epochs: float | None = None,
    results: str | Path | None = None,
    trust: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> list[TruthRecord]:
    """How finished supernets of one track rank nets, beside the same nets trained alone.

    `runs` are names, prefixes or folders, or the name of a track. `nets` (30) are spread over the
    space's MACs and each is trained with `seeds` (2) seeds, for `epochs` or for the recipe's
    length; see docs/truth.md. What is trained or scored already is not again. `options` are
    `data_dir`, `workers`, `device` and the code and table files of the supernets. Raises UsageError
    where the runs are not of one track, ResumeError where one is not finished, and where too few
    nets could be trained.
    """
    names = [runs] if isinstance(runs, str) else list(runs)
    plan = truth_plan(
        names, nets=nets, seeds=seeds, epochs=epochs, results=results, trust=trust, **options
    )
    watch = progress or Silent()
    scores = supernet_scores(plan.supernets, plan.nets, watch)
    proxies = proxy_rankings(plan.supernets[0], plan.nets, watch)
    entries, _ = run_all([run.planned for run in plan.runs], plan.store, watch)
    return truth_records(plan, scores, entries, proxies)


def truth_plan(
    names: Sequence[str],
    *,
    nets: int | None = None,
    seeds: int | None = None,
    epochs: float | None = None,
    results: str | Path | None = None,
    trust: bool = False,
    **options: Any,
) -> TruthPlan:
    """What `truth` would do, and so what it costs; trains nothing. Raises as `truth`."""
    usual = defaults()
    count = whole("nets", usual["nets"] if nets is None else nets, 4, MOST_NETS)
    number = whole("seeds", usual["seeds"] if seeds is None else seeds, 1, MOST_SEEDS)
    length = None if epochs is None else amount("epochs", epochs)
    if not names:
        raise UsageError("no supernet is named", "name a finished run: `ofa-bench runs` lists them")
    supernets = [
        finished_run(name, results, trust=trust, **options) for name in named(names, results)
    ]
    first = supernets[0]
    chosen = sample(first.space, first.assembly.classes, count)
    every = tuple(range(number))
    same = {name: options.get(name) for name in ("data_dir", "workers", "device")}
    same["epochs"] = length
    root = results_root(results)
    root = root if root.resolve() == first.results else first.results
    runs = net_runs(first, chosen, every, same, root)
    for other in supernets[1:]:
        _check_track(first, other)
        theirs = net_runs(other, chosen[:1], every[:1], same, root)[0]
        if theirs.planned[1].science != runs[0].planned[1].science:
            raise _differing(first, other, "another recipe")
    words: list[object] = [supernet.folder.name for supernet in supernets]
    words += ["--nets", count, "--seeds", number]
    words += [] if length is None else ["--epochs", f"{length:g}"]
    command = command_line("ofa-bench", "truth", *words)
    return TruthPlan(tuple(supernets), tuple(chosen), every, tuple(runs), command, Store(root))


def _check_track(first: FinishedRun, other: FinishedRun) -> None:
    """Raise UsageError where two supernets differ in what their nets alone are trained on."""
    hashes = [run.begun_run.begun.hashes or Hashes(data="") for run in (first, other)]
    facts = {
        "another results folder": (first.results, other.results),
        "another space": (first.space.fingerprint(), other.space.fingerprint()),
        "other images": tuple((one.data, one.splits) for one in hashes),
        "another image decoder": tuple(one.part("decoder") for one in hashes),
    }
    for name, (one, two) in facts.items():
        if one != two:
            raise _differing(first, other, name)


def _differing(first: FinishedRun, other: FinishedRun, what: str) -> UsageError:
    return UsageError(
        f"{other.folder.name} has {what} than {first.folder.name}",
        "nets alone serve the supernets of one track: name those of one",
    )


def truth_records(
    plan: TruthPlan,
    scores: Sequence[SupernetScores],
    entries: Sequence[StoredRecord],
    proxies: Mapping[str, Sequence[float]],
) -> list[TruthRecord]:
    """Write and return the record of each supernet, from the records of the nets alone."""
    by_run = {(entry.record.task.space.name, entry.record.seed): entry.record for entry in entries}
    alone: dict[Subnet, list[dict[str, Any]]] = {net: [] for net in plan.nets}
    for run in plan.runs:
        record = by_run.get((run.planned[1].space.name, run.seed))
        alone[run.subnet].append(_seed(run.seed, record))
    made = []
    for supernet, known in zip(plan.supernets, scores, strict=True):
        truth_record = _record(plan, supernet, known, alone, proxies)
        made.append(_kept(plan.store.results, truth_record))
    return made


def _kept(results: Path, record: TruthRecord) -> TruthRecord:
    """The record as it is kept: an earlier one that says the same stays."""
    path = truth_path(results, record)
    with suppress(UsageError):
        earlier = read_truth(path) if path.exists() else record
        if earlier is not record and earlier.same_as(record):
            return earlier
    write_truth(results, record)
    return record


def _seed(seed: int, record: Record | None) -> dict[str, Any]:
    good = record is not None and record.status == "ok"
    score = record.scores[0] if record is not None and good else None
    return {
        "seed": seed,
        "run": record.run.id if record else None,
        "record": record.sha256 if record else None,
        "status": record.status if record else "failed",
        "top1_select": score.top1_select if score else None,
        "top1_test": score.top1_test if score else None,
    }


def _record(
    plan: TruthPlan,
    supernet: FinishedRun,
    scores: SupernetScores,
    alone: Mapping[Subnet, list[dict[str, Any]]],
    proxies: Mapping[str, Sequence[float]],
) -> TruthRecord:
    from ofa_bench.leaderboard.truth.recorded import analysed
    from ofa_bench.leaderboard.truth.recorded_runs import recipe_hash

    space, assembly = supernet.space, supernet.assembly
    nets = [{**_net(supernet, net, scores), "alone": alone[net]} for net in plan.nets]
    images = scores.images.model_dump()
    science = plan.runs[0].planned[1].science.model_dump(mode="json")
    return sealed_truth(
        {
            "run": supernet.folder.name,
            "method": assembly.science.method,
            "supernet_seed": assembly.recipe.seed,
            "weights": scores.weights,
            "data": scores.data,
            "dataset": assembly.science.dataset,
            "space": space.name,
            "fingerprint": space.fingerprint(),
            "searched": space.describe(),
            "table": carried(space),
            "classes": assembly.classes,
            "images": images,
            "recipe": recipe_hash(science),
            "budget": budget_label(table(science, "budget")),
            "seeds": plan.seeds,
            "nets": nets,
            "proxies": {name: tuple(values) for name, values in proxies.items()},
            **analysed(nets, images, proxies),
            "command": plan.command,
            "ofa_bench": __version__,
            "torch": scores.torch,
            "finished": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
    )


def _net(supernet: FinishedRun, net: Subnet, scores: SupernetScores) -> dict[str, Any]:
    """The fields of a `TruthNet` but for its runs alone."""
    space, classes = supernet.space, supernet.assembly.classes
    return {
        "subnet": net.to_json(),
        "name": str(net),
        "macs": space.macs(net, classes),
        "params": space.params(net, classes),
        "trained": net in supernet.assembly.trained,
        "select": scores.select[net],
        "test": scores.test[net],
    }
