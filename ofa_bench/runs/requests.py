"""Requests: their catalogue, and the command line that is equivalent to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ofa_bench.atomic_io import sha256_file
from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import Catalogue, discover
from ofa_bench.hooks.plugin_file import load_file
from ofa_bench.hooks.policy import Policy
from ofa_bench.recipe import Recipe, Request, Science
from ofa_bench.recipe.arguments import request
from ofa_bench.sanitize import command_line
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.strict import shown

SUBNETS = "subnets"  # folder of the results: tables and weights of subnets that runs began from
FLAGS = {"extras": "with", "plugins": "plugin"}


def catalogue_for(asked: Request) -> Catalogue:
    """The catalogue with the request's single-file plugins, each executed once per process.

    Raises UsageError if two files have the same module name.
    """
    discovery = discover()
    if not asked.plugins:
        return discovery.catalogue
    stems = [Path(file).stem.replace("-", "_") for file in dict.fromkeys(asked.plugins)]
    if len(set(stems)) < len(stems):
        raise UsageError(
            f"two plugin files have one name: {', '.join(map(str, asked.plugins))}",
            "rename one, since a module is known by its name",
        )
    catalogue = Catalogue()
    catalogue.merge(discovery.catalogue)
    for file in dict.fromkeys(asked.plugins):
        scratch = type(discovery)(catalogue)
        scratch.admit(*load_file(Path(file)))
    return catalogue


def compare_requests(
    methods: Sequence[str] | None, seeds: Sequence[int], **values: Any
) -> list[Request]:
    """Every method × seed as a request, methods running within a seed; each of them once.

    UsageError where `methods` or `seeds` is no list, or `values` names one of either.
    """
    for name, plural in (("method", "methods"), ("seed", "seeds")):
        if name in values:
            raise UsageError(
                f"compare has no option {name!r}", f"give {plural}: each is run with each"
            )
    names = _listed("methods", methods) if methods is not None else []
    names = names or load_toml(specs_root() / "defaults.toml")["compare"]["methods"]
    asked = [
        request(**{**values, "method": name, "seed": seed})
        for seed in _listed("seeds", seeds)
        for name in names
    ]
    once = {(one.method, one.seed): one for one in asked}
    return list(once.values())


def _listed(name: str, values: Any) -> list[Any]:
    """What is to be gone through more than once: a generator would be empty the second time."""
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__iter__"):
        raise UsageError(f"{name}: {shown(values)} is no list", "give a list, of one item or more")
    try:
        return list(values)
    except TypeError as error:  # an array of no dimension
        raise UsageError(f"{name}: {shown(values)} is no list", "give a list") from error


def subnet_table(run: Path, file: str, known: str | None) -> str | None:
    """The table of a fine-tuned subnet's space, by the name of a file that `run.json` names.

    Looked for in the run's own results only, and used only with the hash `known` that it had when
    the run began: no path of the file is followed.
    """
    table = run.resolve().parent.parent / SUBNETS / Path(file).name
    if table.is_symlink() or not table.is_file() or known != sha256_file(table):
        return None
    return str(table)


def differing(
    parent: Recipe, ours: Science, tables: Sequence[str] = ("net", "augment")
) -> Iterator[tuple[str, str]]:
    """Keys in whose value a science differs from that of a parent's recipe, each with the text
    that `set` takes to make them equal: those of some tables, or single ones by their dotted key,
    and the images in select."""
    for name in tables:
        table, _, single = name.partition(".")
        theirs = getattr(parent.science, table).model_dump(mode="json")
        mine = getattr(ours, table).model_dump(mode="json")
        for key, value in theirs.items():
            if mine.get(key) != value and single in ("", key):
                text = str(value).lower() if isinstance(value, bool) else repr(value)
                yield f"{table}.{key}", f"{table}.{key}={text}"
    if "data.select" in parent.origins:
        yield "data.select", f"data.select={parent.science.data.select!r}"


def shell_line(asked: Request) -> str:
    """The `run` command of a request; a policy instance appears as its class name."""
    names = [field.name for field in fields(Request) if field.name != "recorded"]
    return command_line("ofa-bench", "run", *_words(asked, names))


def resume_line(name: str, asked: Request, verb: str = "resume") -> str:
    """The `resume` or `evaluate` command of a run, with the code and table files that it needs."""
    names = ["results", "plugins", "recipe"]
    names += ["space"] if str(asked.space).endswith(".toml") else []
    return command_line("ofa-bench", verb, name, *_words(asked, names))


def _words(asked: Request, names: Sequence[str]) -> Iterator[object]:
    defaults = {field.name: field.default for field in fields(Request)}
    for name in names:
        value = getattr(asked, name)
        if value == defaults[name]:
            continue
        flag = "--" + FLAGS.get(name, name).replace("_", "-")
        if isinstance(value, bool):
            yield flag
        elif isinstance(value, tuple):
            yield from (word for item in value for word in (flag, item))
        else:
            yield from (flag, type(value).__name__ if isinstance(value, Policy) else value)
