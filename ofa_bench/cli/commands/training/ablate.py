"""`ofa-bench ablate`: a method with each of its policies made plain, or every legal mix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ofa_bench.cli import console
from ofa_bench.cli.commands.training.compare import conduct
from ofa_bench.cli.comparison import requests, seeds_option
from ofa_bench.cli.launching import Manner, many_runs_options
from ofa_bench.cli.options import options, run_options

if TYPE_CHECKING:
    from ofa_bench.records.store import StoredRecord

APART = ("method", "seed", "shrink", "lr", "distill")


@click.command()
@click.argument("method")
@click.option("--grid", is_flag=True, help="Every legal mix of the named policies instead.")
@seeds_option
@run_options(without=APART)
@options("json")
@many_runs_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    method: str,
    grid: bool,
    seeds: tuple[int, ...],
    manner: Manner,
    **values: Any,
) -> None:
    """Train METHOD with each policy in turn replaced by the plain one.

    Plain is the sandwich from the start, a cosine, labels. Where that leaves another policy
    without what it needs, that one turns plain too. Runs that begin alike train their beginning
    once; each row is charged in full.
    """
    from ofa_bench.cli import ablation
    from ofa_bench.cli.options import asked_of
    from ofa_bench.hooks.catalogue import discover
    from ofa_bench.recipe.load import FAMILIES

    about = discover().catalogue.get("method", method).about
    asked = vars(asked_of({**values, "method": method, "seed": seeds[0]}))
    mixes = ablation.grid(asked) if grid else ablation.without(about, asked)
    whole = {family: about[family] for family in FAMILIES}
    rows = [{"method": method, **({} if mix == whole else mix)} for mix in mixes]
    every = requests(values, None, seeds, rows)
    conduct(ctx, every, seeds, manner, _effects if grid else None)


def _effects(entries: list[StoredRecord]) -> None:
    """Main effects and interactions, by the mean over seeds of each mix."""
    from ofa_bench.cli import ablation
    from ofa_bench.recipe.load import FAMILIES

    groups: dict[tuple[str, ...], list[float]] = {}
    for entry in entries:
        summary, chosen = entry.record.summary, entry.record.method
        if summary is not None:
            names = (chosen.shrink.name, chosen.lr.name, chosen.distill.name)
            groups.setdefault(names, []).append(summary.mean_pareto_accuracy)
    scores = [
        (dict(zip(FAMILIES, names, strict=True)), sum(values) / len(values))
        for names, values in groups.items()
    ]
    console.say("main effects, points against the mixes that differ in this policy alone:")
    for family, name, rows, gap in ablation.effects(scores):
        console.say(f"  {family} {name}: {gap:+.2f} ({rows} rows)")
    console.say("interactions, points beyond the sum of both changes:")
    for one, other, gap, cells in ablation.interactions(scores):
        console.say(f"  {one} with {other}: {gap:+.2f} ({cells} squares)")
