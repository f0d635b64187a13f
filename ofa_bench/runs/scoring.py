"""Calibrate and score subnets of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.errors import ResumeError, UsageError
from ofa_bench.planning.assemble import Assembly, assemble
from ofa_bench.records.store import Store
from ofa_bench.runs.requests import catalogue_for, resume_line
from ofa_bench.runs.single import Resumption, resumption
from ofa_bench.space import Space, Subnet
from ofa_bench.training.callbacks import Progress, Silent

if TYPE_CHECKING:
    from ofa_bench.evaluation.score import Correctness
    from ofa_bench.records.schema import Score


def evaluate(
    name: str,
    subnets: Sequence[str | Mapping[str, Any]],
    *,
    results: str | Path | None = None,
    progress: Progress | None = None,
    trust: bool = False,
    **options: Any,
) -> list[Score]:
    """Calibrate and score subnets of a finished run, on select and on test.

    `options` may override `device`, `data_dir`, `workers` and the code and table files, see
    `resumption`. Raises UsageError if a subnet is outside the run's space; ResumeError if there is
    no such run, it has no weights, or the images or the network have changed.
    """
    begun_run = resumption(name, results, trust, **options)
    folder = begun_run.folder
    asked = replace(begun_run.asked, init=None, init_head=None)  # the run's own weights are scored
    catalogue = catalogue_for(asked)
    assembly = assemble(asked, catalogue)
    nets = [_subnet(spec, assembly.space, folder) for spec in subnets]
    if not (folder / "weights.safetensors").is_file():
        raise ResumeError(
            f"{folder.name} is not finished", resume_line(folder.name, begun_run.asked)
        )
    from ofa_bench.evaluation.exact_math import shielded
    from ofa_bench.evaluation.score import score
    from ofa_bench.runs.runner import build_net, opened
    from ofa_bench.training.devices import open_devices
    from ofa_bench.training.weights import load_weights

    with shielded(), open_devices(assembly.recipe.execution.device) as devices:
        assembly, source = opened(asked, catalogue, devices)
        _check(begun_run, assembly, source)
        net = build_net(assembly, catalogue, devices)
        load_weights(net, folder)
        (progress or Silent()).note(f"scoring {len(nets)} subnets of {folder.name}")
        chunk = assembly.science.evaluate.chunk
        with closing(source):
            scores = score(net, nets, source, chunk=chunk, devices=devices)
    return [_score(assembly, correctness) for correctness in scores]


def _subnet(spec: str | Mapping[str, Any], space: Space, folder: Path) -> Subnet:
    """The subnet of a specification, or of a name in the run's record.

    Raises UsageError if it is neither.
    """
    try:
        return space.subnet(spec)
    except UsageError:
        try:
            scores = Store(folder.resolve().parent.parent).find(folder.name).record.scores
        except UsageError:
            scores = ()  # the run has no record to look in
        recorded = [score.subnet for score in scores if score.name == spec]
        if not recorded:
            raise
        return space.subnet(recorded[0])


def _check(begun_run: Resumption, assembly: Assembly, source: Any) -> None:
    """Raise ResumeError if the images, the network or the space differ from the run's."""
    from ofa_bench.planning.identity import network_hash

    hashes = begun_run.begun.hashes
    if hashes is None:
        return
    code = dict(part.partition(":")[::2] for part in hashes.code)
    ours = {
        "images": (hashes.data, source.hash),
        "network": (code.get("network"), network_hash(assembly)),
        "space": (code.get("space"), assembly.space.fingerprint()),
    }
    changed = [name for name, (then, now) in ours.items() if then != now]
    if changed:
        raise ResumeError(
            f"{begun_run.folder.name} was trained with another {' and another '.join(changed)}",
            "bring back what it was trained with; --data-dir, --space and --plugin name it",
        )


def _score(assembly: Assembly, scored: Correctness) -> Score:
    from ofa_bench.records.schema import Score

    space, classes = assembly.space, assembly.classes
    return Score(
        subnet=scored.subnet.to_json(),
        name=str(scored.subnet),
        macs=space.macs(scored.subnet, classes),
        params=space.params(scored.subnet, classes),
        top1_select=scored.top1("select"),
        top1_test=scored.top1("test"),
    )
