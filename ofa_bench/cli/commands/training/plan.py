"""`ofa-bench plan`: what a run would do, without doing it."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.options import Kind, asked_of, json_option, listed, run_options
from ofa_bench.formatting import count, duration, money, rate


def step_list(value: Any) -> tuple[int, ...]:
    """Numbers of steps, between commas."""
    words = listed(value)
    if not words or not all(word.isdecimal() for word in words):
        raise ValueError(f"{value!r} is no list of steps, such as 0,10,20")
    return tuple(int(word) for word in words)


@click.command()
@run_options()
@click.option(
    "--steps",
    type=Kind("numbers", step_list),
    default=(),
    metavar="0,10,…",
    help="Show what these draw.",
)
@click.option("--calibrate", is_flag=True, help="Time a few steps of each phase on this machine.")
@click.option(
    "--devices", type=click.IntRange(1), metavar="N", help="A step on N devices, on paper."
)
@json_option
def command(
    steps: tuple[int, ...], calibrate: bool, devices: int | None, as_json: bool, **values: Any
) -> None:
    """Show what a run would do and cost.

    Phases, rates, draws; nothing is trained. Needs no data (sizes come from the data set's table)
    and no torch. Time and $ are told where records of this machine and space tell how fast it is,
    or where --calibrate has measured it.
    """
    from ofa_bench import api
    from ofa_bench.cli.views import scaling
    from ofa_bench.planning.assemble import assemble
    from ofa_bench.planning.forecast import Forecast

    asked = asked_of(values)
    assembly = assemble(asked, api.catalogue_for(asked))
    speed = _speed(asked, assembly, calibrate)
    document = Forecast(assembly).document(steps)
    document["predicted"] = speed.describe(document["macs"])
    if devices is not None:
        document["predicted"]["scaling"] = scaling.foretold(assembly, speed, devices)
    if as_json:
        console.answer(document)
        return
    _show_head(assembly, document)
    _show_phases(document)
    _show_edges(document)
    if document["predicted"].get("scaling"):
        scaling.show(document["predicted"]["scaling"])
    elif devices is not None:
        console.say("on several devices: not known before a speed is; --calibrate measures it")
    for drawn in document["draws"]:
        _show_draws(drawn)


def _speed(asked: Any, assembly: Any, calibrate: bool) -> Any:
    """This machine's speed: measured now, or as known."""
    from ofa_bench import api
    from ofa_bench.cli.allocator import settle
    from ofa_bench.records.store import Store
    from ofa_bench.runs.recorded_throughput import calibrated, speed_for

    store = Store(api.results_root(asked.results))
    if not calibrate:
        return speed_for(assembly, store)
    settle(asked.device)
    from ofa_bench.runs.throughput import measure

    console.tell("timing a few steps of each phase")
    return calibrated(assembly, store, measure(assembly))


def _show_head(assembly: Any, document: dict[str, Any]) -> None:
    from ofa_bench.cli.views.record import length

    images, predicted = document["images"], document["predicted"]
    train, select, test = (f"{images[name]:,}" for name in ("train", "select", "test"))
    pairs = [
        ("method", f"{document['method']} ({document['composition']})"),
        ("images", f"{document['dataset']}: {train} train, {select} select, {test} test"),
        ("space", f"{document['space']}: {document['architectures']:,} nets per resolution"),
        ("length", f"{length(assembly)}, {document['steps']:,} steps"),
        ("steps an epoch", f"{document['steps_per_epoch']:,} of {document['batch']:,} images"),
        ("cost", f"{count(document['macs'])} training MACs"),
    ]
    if document["images_left_out"]:
        left = f"{document['images_left_out']} images an epoch: a batch too short for its norms"
        pairs.append(("left out", left))
    seconds = predicted["device_seconds"]
    if seconds is None:
        pairs.append(
            ("time", "not known: no record of this machine and space yet; --calibrate measures it")
        )
    else:
        pairs.append(("time", f"about {duration(seconds)} on {predicted['device']}"))
        pairs.append(("$", money(predicted["usd"])))
    console.facts(pairs)


def _show_phases(document: dict[str, Any]) -> None:
    roles = list(dict.fromkeys(role for phase in document["phases"] for role in phase["macs"]))
    columns = ["phase", ">epochs", ">steps", ">from epoch", ">LR first", ">LR last"]
    columns += [">ε first", ">ε last", ">passes an image", *(f">MACs {role}" for role in roles)]
    rows = []
    for phase in document["phases"]:
        item = sum(phase["passes"].values()) / phase["images"] if phase["images"] else 0
        rows.append(
            [
                phase["name"],
                f"{phase['epochs']:.6g}",
                f"{phase['steps']:,}",
                f"{phase['first_epoch']:.6g}",
                rate(phase["lr_first"]),
                rate(phase["lr_last"]),
                rate(phase["share_first"]),
                rate(phase["share_last"]),
                f"{item:g}",
                *(count(phase["macs"][role]) if role in phase["macs"] else "" for role in roles),
            ]
        )
    console.say()
    console.table(columns, rows)


def _show_edges(document: dict[str, Any]) -> None:
    rows = [
        (
            edge["what"],
            f"{edge['step']:,}",
            f"{edge['epoch']:.6g}",
            rate(edge["lr"]),
            rate(edge["share"]),
        )
        for edge in document["edges"]
    ]
    console.say()
    console.table(["where", ">step", ">epoch", ">LR", ">ε (share of LR)"], rows)


def _show_draws(drawn: dict[str, Any]) -> None:
    title = f"step {drawn['step']} ({drawn['phase']}, epoch {drawn['epoch']:.6g})"
    console.say()
    if drawn["draws"] is None:
        console.say(f"{title}: the draws depend on what the network has learned by then")
        return
    rows = [
        [draw["role"], draw["name"], rate(draw["share"]), count(draw["macs"])]
        for draw in drawn["draws"]
    ]
    console.table(["role", "subnet", ">share of LR", ">MACs"], rows, title)
