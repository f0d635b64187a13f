"""The Python API, which the command line also uses. Importing it does not import torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.deploy.export.pipeline import export as export
from ofa_bench.deploy.hub import publish as publish
from ofa_bench.deploy.latency.target import latency as latency
from ofa_bench.deploy.search import search as search
from ofa_bench.deploy.search import search_file as search_file
from ofa_bench.deploy.truth.pipeline import truth as truth
from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import GROUP, Catalogue, discover
from ofa_bench.planning.assemble import Assembly, assemble, space_of
from ofa_bench.recipe.arguments import request as request
from ofa_bench.recipe.arguments import whole
from ofa_bench.recipe.load import SEEDS
from ofa_bench.runs.comparison import compare as _compare
from ofa_bench.runs.finished import evaluate as evaluate
from ofa_bench.runs.record_checks import expected_candidates as expected_candidates
from ofa_bench.runs.record_checks import record_checks as record_checks
from ofa_bench.runs.record_checks import recorded_space as recorded_space
from ofa_bench.runs.requests import catalogue_for as catalogue_for
from ofa_bench.runs.requests import compare_requests as compare_requests
from ofa_bench.runs.requests import shell_line as shell_line
from ofa_bench.runs.single import UnevaluatedRun as UnevaluatedRun
from ofa_bench.runs.single import evaluate_request as evaluate_request
from ofa_bench.runs.single import find_run as find_run
from ofa_bench.runs.single import results_root as results_root
from ofa_bench.runs.single import resume as resume
from ofa_bench.runs.single import resumption as resumption
from ofa_bench.runs.single import run_request as run_request
from ofa_bench.runs.single import train_request as train_request
from ofa_bench.space import Space

if TYPE_CHECKING:
    from ofa_bench.deploy.finetune import Finetuned
    from ofa_bench.records.schema import Record


def plan(**values: Any) -> Assembly:
    """Assemble a run without data or torch: phases, schedule, teachers, predicted cost.

    `values` are the options of `ofa-bench plan`. Raises UsageError or another BenchError.
    """
    asked = request(**values)
    return assemble(asked, catalogue_for(asked))


def run(**values: Any) -> Record:
    """Train, evaluate and store one run; `values` are the options of `ofa-bench run`.

    Policies may be instances. A finished run is reused and an interrupted one resumed, unless
    `fresh`. Raises BenchError or a subclass.
    """
    return run_request(request(**values))


def train(**values: Any) -> Record | UnevaluatedRun:
    """As `run`, without the final evaluation, which `resume` does; the record where there is one
    already."""
    return train_request(request(**values))


def compare(
    methods: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1, 2), **values: Any
) -> list[Record]:
    """Run every method × seed. Finished runs are reused, interrupted ones resumed, and first steps
    that several runs share are trained once. A run that fails does not stop the others (the status
    of its record is `failed` or `diverged`). Raises BenchError."""
    return _compare(compare_requests(methods, seeds, **values))


def adopt(file: str | Path, *, space: str | Path, **options: Any) -> Record:
    """Take in a checkpoint that was trained elsewhere as a finished run of status `imported`.

    `options` are those of `ofa-bench adopt`: `dataset`, `data_dir`, `norm_eps` and others. Raises
    UsageError where the file does not fit or its epsilon or data set is not named.
    """
    from ofa_bench.deploy.adopt import adopt

    return adopt(file, space=space, **options)


def finetune(
    run: str, *, subnet: str | Mapping[str, Any], epochs: float, **options: Any
) -> Finetuned:
    """Train one subnet of a finished run on, as a run with a record of its own.

    `options` are those of `ofa-bench finetune`. Raises UsageError for a subnet outside the space,
    ResumeError where the run is not finished.
    """
    from ofa_bench.deploy.finetune import finetune

    return finetune(run, subnet=subnet, epochs=epochs, **options)


def card(method: str, known: Catalogue | None = None) -> Path:
    """The fidelity card of a method: the README.md of its plugin. Raises UsageError if none."""
    origin = (known or discover().catalogue).get("method", method).origin
    for point in importlib.metadata.entry_points(group=GROUP, name=origin.plugin):
        dist = point.dist.name if point.dist else ""
        spec = importlib.util.find_spec(point.module.partition(".")[0])
        if dist == origin.distribution and spec is not None and spec.origin:
            path = Path(spec.origin).parent / "README.md"
            if path.is_file():
                return path
    raise UsageError(
        f"{origin} has no card for {method!r}", "a plugin's card is the README.md in its package"
    )


def load_space(name: str | Path) -> Space:
    """A space by its name, or by the path of its TOML table."""
    return space_of(request(space=name).space or "", discover().catalogue)


def build_supernet(space: Space, classes: int, seed: int = 0, **options: Any) -> Any:
    """The supernet of a space with initial weights: a torch.nn.Module with `activate(subnet)`.

    Raises UsageError if `classes` or `seed` is not an integer in its range.
    """
    build = discover().catalogue.get("supernet", space.table.family).load()
    classes = whole("classes", classes, 1, 1_000_000)
    return build(space, classes, seed=whole("seed", seed, 0, SEEDS - 1), **options)
