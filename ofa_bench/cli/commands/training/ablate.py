"""`ofa-bench ablate`: a method with each of its policies made plain, or every legal mix."""

from __future__ import annotations

from typing import Any

import click

from ofa_bench.cli.commands.training.compare import conduct
from ofa_bench.cli.comparison import requests, seeds_option
from ofa_bench.cli.launching import Manner, many_runs_options
from ofa_bench.cli.options import options, run_options

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
    conduct(ctx, every, seeds, manner, ablation.show_effects if grid else None)
