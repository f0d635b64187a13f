"""Start or resume a single run, from a request or from a run's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_bench.data.discovery.layout import locate
from ofa_bench.errors import BenchError, ResumeError, TrainingDiverged, UsageError
from ofa_bench.planning.assemble import Assembly, assemble
from ofa_bench.recipe import Request
from ofa_bench.recipe.arguments import request
from ofa_bench.runs.folder import Begun, check_same, named_again, read_begun, refuse_links
from ofa_bench.runs.requests import catalogue_for, resume_line, shell_line
from ofa_bench.sanitize import plain_text
from ofa_bench.training.callbacks import Progress, Silent

if TYPE_CHECKING:
    from ofa_bench.records.schema import Record
    from ofa_bench.runs.runner import RunContext, Stage


@dataclass(frozen=True)
class UnevaluatedRun:
    """A run whose final evaluation is left for later; `evaluate` is the line that does it."""

    run: str
    folder: Path
    evaluate: str


@dataclass(frozen=True)
class Resumption:
    """A run to resume: its folder, its `run.json`, and the resulting request."""

    folder: Path
    begun: Begun
    asked: Request

    def _inputs(self, assembly: Assembly) -> Iterator[Path]:
        """The input files and folders of the run."""
        asked = self.asked
        names = (*asked.plugins, asked.init, asked.teacher, asked.recipe)
        yield from (Path(name) for name in names if name)
        if assembly.spec.layout != "embedded":
            yield locate(assembly.spec, Path(asked.data_dir) if asked.data_dir else None).root

    @property
    def command(self) -> str:
        return plain_text(self.begun.command, 10_000)

    def check(self, prepared: RunContext) -> None:
        """Raise ResumeError with the differences if the prepared run is not the one that began."""
        check_same(self.begun, self.folder, prepared, self._inputs(prepared.assembly))


def results_root(results: str | Path | None) -> Path:
    """The results folder: `results`, else $OFA_BENCH_RESULTS, else ./results."""
    return Path(results or os.environ.get("OFA_BENCH_RESULTS") or "results")


def find_run(name: str, results: str | Path | None = None) -> Path:
    """The folder of a begun run; UsageError if no run, or more than one, begins like that."""
    if not isinstance(name, str | os.PathLike):
        raise UsageError(
            f"{name!r} is no run", "give a run's name, the beginning of it, or a folder"
        )
    name, root = os.fspath(name), results_root(results) / "runs"
    if name and (Path(name) / "run.json").is_file():
        return Path(name)
    begun = sorted(path.parent for path in root.glob("*/run.json"))
    matches = [folder for folder in begun if folder.name == name]
    matches = matches or [folder for folder in begun if name and folder.name.startswith(name)]
    if len(matches) != 1:
        names = ", ".join(folder.name for folder in (matches or begun)[:5])
        raise UsageError(
            f"{'several runs begin' if matches else 'no begun run begins'} with {name!r} in {root}",
            f"there are: {names}" if names else "start one with `ofa-bench run`",
        )
    return matches[0]


def resumption(
    name: str, results: str | Path | None = None, trust: bool = False, **options: Any
) -> Resumption:
    """The run to resume, by name, unique prefix or folder.

    `options` are request fields that override those in `run.json`. Code and table files are used
    only if `options` name them, or with `trust` if they are unchanged. Raises UsageError or
    ResumeError.
    """
    folder = find_run(name, results)
    refuse_links(folder)
    begun = read_begun(folder)
    home = folder.resolve()
    if home.parent.name != "runs":
        raise ResumeError(
            f"{folder} is not in a results folder, so there is nowhere to store its record",
            "move it to DIR/runs/, and name DIR with --results",
        )
    values = named_again(begun, folder, trust, **options)
    values |= {"results": str(home.parent.parent), "fresh": False}
    try:
        asked = request(**values)
    except (UsageError, TypeError) as error:
        reason = getattr(error, "message", str(error))
        raise ResumeError(
            f"{folder / 'run.json'}: request: {plain_text(reason)}", "the file was changed"
        ) from error
    return Resumption(folder, begun, asked)


def run_request(
    asked: Request,
    progress: Progress | None = None,
    command: str | None = None,
    leave: frozenset[int] | None = None,
    resumed: Resumption | None = None,
    family: str = "",
) -> Record:
    """Train, evaluate and store one run, watched by `progress`; `resumed`, where it goes on with a
    certain one and must be that one. `leave`, `family`: see `runs.runner.prepare`. Raises
    BenchError."""
    record = _carried_out(asked, progress, command, leave, resumed, family=family)
    assert not isinstance(record, UnevaluatedRun)
    return record


def evaluate_request(resumed: Resumption, progress: Progress | None = None) -> Record:
    """The final evaluation of a trained run, which is never trained on. Raises ResumeError where
    its training is not done."""
    line = resumed.command
    record = _carried_out(resumed.asked, progress, line, resumed=resumed, stage="evaluate")
    assert not isinstance(record, UnevaluatedRun)
    return record


def train_request(
    asked: Request, progress: Progress | None = None, command: str | None = None
) -> Record | UnevaluatedRun:
    """As `run_request`, without the final evaluation; the record where there is one already."""
    return _carried_out(asked, progress, command, stage="train")


def _carried_out(
    asked: Request,
    progress: Progress | None = None,
    command: str | None = None,
    leave: frozenset[int] | None = None,
    resumed: Resumption | None = None,
    stage: Stage = "all",
    family: str = "",
) -> Record | UnevaluatedRun:
    if resumed is not None:
        _refuse_adopted(resumed)
    assembly = assemble(asked, catalogue_for(asked))  # refuse before torch is even imported
    from ofa_bench.runs.runner import execute, prepare, session

    watch, execution = progress or Silent(), assembly.recipe.execution
    with session(execution.device, execution.deterministic) as (stop, devices):
        prepared = prepare(asked, catalogue_for(asked), devices, leave, family, progress=watch)
        if resumed is not None:
            resumed.check(prepared)
        done = prepared.finished
        if done is not None:
            _check_standing(done, asked)
            watch.note(f"{done.run.id} is finished already: its record stands")
            return done
        prepared.check_free()
        name = prepared.identity.name
        stop.hint = f"go on with: {resume_line(name, asked)}"
        line = command or shell_line(asked)
        prepared.stage = stage
        record = execute(prepared, stop, watch, line)
        return record or UnevaluatedRun(name, prepared.folder, resume_line(name, asked, "evaluate"))


def _check_standing(done: Record, asked: Request) -> None:
    """Raise BenchError where a run is recorded already and asked for anew, or diverged."""
    if asked.fresh:
        raise BenchError(
            f"{done.run.id} is recorded already, and records are never overwritten",
            "run it afresh into another folder with --results DIR",
        )
    if done.status == "diverged":
        raise TrainingDiverged(
            f"{done.run.id} diverged, and its record stands: {done.error}",
            "lower optim.lr, or set optim.clip: that is another run",
        )


def _refuse_adopted(resumed: Resumption) -> None:
    """Raise ResumeError for a run whose weights were trained elsewhere."""
    hashes = resumed.begun.hashes
    if hashes is not None and "adopted" in hashes.files:
        raise ResumeError(
            f"the weights of {resumed.folder.name} were trained elsewhere: there is no training "
            "to go on with",
            "evaluate, search or export it; to train on, start a run with --init",
        )


def resume(
    name: str,
    results: str | Path | None = None,
    progress: Progress | None = None,
    *,
    trust: bool = False,
    **options: Any,
) -> Record:
    """Resume a run by name, unique prefix or folder; see `resumption`."""
    begun_run = resumption(name, results, trust, **options)
    return run_request(begun_run.asked, progress, begun_run.command, resumed=begun_run)
