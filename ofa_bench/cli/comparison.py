"""What a comparison runs: from options, or from a TOML file that declares it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ofa_bench.cli.options import RUN_OPTIONS, Kind, listed
from ofa_bench.errors import RecipeError, suggest
from ofa_bench.recipe.arguments import leaves
from ofa_bench.sanitize import plain_text
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.strict import shown

APART = ("file", "as_json", "yes", "trust", "launch", "dry_run", "retry")
MOST_SEEDS = 1000  # of one comparison
SEEDS = 2**31
ROWS_SHARE = ("seed", "results", "fresh")


def seed_list(value: Any) -> tuple[int, ...]:
    """A number of seeds from 0 on, or the seeds themselves between commas."""
    several = isinstance(value, list) or "," in str(value)
    words = listed(value)
    if not words or not all(word.isascii() and word.isdecimal() for word in words):
        raise ValueError(f"{shown(value)} is neither a count nor a list such as 0,1,4")
    numbers = tuple(int(word) if len(word) < 12 else SEEDS for word in words)
    if len(words) > MOST_SEEDS or (not several and numbers[0] > MOST_SEEDS):
        raise ValueError(f"{shown(value)} is more than {MOST_SEEDS:,} seeds")
    seeds = numbers if several else tuple(range(numbers[0]))
    if max(seeds, default=0) >= SEEDS:
        raise ValueError(f"{shown(value)} holds a seed over {SEEDS - 1}")
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"{shown(value)} gives no seed, or one twice")
    return seeds


def name_list(value: Any) -> tuple[str, ...]:
    """Names between commas."""
    names = tuple(listed(value))
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{value!r} gives no name, or one twice")
    return names


def device_list(value: Any) -> tuple[str, ...]:
    """Devices between commas, as --device names them; a number is a GPU's."""
    named = tuple(f"cuda:{name}" if name.isdecimal() else name for name in listed(value))
    if not named or not all(
        name == "cpu" or name.removeprefix("cuda:").isdecimal() for name in named
    ):
        raise ValueError(f"{value!r} is no list of devices, such as 0,1 or cpu,cpu")
    return named


seeds_option = click.option(
    "--seeds",
    type=Kind("seeds", seed_list),
    default="3",
    metavar="N|A,B,…",
    help="How many, or which.",
)
devices_option = click.option(
    "--devices",
    type=Kind("devices", device_list),
    metavar="0,1,…",
    help="Runs side by side on these.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask before a long comparison.")


def take_file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Let a file's values stand where the command line says nothing.

    The file is a path, or the name of one that is shipped. Its keys are the command's own options,
    and `rows`, a list of tables each of which says what one row has of its own. RecipeError names a
    key or value that cannot be meant.
    """
    if value is None:
        return None
    shipped = specs_root() / "comparisons" / f"{value}.toml"
    table = load_toml(shipped if not Path(value).is_file() and shipped.is_file() else Path(value))
    rows = table.pop("rows", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RecipeError("rows are tables", file=value, key="rows", hint="write [[rows]]")
    if rows and "methods" in table:
        hint = 'give each row its method: [[rows]] method = "NAME"'
        reason = "methods and rows exclude each other"
        raise RecipeError(reason, file=value, key="methods", hint=hint)
    if "results" in table:
        reason = "a file does not say where results are written"
        hint = "take it out, and say --results DIR"
        raise RecipeError(reason, file=value, key="results", hint=hint)
    params = [p for p in ctx.command.params if p.name not in APART]
    ctx.default_map = {param.name: setting for param, setting in _settings(table, params, value)}
    ctx.meta["rows"] = [dict(_row(ctx, row, value)) for row in rows]
    parts = (ctx.default_map, *ctx.meta["rows"])
    code = [str(path) for values in parts for path in values.get("plugins") or ()]
    ctx.meta["code"] = (value, code)
    return value


def check_code(ctx: click.Context, trust: bool) -> None:
    """RecipeError where a comparison's file names code that the command line does not name too."""
    file, paths = ctx.meta.get("code", ("", []))
    typed = ctx.get_parameter_source("plugins") is ParameterSource.COMMANDLINE
    known = {Path(path).resolve() for path in ctx.params["plugins"]} if typed else set()
    for path in paths:
        if not trust and Path(path).resolve() not in known:
            hint = f"add --plugin {plain_text(path)}, or --trust if you trust this file"
            reason = f"names {plain_text(path)}, which is code: it is run only on your word"
            raise RecipeError(reason, file=file, key="plugin", hint=hint)


def _settings(
    values: Mapping[str, Any], params: Sequence[click.Parameter], file: str
) -> Iterator[tuple[click.Parameter, Any]]:
    """Each value with the parameter that it is for."""
    named = {opt.lstrip("-").replace("-", "_"): param for param in params for opt in param.opts}
    for key, value in values.items():
        param = named.get(key.replace("-", "_"))
        if param is None:
            hint = suggest(key, named, "the keys are")
            raise RecipeError("a comparison has no such key", file=file, key=key, hint=hint)
        if param.name == "set" and isinstance(value, dict):
            value = [f"{path}={json.dumps(leaf)}" for path, leaf in leaves(value)]
        else:
            _check_kind(param, value, file, key)
        value = _as_typed(value)
        yield param, [value] if param.multiple and not isinstance(value, list) else value


def _check_kind(param: click.Parameter, value: Any, file: str, key: str) -> None:
    """RecipeError where a value is not of the kind that the command line has for this option."""
    if isinstance(value, dict):
        raise RecipeError("is a table", file=file, key=key, hint="give one value")
    if getattr(param, "is_flag", False):
        if not isinstance(value, bool):
            reason = f"{shown(value)} is neither true nor false"
            raise RecipeError(reason, file=file, key=key, hint="write true")
        return
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, bool) or not isinstance(item, str | int | float):
            text = str(item).lower() if isinstance(item, bool) else shown(item)
            reason = f"is {text}, which is no number or name"
            raise RecipeError(reason, file=file, key=key, hint="give one value")


def _as_typed(value: Any) -> Any:
    """Numbers as the text that the command line would hold, so that 1.5 is no whole number here
    either."""
    if isinstance(value, list):
        return [_as_typed(item) for item in value]
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _row(ctx: click.Context, row: Mapping[str, Any], file: str) -> Iterator[tuple[str, Any]]:
    whole = click.Command("row")
    for name, option in RUN_OPTIONS.items():
        if name not in ROWS_SHARE:
            option(whole)
    for param, value in _settings(row, whole.params, file):
        yield str(param.name), param.type_cast_value(ctx, value)


def requests(
    values: Mapping[str, Any],
    methods: Sequence[str] | None,
    seeds: tuple[int, ...],
    rows: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """The options of every run, rows within a seed. What a row says of itself goes before what is
    said of all; its `set`, `with` and `plugin` come on top."""
    if methods is None and not rows:
        methods = load_toml(specs_root() / "defaults.toml")["compare"]["methods"]
    declared = [{"method": name} for name in methods] if methods else rows
    return [{**_laid(values, row), "seed": seed} for seed in seeds for row in declared]


def sized(every: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every run at each size of its budget: of its epochs where they are given, else in scale."""
    from ofa_bench.leaderboard.by_cost.cost_curves import SIZES

    for size in SIZES:
        for values in every:
            key = "epochs" if values.get("epochs") is not None else "scale"
            yield {**values, key: size * (values.get(key) or 1.0)}


def _laid(values: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**values, **row}
    for name in ("set", "extras", "plugins"):
        merged[name] = (*(values.get(name) or ()), *(row.get(name) or ()))
    return merged
