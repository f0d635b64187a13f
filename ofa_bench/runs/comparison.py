"""Run several requests one after another, for `compare`, `ablate` and `api.compare`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ofa_bench.errors import BenchError, Interrupted, UsageError
from ofa_bench.leaderboard.board_files import write_boards
from ofa_bench.planning.assemble import Assembly, assemble
from ofa_bench.planning.shared_prefix import Beginning, branch_points, shared_folder
from ofa_bench.processes import other_rank
from ofa_bench.recipe import Request
from ofa_bench.records.schema import Record
from ofa_bench.records.store import Store, StoredRecord
from ofa_bench.runs.requests import catalogue_for
from ofa_bench.runs.single import results_root, run_request
from ofa_bench.training.callbacks import Progress, Silent

Planned = tuple[Request, Assembly]
Outcomes = tuple[list[StoredRecord], list[tuple[str, BenchError]]]


def planned(asked: Request) -> Planned:
    """A request with its assembly. Raises UsageError or another BenchError."""
    return asked, assemble(asked, catalogue_for(asked))


def title_of(assembly: Assembly) -> str:
    """The method, data set, space and seed of a run as text."""
    science = assembly.science
    return f"{science.method} on {science.dataset}, {science.space}, seed {assembly.recipe.seed}"


def run_all(
    runs: Sequence[Planned],
    store: Store,
    watch: Progress | None = None,
    *,
    begin: Callable[[Assembly], str] = title_of,
    run: Callable[..., Record] = run_request,
    first: int = 1,
    total: int | None = None,
) -> Outcomes:
    """Run all; return their records, failed ones included, and the errors of failed runs.

    First steps that several runs share are trained once. UsageError stops all runs, since later
    runs would raise it too. `begin` is called before each run and returns its title. Where others
    carry out the rest of a comparison, `first` is the number of the first run among its `total`.
    """
    watch = watch or Silent()
    entries: list[StoredRecord] = []
    failures: list[tuple[str, BenchError]] = []
    beginnings = [Beginning(assembly) for _, assembly in runs]
    families = [beginning.family for beginning in beginnings]
    points = zip(runs, families, branch_points(beginnings), strict=True)
    for number, ((asked, assembly), family, (_, leave)) in enumerate(points, first):
        title = begin(assembly)
        watch.note(f"run {number} of {total or len(runs)}: {title}")
        try:
            record = run(asked, watch, leave=leave, family=family)
            entries.append(StoredRecord(store.path(record), record))
        except UsageError:
            raise
        except Interrupted as error:
            rest = "the same line goes on with all of them"
            raise Interrupted(error.message, f"{error.hint}; {rest}") from error
        except BenchError as error:
            watch.note(f"failed: {error.message}")
            failures.append((title, error))
            entries += last_failure(store, assembly)
    _forget_shared(store.results, families)
    return entries, failures


def last_failure(store: Store, assembly: Assembly) -> list[StoredRecord]:
    """The latest record of a failed run, if it wrote one."""
    science = assembly.science.model_dump(mode="json")
    matches = [
        entry
        for entry in store.list(broken=lambda error: None)
        if entry.record.status in ("failed", "diverged")
        and entry.record.seed == assembly.recipe.seed
        and entry.record.science == science
    ]
    return sorted(matches, key=lambda entry: entry.record.run.finished)[-1:]


def _forget_shared(results: Path, families: Sequence[str]) -> None:
    """Remove the checkpoints of first steps that these families shared; those of others stay."""
    for family in families:
        shutil.rmtree(shared_folder(results) / family, ignore_errors=True)
    with suppress(OSError):  # others are at work
        shared_folder(results).rmdir()


def compare(requests: Sequence[Request], watch: Progress | None = None) -> list[Record]:
    """Run all requests, update the boards, and return the records in order, failed runs included.

    Raises BenchError at the end if a run failed before it wrote a record.
    """
    watch = watch or Silent()
    if not requests:
        return []
    runs, store = [planned(asked) for asked in requests], Store(results_root(requests[0].results))
    entries, failures = run_all(runs, store, watch)
    refresh_boards(store.results, watch)
    recorded = {entry.record.error for entry in entries}
    lost = [(title, error) for title, error in failures if error.message not in recorded]
    if lost:
        raise BenchError(
            "; ".join(f"{title}: {error.message}" for title, error in lost), lost[0][1].hint
        )
    return [entry.record for entry in entries]


def refresh_boards(results: Path, watch: Progress) -> None:
    """Rewrite the boards on the first rank; an error is reported to `watch`, not raised."""
    if other_rank():
        return
    try:
        write_boards(results)
    except (BenchError, OSError) as error:
        watch.note(f"the boards are not written anew: {error}")
