"""`ofa-bench finetune`: one subnet of a finished run, trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import options, run_options, set_options
from ofa_bench.formatting import interval, percent

if TYPE_CHECKING:
    from ofa_bench.deploy.finetune import Finetuned

FIXED = ("method", "dataset", "space", "shrink", "init", "init_head", "budget", "scale", "epochs")


@click.command()
@click.argument("run")
@click.option(
    "--subnet",
    required=True,
    metavar="SUBNET",
    help="largest, smallest, k7e4d3, a name that show prints, or JSON.",
)
@click.option(
    "--epochs", type=click.FloatRange(0, min_open=True), required=True, help="How long to train."
)
@run_options(without=FIXED)
@options("trust", "json")
def command(run: str, subnet: str, epochs: float, as_json: bool, **values: Any) -> None:
    """Train one subnet of a finished run on.

    An ordinary run on a space that holds the subnet alone, begun from its weights: images,
    augmentation and network are those of RUN, the rate a tenth of the recipe's unless --set
    optim.lr says otherwise. Its record has what RUN cost beside what this cost.
    """
    from ofa_bench import api
    from ofa_bench.cli.views.progress import watched_on
    from ofa_bench.cli.views.record import conclude

    options = set_options(values, values.get("results"))
    with watched_on(values["device"]) as watch:
        done = api.finetune(run, subnet=subnet, epochs=epochs, progress=watch, **options)
    folder = api.find_run(run, values.get("results")).resolve().parent.parent
    conclude(done.record, folder, as_json)
    if not as_json:
        console.say()
        _side_by_side(done)


def _side_by_side(done: Finetuned) -> None:
    """The subnet without retraining and fine-tuned, on both splits, with the images' number."""
    from ofa_bench.records.per_image import wilson

    before, after, splits = done.before, done.record.scores[0], done.record.task.splits
    rows = []
    for name, score in (("without retraining", before), ("fine-tuned", after)):
        row: list[object] = [name]
        for top1, images in (
            (score.top1_select, splits.select.count),
            (score.top1_test, splits.test.count),
        ):
            hits = round(top1 * images / 100)
            row += [percent(top1), interval(*wilson(hits, images), images)]
        rows.append(row)
    columns = (
        f"{before.name} of {before.run}",
        ">top-1 select, %",
        f"95 %, n = {splits.select.count:,}",
        ">top-1 test, %",
        f"95 %, n = {splits.test.count:,}",
    )
    console.table(columns, rows)
