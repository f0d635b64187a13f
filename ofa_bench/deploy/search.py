"""Search a finished run for the most accurate subnet under a budget, and write what came of it.

Torch is imported when the first subnet is scored; what is on disk already is not scored again.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ofa_bench.deploy.searching.answer import Answer
from ofa_bench.deploy.searching.request import SearchRequest, search_request
from ofa_bench.deploy.searching.scored_nets import ScoredNets
from ofa_bench.deploy.searching.trials import trials
from ofa_bench.errors import UsageError
from ofa_bench.recipe.arguments import whole
from ofa_bench.recipe.load import SEEDS
from ofa_bench.records.searches.schema import MOST_NETS, MOST_TOP, SearchRecord
from ofa_bench.records.searches.store import read_search, search_path, write_search
from ofa_bench.runs.finished import finished_run
from ofa_bench.runs.single import find_run
from ofa_bench.search.budget import budget
from ofa_bench.training.callbacks import Progress, Silent
from ofa_bench.training.interrupts import listening


def search(
    run: str,
    *,
    macs: str | float | None = None,
    params: str | float | None = None,
    latency: str | float | None = None,
    table: str | Path | None = None,
    front: bool = False,
    top: int = 8,
    evaluations: int | None = None,
    searcher: str = "exact",
    seed: int = 0,
    results: str | Path | None = None,
    progress: Progress | None = None,
    trust: bool = False,
    **options: Any,
) -> SearchRecord:
    """The most accurate subnet of a finished run whose cost is inside a budget.

    `run` is a name, a unique prefix or a folder. Of `macs`, `params`, `latency` (with the file of
    its `table`) and `front` one is the budget: a number, or a text such as "3M", "1.5G", "2ms";
    latencies are in milliseconds. `front` asks for every budget, of MACs or of a table's latency.
    `searcher` proposes at most `evaluations` subnets, which are scored on select; a space of at
    most so many is scored whole (by default, of at most 5,000). `top` subnets are listed, and the
    best alone is scored on test, once. `options` may override `device`, `data_dir`, `workers` and
    the code and table files of the run.

    Scores are kept under `searches/<run>/` of the results folder, and the answer beside them: the
    same search twice scores nothing twice, and one that was cut off goes on. Raises UsageError
    where the budget cannot be read or met, or the run, searcher or table is not there or does not
    fit; ResumeError where the run is not finished or its images have changed; Interrupted.
    """
    limit = budget(macs, params, latency, front, table)
    top, seed = whole("top", top, 1, MOST_TOP), whole("seed", seed, 0, SEEDS - 1)
    if evaluations is not None:
        evaluations = whole("evaluations", evaluations, 1, MOST_NETS)
    finished = finished_run(run, results, trust=trust, **options)
    file = Path(table) if table is not None else None
    asked = search_request(finished, limit, file, searcher, top, evaluations, seed)
    return _answered(asked, progress or Silent())


def _answered(asked: SearchRequest, watch: Progress) -> SearchRecord:
    """The record of a search: the one that is there, or a new one."""
    warning = asked.measured.poor() if asked.measured is not None else None
    if warning is not None:
        watch.note(warning)
    with listening() as stop, ExitStack() as stack, stop.anywhere():
        stop.hint = "what was scored is kept: go on with the same command"
        scores = ScoredNets(asked.run, asked.space, watch, stack)
        question = asked.question(scores.weights, scores.data)
        earlier = _earlier(asked, question["question"])
        if earlier is not None:
            watch.note("this search was done before: nothing is scored")
            return earlier
        stack.enter_context(scores.alone())
        record = Answer(asked, trials(asked, scores), scores).record(question)
        write_search(asked.run.results, record)
    return record


def _earlier(asked: SearchRequest, question: str) -> SearchRecord | None:
    """The intact record of the same search, if there is one; not one under a latency whose nets
    were not measured whole, which this machine may be able to do."""
    path = search_path(asked.run.results, asked.run.folder.name, question)
    if not path.exists():
        return None
    try:
        record = read_search(path)
    except UsageError:
        return None
    timed = record.budget.kind == "latency" and record.budget.value is not None
    if timed and all(net.measured is None for net in record.top):
        return None
    return record if record.question == question else None


def search_file(record: SearchRecord, run: str, results: str | Path | None = None) -> Path:
    """The file of a search of this run. Raises UsageError if there is no such run."""
    folder = find_run(run, results)
    return search_path(folder.resolve().parent.parent, record.run, record.question)
