"""Nets trained alone under one recipe: ordinary runs, each on a space that holds one net."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_bench.atomic_io import make_folder, write_whole
from ofa_bench.planning.assemble import assemble
from ofa_bench.recipe import Request
from ofa_bench.recipe.arguments import request
from ofa_bench.runs.comparison import Planned, planned
from ofa_bench.runs.finished import FinishedRun
from ofa_bench.runs.requests import SUBNETS, catalogue_for, differing
from ofa_bench.space import Space, Subnet
from ofa_bench.space.one_net import name_alone, table_text
from ofa_bench.spec_files import load_toml, specs_root

INHERITED = ("data_dir", "workers", "device", "plugins")
TRACK = ("augment", "optim.batch", "optim.norm_batch")  # what nets share with their supernets


@dataclass(frozen=True)
class NetRun:
    """One net trained alone with one seed."""

    subnet: Subnet
    seed: int
    planned: Planned


def defaults() -> Mapping[str, Any]:
    """Method, number of nets and of seeds where nothing is said: `specs/defaults.toml`."""
    table: Mapping[str, Any] = load_toml(specs_root() / "defaults.toml")["truth"]
    return table


def net_runs(
    parent: FinishedRun,
    nets: Sequence[Subnet],
    seeds: Sequence[int],
    options: Mapping[str, Any],
    results: Path,
) -> list[NetRun]:
    """The runs of all nets with the first seed, then with the next ones; nothing is trained yet.

    The recipe is that of the method and the data set; images, augmentation, batch and precision are
    those of the supernet's track. `options` are `epochs`, `data_dir`, `workers` and `device`;
    `results` is where the records go. Raises UsageError or another BenchError where a run cannot be
    assembled.
    """
    values = {**_values(parent, options), "results": str(results)}
    tables = {net: str(_table(parent.space, net, results)) for net in nets}
    first = request(**values, space=tables[nets[0]])
    ours = assemble(first, catalogue_for(first)).science
    same = [text for _, text in differing(parent.assembly.recipe, ours, TRACK)]
    if ours.precision != parent.assembly.science.precision:
        values["precision"] = parent.assembly.science.precision
    settings = (*same, "evaluate.curve=0")
    return [
        NetRun(net, seed, planned(_request(values, tables[net], seed, settings)))
        for seed in seeds
        for net in nets
    ]


def _request(values: Mapping[str, Any], table: str, seed: int, settings: Sequence[str]) -> Request:
    return request(**values, space=table, seed=seed, set=settings)


def _values(parent: FinishedRun, options: Mapping[str, Any]) -> dict[str, Any]:
    begun = parent.begun_run.asked
    inherited = {name: value for name in INHERITED if (value := getattr(begun, name))}
    return {
        **inherited,
        **{name: value for name, value in options.items() if value is not None},
        "method": defaults()["method"],
        "dataset": parent.assembly.science.dataset,
    }


def _table(space: Space, subnet: Subnet, results: Path) -> Path:
    """The file of the net's table, written where it is not there yet."""
    folder = results / SUBNETS
    path = folder / f"{name_alone(space, subnet)}.toml"
    text = table_text(space, subnet, "a net that `ofa-bench truth` trains alone")
    make_folder(results, folder)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_whole(path, text, root=results)
    return path
