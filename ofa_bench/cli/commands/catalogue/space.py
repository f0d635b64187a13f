"""`ofa-bench space`: what a space offers, and what its subnets cost."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import Name, json_option
from ofa_bench.formatting import count

classes_option = click.option(
    "--classes", type=click.IntRange(min=1), default=1000, show_default=True
)


@click.group()
def command() -> None:
    """Look at a space of subnets, without torch."""


@command.command()
@click.argument("space", type=Name("space"))
@classes_option
@json_option
def show(space: str, classes: int, as_json: bool) -> None:
    """Show the stages of SPACE, their choices, and the ends of its costs."""
    from ofa_bench import api

    loaded = api.load_space(space)
    document = _describe(loaded, classes)
    if as_json:
        console.answer(document)
        return
    listed = ", ".join(map(str, document["listed"]))
    pairs = [
        ("space", f"{loaded.name}: {loaded.table.summary}"),
        ("source", loaded.table.source),
        (
            "nets",
            f"{document['architectures']:,} at each of {len(document['resolutions'])} resolutions",
        ),
        ("candidates at", f"{listed} pixels"),
    ]
    for end in ("largest", "smallest"):
        cost = document[end]
        pairs.append((end, f"{count(cost['macs'])} MACs, {count(cost['params'])} parameters"))
    console.facts(pairs)
    console.say()
    columns = [">stage", ">width", ">stride", "act", "SE", "depth", "expand", "kernel"]
    console.table(
        columns, [[_cell(value) for value in stage.values()] for stage in document["stages"]]
    )


def _cell(value: Any) -> object:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _describe(space: Any, classes: int) -> dict[str, Any]:
    ends = {"largest": space.largest, "smallest": space.smallest}
    return {
        "name": space.name,
        "summary": space.table.summary,
        "fingerprint": space.fingerprint(),
        "architectures": space.count,
        "resolutions": list(space.resolutions),
        "listed": list(space.listed),
        "classes": classes,
        **{
            end: {
                "subnet": net.to_json(),
                "macs": space.macs(net, classes),
                "params": space.params(net, classes),
            }
            for end, net in ends.items()
        },
        "stages": [
            {"stage": number, **vars(row)} for number, row in enumerate(space.table.rows, 1)
        ],
    }


@command.command()
@click.argument("space", type=Name("space"))
@click.option("--subnet", required=True, help="largest, smallest, k7e4d3, or JSON.")
@classes_option
@json_option
def macs(space: str, subnet: str, classes: int, as_json: bool) -> None:
    """Count the MACs and parameters of a subnet of SPACE."""
    from ofa_bench import api

    loaded = api.load_space(space)
    net = loaded.subnet(subnet)
    document = {"macs": loaded.macs(net, classes), "params": loaded.params(net, classes)}
    if as_json:
        console.answer(document)
    else:
        console.facts([(name, f"{value:,}") for name, value in document.items()])
