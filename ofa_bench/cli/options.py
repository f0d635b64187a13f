"""Options that several commands share, and the kinds of value they take."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ofa_bench.strict import ratio, shown

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ofa_bench.recipe import Request
    from ofa_bench.records.store import Store

C = TypeVar("C", bound=Callable[..., Any])
Decorator = Callable[[C], C]
MOST = 100_000  # of an amount


class Kind(click.ParamType):  # type: ignore[type-arg] # older clicks have no generic one
    """A kind of value: its name in usage lines, and what reads it or raises ValueError."""

    def __init__(self, name: str, read: Callable[[Any], Any]) -> None:
        self.name, self.read = name, read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value; a tuple has been read already."""
        try:
            return value if isinstance(value, tuple) else self.read(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


def listed(value: Any) -> list[str]:
    """The words of a list, or of a text between commas; empty ones are left out."""
    words = value if isinstance(value, list) else str(value).split(",")
    return [word for word in (str(part).strip() for part in words) if word]


class Name(Kind):
    """A name of the catalogue, which is read only when the command runs or a shell completes."""

    def __init__(self, kind: str) -> None:
        super().__init__("name", _name)
        self.kind = kind

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin so."""
        from click.shell_completion import CompletionItem

        from ofa_bench.hooks.catalogue import discover

        names = discover().catalogue.names(self.kind)
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _name(value: Any) -> str:
    if not str(value).strip():
        raise ValueError("a name may not be empty")
    return str(value).strip()


def amount(value: Any) -> float:
    """A positive, finite number; "10/270" is one."""
    number = ratio(shown(value) if isinstance(value, int | float) else str(value))
    if isinstance(value, bool) or number <= 0:
        raise ValueError(f"{shown(value)} is not a positive, finite number")
    if number > MOST:
        raise ValueError(f"{shown(value)} is over {MOST:,}")
    return number


def interval(value: Any) -> str:
    """A time such as 600, 90s, 10m or 2h, or a count such as 500steps, as it was written."""
    from ofa_bench.errors import UsageError
    from ofa_bench.recipe.checkpoint_interval import checkpoint_interval

    try:
        checkpoint_interval(value)
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from error
    return str(value)


def device(value: Any) -> str:
    """auto, cpu, cuda or cuda:N; whether this machine has it is asked later."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(value)):
        raise ValueError(f"{value!r} is none of auto, cpu, cuda, cuda:N")
    return str(value)


RUN_OPTIONS: dict[str, Decorator[Any]] = {
    "method": click.option("--method", type=Name("method"), help="A bundle of three policies."),
    "dataset": click.option("--dataset", type=Name("dataset"), help="What is learned."),
    "space": click.option(
        "--space", type=Name("space"), help="Space of subnets, by name or TOML file."
    ),
    "shrink": click.option("--shrink", type=Name("shrink"), help="Replace the shrink policy."),
    "lr": click.option("--lr", type=Name("lr"), help="Replace the learning-rate policy."),
    "distill": click.option(
        "--distill", type=Name("distill"), help="Replace the distillation policy."
    ),
    "recipe": click.option("--recipe", metavar="FILE", help="TOML values over the shipped ones."),
    "set": click.option(
        "--set", multiple=True, metavar="PATH=VALUE", help="One recipe value; repeatable."
    ),
    "extras": click.option(
        "--with", "extras", multiple=True, type=Name("extra"), help="Add an extra; repeatable."
    ),
    "budget": click.option(
        "--budget",
        type=click.Choice(["paper", "matched"]),
        help="The recipe's lengths, or the MACs of --epochs N full-net epochs.",
    ),
    "scale": click.option(
        "--scale", type=Kind("number", amount), help="Multiply the recipe's lengths."
    ),
    "epochs": click.option(
        "--epochs", type=Kind("number", amount), help="Length for every method; 0.2 is one."
    ),
    "seed": click.option("--seed", type=click.IntRange(min=0), help="0 unless given."),
    "data_dir": click.option(
        "--data-dir", metavar="DIR", help="Where the images are; else $OFA_BENCH_DATA, ./data."
    ),
    "workers": click.option(
        "--workers",
        type=click.IntRange(0, 256),
        help="Processes that read images; else as the cores allow.",
    ),
    "device": click.option(
        "--device", type=Kind("device", device), help="auto, cpu, cuda or cuda:N."
    ),
    "precision": click.option(
        "--precision",
        type=click.Choice(["fp32", "bf16", "fp16"]),
        help="What training computes in.",
    ),
    "deterministic": click.option(
        "--deterministic", is_flag=True, help="Only kernels that repeat to the bit."
    ),
    "init": click.option(
        "--init", metavar="FILE[::SET]", help="Weights to start from; SET is one of several in it."
    ),
    "init_head": click.option(
        "--init-head",
        type=click.Choice(["file", "fresh"]),
        help="Take the classifier from the file too, or keep a fresh one: for other classes.",
    ),
    "teacher": click.option(
        "--teacher", metavar="FILE[::SET]|RUN", help="Weights, or a finished run, to learn from."
    ),
    "results": click.option(
        "--results", metavar="DIR", help="Results root; else $OFA_BENCH_RESULTS, ./results."
    ),
    "plugins": click.option(
        "--plugin", "plugins", multiple=True, metavar="FILE", help="A single-file plugin."
    ),
    "checkpoint_every": click.option(
        "--checkpoint-every",
        type=Kind("interval", interval),
        metavar="SECONDS|Nsteps",
        help="How often the state is saved: 600, 10m, 500steps.",
    ),
    "keep": click.option(
        "--keep",
        type=click.Choice(["newest", "phase"]),
        help="Which states stay: the newest, or those at the phases' ends too.",
    ),
    "fresh": click.option("--fresh", is_flag=True, help="Run again what is finished or begun."),
}


json_option: Decorator[Any] = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout."
)
trust_option: Decorator[Any] = click.option(
    "--trust", is_flag=True, help="Use the code and tables that the file or folder names."
)
cost_option: Decorator[Any] = click.option(
    "--cost",
    type=click.Choice(["macs", "latency"]),
    default="macs",
    show_default=True,
    help="What budgets are counted in.",
)
latency_table_option: Decorator[Any] = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="FILE",
    help="With --cost latency: what `latency measure` wrote; one for each kind of shortcuts.",
)
results_option = RUN_OPTIONS["results"]
OPTIONS = {
    **RUN_OPTIONS,
    "cost": cost_option,
    "tables": latency_table_option,
    "trust": trust_option,
    "json": json_option,
}


def options(*names: str) -> Decorator[Any]:
    """The OPTIONS of these names, in this order."""

    def decorate(command: Any) -> Any:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return decorate


def run_options(without: tuple[str, ...] = ()) -> Decorator[Any]:
    """The RUN OPTIONS, by the names of a `Request`'s fields."""
    return options(*(name for name in RUN_OPTIONS if name not in without))


finished_run_options: Decorator[Any] = options(
    *("data_dir", "workers", "device", "recipe", "space", "plugins", "trust", "results", "json")
)
"""The options of a command on a finished run: its images, its device, and the code and tables that
it was trained with."""


def store_of(results: str | Path | None) -> Store:
    """The records of the results folder that --results names."""
    from ofa_bench import api
    from ofa_bench.records.store import Store

    return Store(api.results_root(results))


def asked_of(values: dict[str, Any]) -> Request:
    """The request that options make; options that were not set stay unset."""
    from ofa_bench import api

    return api.request(**set_options(values, values.get("results")))


def set_options(values: dict[str, Any], results: str | None) -> dict[str, Any]:
    """The options that were set; a teacher that is a run's name becomes its folder."""
    from ofa_bench import api
    from ofa_bench.recipe import is_set
    from ofa_bench.recipe.initial_weights import split_set

    options = {name: value for name, value in values.items() if is_set(value)}
    teacher = options.get("teacher")
    if teacher is not None and not split_set(teacher)[0].exists():
        options["teacher"] = str(api.find_run(teacher, results))
    return options
