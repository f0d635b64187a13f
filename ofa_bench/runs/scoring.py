"""Calibrate and score subnets of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.planning.assemble import Assembly
from ofa_bench.runs.finished import finished_run
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
    run = finished_run(name, results, trust=trust, **options)
    nets = [run.subnet(spec) for spec in subnets]
    from ofa_bench.evaluation.score import score

    with run.open() as opened:
        (progress or Silent()).note(f"scoring {len(nets)} subnets of {run.folder.name}")
        chunk = opened.assembly.science.evaluate.chunk
        scores = score(opened.net, nets, opened.source, chunk=chunk, devices=opened.devices)
    return [_score(opened.assembly, correctness) for correctness in scores]


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
