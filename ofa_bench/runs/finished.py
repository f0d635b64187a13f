"""A finished run: what it trained, its record, its network with the images it is scored on, and
the scores of its subnets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.atomic_io import sha256_file
from ofa_bench.errors import ResumeError, UsageError
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.planning.assemble import Assembly, assemble
from ofa_bench.recipe import Request
from ofa_bench.records.searches.store import newest_search
from ofa_bench.records.store import Store
from ofa_bench.runs.requests import catalogue_for, resume_line
from ofa_bench.runs.single import Resumption, resumption
from ofa_bench.sanitize import command_line, plain_text
from ofa_bench.search.budget import named, spelled_amount
from ofa_bench.space import Space, Subnet
from ofa_bench.training.callbacks import Progress, Silent

if TYPE_CHECKING:
    from ofa_bench.data.sources.source import BatchSource
    from ofa_bench.nets.protocol import Supernet
    from ofa_bench.records.schema import Record, Score
    from ofa_bench.training.devices import Devices


BEST = "best@"  # how the name of a search's answer begins


@dataclass(frozen=True)
class Opened:
    """A finished run's supernet with its trained weights, its images, and the ranks that share the
    work. `assembly` is counted with the images."""

    assembly: Assembly
    net: Supernet
    source: BatchSource
    devices: Devices


@dataclass(frozen=True)
class FinishedRun:
    """A finished run before its weights are read; torch is imported by `open` only."""

    begun_run: Resumption
    catalogue: Catalogue
    assembly: Assembly

    @property
    def folder(self) -> Path:
        return self.begun_run.folder

    @property
    def results(self) -> Path:
        """The results folder that the run lies in."""
        return self.folder.resolve().parent.parent

    @property
    def space(self) -> Space:
        return self.assembly.space

    @cached_property
    def record(self) -> Record | None:
        """The run's record, if the results folder has it."""
        try:
            return Store(self.results).find(self.folder.name).record
        except UsageError:
            return None

    def subnet(self, spec: str | Mapping[str, Any]) -> Subnet:
        """The subnet of a specification, of a name in the run's record, or of a search: `best@3M`
        is what the latest search for 3 million MACs chose.

        Raises UsageError if it is none of them.
        """
        if isinstance(spec, str) and spec.strip().startswith(BEST):
            return self._searched(spec.strip().removeprefix(BEST))
        try:
            return self.space.subnet(spec)
        except UsageError:
            scores = self.record.scores if self.record is not None else ()
            recorded = [score.subnet for score in scores if score.name == spec]
            if not recorded:
                raise
            return self.space.subnet(recorded[0])

    def _searched(self, text: str) -> Subnet:
        budget, run = named(text), self.folder.name
        value = budget.value or 0.0
        weights = sha256_file(self.folder / "weights.safetensors")
        record = newest_search(self.results, run, budget.kind, value, weights)
        if record is None:
            words: list[object] = [f"--{budget.kind}", spelled_amount(value)]
            words += ["--table", "FILE"] if budget.kind == "latency" else []
            raise UsageError(
                f"no search of {run} for {budget} is in {plain_text(self.results / 'searches')}",
                f"search first: {command_line('ofa-bench', 'search', run, *words)}",
            )
        return self.space.subnet(record.best.subnet)

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """The network with its weights and the images, on the run's device.

        Raises ResumeError if the images or the network have changed since the run, DataError where
        the images cannot be had.
        """
        from ofa_bench.evaluation.exact_math import shielded
        from ofa_bench.runs.open_images import opened
        from ofa_bench.runs.runner import build_net
        from ofa_bench.training.devices import open_devices
        from ofa_bench.training.weights import load_weights

        asked = _without_start(self.begun_run)
        with shielded(), open_devices(self.assembly.recipe.execution.device) as devices:
            assembly, source = opened(asked, self.catalogue, devices)
            _check(self.begun_run, assembly, source)
            net = build_net(assembly, devices)
            load_weights(net, self.folder)
            with closing(source):
                yield Opened(assembly, net, source, devices)


def finished_run(
    name: str, results: str | Path | None = None, *, trust: bool = False, **options: Any
) -> FinishedRun:
    """A finished run by name, unique prefix or folder.

    `options` may override `device`, `data_dir`, `workers` and the code and table files, see
    `resumption`. Raises UsageError if there is no such run, or it diverged; ResumeError if it has
    no weights yet.
    """
    begun_run = resumption(name, results, trust, **options)
    asked = _without_start(begun_run)
    catalogue = catalogue_for(asked)
    assembly = assemble(asked, catalogue)
    folder = begun_run.folder
    run = FinishedRun(begun_run, catalogue, assembly)
    if (folder / "weights.safetensors").is_file():
        return run
    if run.record is not None and run.record.status == "diverged":
        raise UsageError(
            f"{folder.name} diverged: it has no weights to use",
            "train it again with a lower optim.lr: that is another run",
        )
    raise ResumeError(
        f"{folder.name} is not finished",
        f"finish it with: {resume_line(folder.name, begun_run.asked)}",
    )


def _without_start(begun_run: Resumption) -> Request:
    """The run's request without the weights it began with: its trained ones are used."""
    return replace(begun_run.asked, init=None, init_head=None)


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
    from ofa_bench.runs.final_evaluation import score_of

    with run.open() as opened:
        (progress or Silent()).note(f"scoring {len(nets)} subnets of {run.folder.name}")
        chunk = opened.assembly.science.evaluate.chunk
        scores = score(opened.net, nets, opened.source, chunk=chunk, devices=opened.devices)
    return [score_of(opened.assembly, correctness) for correctness in scores]
