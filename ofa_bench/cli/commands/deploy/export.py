"""`ofa-bench export`: a subnet of a finished run as files that run elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import finished_run_options, listed
from ofa_bench.formatting import count, percent

if TYPE_CHECKING:
    from ofa_bench.deploy.export.pipeline import ExportedModel


@click.command()
@click.argument("run")
@click.option(
    "--subnet",
    metavar="SUBNET",
    help="largest, smallest, k7e4d3, a name that show prints, or JSON.",
)
@click.option("--macs", metavar="N", help="The best subnet that search has for so many MACs: 3M.")
@click.option("-o", "--output", required=True, metavar="DIR", help="The folder to write.")
@click.option(
    "--format",
    "formats",
    metavar="NAMES",
    default="safetensors,onnx,pt2",
    show_default=True,
    help="Formats, between commas; `ofa-bench list exporters`.",
)
@finished_run_options
def command(
    run: str,
    subnet: str | None,
    macs: str | None,
    output: str,
    formats: str,
    results: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Take a subnet out of a finished run.

    Every format is proved before the folder appears: the logits of the supernet's subnet, the same
    class for every test image, the multiply-accumulates that the space counts.
    """
    if (subnet is None) == (macs is None):
        raise click.UsageError("Name the subnet: either --subnet or --macs.")
    from ofa_bench import api
    from ofa_bench.cli.views.progress import watched_on

    spec = subnet if subnet is not None else f"best@{macs}"
    with watched_on(values["device"]) as watch:
        exported = api.export(
            run, spec, output, formats=listed(formats), results=results, progress=watch, **values
        )
    if as_json:
        model = exported.model.model_dump(mode="json")
        console.answer({"folder": output, "model": model, "parity": exported.parity})
    else:
        _show(exported, output)


def _show(exported: ExportedModel, output: str) -> None:
    """A line for each format, and the accuracies."""
    columns = ["format", ">largest difference of a logit", ">same class", ">MACs", "files"]
    rows = [
        (
            name,
            f"{max(facts['logits'].values()):.1e}",
            "{equal} of {images}".format(**facts["predictions"]) if "predictions" in facts else "–",
            count(facts["macs"]),
            " ".join(facts["files"]),
        )
        for name, facts in exported.parity["formats"].items()
    ]
    console.table(columns, rows)
    for name, facts in exported.parity["formats"].items():
        for remark in facts.get("remarks", ()):
            console.say(f"{name}: {remark}")
    for split, value in exported.model.accuracy.items():
        console.say(f"top-1 on {split}: {percent(value.top1)} % (n = {value.images:,})")
    console.say(output)
