"""`ofa-bench run`: train, evaluate, store one record, print it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import asked_of, json_option, run_options

if TYPE_CHECKING:
    from ofa_bench.recipe import Request
    from ofa_bench.runs.runner import Stage
    from ofa_bench.runs.single import Resumption


@click.command()
@run_options()
@click.option("--evaluate-later", is_flag=True, help="End after training, and say how to evaluate.")
@json_option
def command(evaluate_later: bool, as_json: bool, **values: Any) -> None:
    """Train, evaluate and store one run.

    Without options: the default method on the embedded digits. A finished run is shown again, and
    a begun one goes on from its last checkpoint. With --evaluate-later no record is written yet:
    `evaluate RUN` or `resume RUN` writes it, on any machine that has the images.
    """
    run_and_show(asked_of(values), as_json, stage="train" if evaluate_later else "all")


def run_and_show(
    request: Request,
    as_json: bool,
    line: str = "",
    resumed: Resumption | None = None,
    stage: Stage = "all",
) -> None:
    """Carry a run through, or on, and print its record; `line` is the command it is recorded by.

    `stage` "train" leaves the final evaluation out, "evaluate" does nothing else.
    """
    from ofa_bench import api
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.cli.views.record import conclude, headline, show_trained
    from ofa_bench.planning.assemble import assemble

    assembly = assemble(request, api.catalogue_for(request))
    console.tell(headline(assembly))
    with watched_on(request.device) as watch:
        watch.follow(assembly)
        if stage == "train":
            record = api.train_request(request, watch, line)
        elif stage == "evaluate" and resumed is not None:
            record = api.evaluate_request(resumed, watch)
        else:
            record = api.run_request(request, watch, line, resumed=resumed)
    if isinstance(record, api.UnevaluatedRun):
        show_trained(record, as_json)
    else:
        conclude(record, api.results_root(request.results), as_json)
