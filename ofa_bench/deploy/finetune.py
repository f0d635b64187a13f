"""Fine-tune one subnet of a finished run: an ordinary run on a space that holds it alone.

Its record says which supernet it began from and what that had cost, so that its own cost is read on
top of it, and how accurate the subnet was without retraining (Cai et al. 2020, section 4.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from ofa_bench.atomic_io import make_folder, sha256_file, write_whole
from ofa_bench.deploy.one_net import weights_of
from ofa_bench.errors import UsageError
from ofa_bench.evaluation.score import score
from ofa_bench.planning.assemble import assemble
from ofa_bench.recipe import Request
from ofa_bench.recipe.arguments import request
from ofa_bench.records.parts import Ancestor
from ofa_bench.records.schema import Record
from ofa_bench.runs.finished import FinishedRun, Opened, finished_run
from ofa_bench.runs.requests import SUBNETS, catalogue_for, differing
from ofa_bench.runs.single import run_request
from ofa_bench.space import Subnet
from ofa_bench.space.one_net import name_of, table_text
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.training.callbacks import Progress, Silent
from ofa_bench.weight_files.ancestry import KEY, ancestor_of

INHERITED = ("data_dir", "workers", "device", "plugins")


@dataclass(frozen=True)
class Finetuned:
    """The record of a fine-tuned subnet, and what it was without retraining."""

    record: Record
    before: Ancestor


def finetune(
    run: str,
    *,
    subnet: str | Mapping[str, Any],
    epochs: float,
    results: str | Path | None = None,
    trust: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Finetuned:
    """Train a subnet of a finished run on, for `epochs`, and store a record of that run.

    `options` are those of `run`; what is not named is as the supernet's run had it, and the rate as
    `specs/defaults.toml` says. Raises UsageError for a subnet outside the run's space; ResumeError
    where the run is not finished or not what it was.
    """
    watch = progress or Silent()
    same = {name: options[name] for name in ("device", "data_dir", "workers") if name in options}
    parent = finished_run(run, results, trust=trust, **same)
    chosen = parent.subnet(subnet)
    start = _start(parent, chosen, watch)
    asked = request_of(parent, start, epochs, options)
    before = ancestor_of(str(start.weights))
    if before is None:
        raise UsageError(f"{start.weights} was changed", "remove it, and run the same line again")
    return Finetuned(run_request(asked, watch), before)


@dataclass(frozen=True)
class SubnetFiles:
    """The table and the weights that a fine-tuning begins from."""

    table: Path
    weights: Path


def _start(parent: FinishedRun, subnet: Subnet, watch: Progress) -> SubnetFiles:
    """The files of a subnet, made where they are not there yet."""
    folder = parent.results / SUBNETS
    name = name_of(parent.space, subnet)
    digest = sha256_file(parent.folder / "weights.safetensors")[:10]
    files = SubnetFiles(folder / f"{name}.toml", folder / f"{name}-{digest}.safetensors")
    make_folder(parent.results, folder)
    text = table_text(parent.space, subnet)
    write_whole(files.table, text, root=parent.results)
    if ancestor_of(str(files.weights)) is None:
        watch.note(f"scoring {subnet} without retraining")
        with parent.open() as opened:
            weights = weights_of(opened.net, subnet)
            ancestor = _ancestor(parent, subnet, opened)
        write_whole(files.weights, save(weights, {KEY: ancestor.model_dump_json()}))
    return files


def _ancestor(parent: FinishedRun, subnet: Subnet, opened: Opened) -> Ancestor:
    record = parent.record
    cost = record.cost if record is not None and record.adoption is None else None
    chunk = opened.assembly.science.evaluate.chunk
    (scored,) = score(opened.net, [subnet], opened.source, chunk=chunk, devices=opened.devices)
    return Ancestor(
        run=parent.folder.name,
        record_sha256=record.sha256 if record is not None else None,
        subnet=subnet.to_json(),
        name=str(subnet),
        top1_select=scored.top1("select"),
        top1_test=scored.top1("test"),
        train_macs=cost.train_macs if cost else None,
        device_seconds=cost.device_seconds if cost else None,
        usd=cost.usd if cost else None,
    )


def request_of(
    parent: FinishedRun, start: SubnetFiles, epochs: float, options: Mapping[str, Any]
) -> Request:
    """The request of a fine-tuning: images, augmentation and network as the parent's run had them,
    policies and rate of `specs/defaults.toml`, and what `options` say over that."""
    begun, science = parent.begun_run.asked, parent.assembly.science
    usual = load_toml(specs_root() / "defaults.toml")["finetune"]
    policies = {family: usual[family] for family in ("shrink", "lr", "distill")}
    inherited = {name: getattr(begun, name) for name in INHERITED}
    named = {name: value for name, value in options.items() if value is not None and value != ()}
    values = {
        "method": begun.method,
        "seed": begun.seed,
        **policies,
        **{name: value for name, value in inherited.items() if value},
        **named,
        "dataset": science.dataset,
        "space": str(start.table),
        "init": str(start.weights),
        "epochs": epochs,
        "results": str(parent.results),
    }
    sets = tuple(values.pop("set", ()))
    plain = request(**values, set=sets)
    assembly = assemble(plain, catalogue_for(plain))
    ours = assembly.science
    overridden = {text.partition("=")[0].strip() for text in sets}
    changed = [
        text for key, text in differing(parent.assembly.recipe, ours) if key not in overridden
    ]
    if not overridden & {"optim.lr", "optim"}:
        changed.append(f"optim.lr={usual['rate'] * ours.optim.lr!r}")
    return request(**values, set=(*changed, *sets))
