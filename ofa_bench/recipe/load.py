"""Recipe layers: defaults ← method presets ← data set's files ← --recipe ← flags and --set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ofa_bench.errors import RecipeError, UsageError, suggest
from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.hooks.policy import Policy
from ofa_bench.recipe.checkpoint_interval import checkpoint_interval
from ofa_bench.recipe.layers import Layers, Tree, recipe_files, refuse_chosen
from ofa_bench.recipe.models import Choice, Execution, Science
from ofa_bench.recipe.type_checks import invalid_values
from ofa_bench.spec_files import load_toml, specs_root
from ofa_bench.strict import shown

FAMILIES = ("shrink", "lr", "distill")
SEEDS = 2**31
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of a command line or Python call; None where not set.

    A policy may be given as an instance, from a notebook. `recorded` holds a record's `science` and
    `origins`, which then stand in place of names and layers; `method` says whose length it borrows.
    """

    method: str | None = None
    dataset: str | None = None
    space: str | None = None
    shrink: str | Policy[Any] | None = None
    lr: str | Policy[Any] | None = None
    distill: str | Policy[Any] | None = None
    recipe: str | Path | None = None
    set: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    budget: str | None = None
    scale: float | None = None
    epochs: float | None = None
    seed: int = 0
    data_dir: str | Path | None = None
    workers: int | None = None
    device: str | None = None
    precision: str | None = None
    deterministic: bool = False
    init: str | Path | None = None
    init_head: str | None = None
    teacher: str | Path | None = None
    results: str | Path | None = None
    plugins: tuple[str, ...] = ()
    checkpoint_every: str | float | None = None
    keep: str | None = None
    fresh: bool = False
    recorded: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Recipe:
    """A run, resolved: science, execution, seed, the policies, and each value's origin."""

    science: Science
    execution: Execution
    seed: int
    policies: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    base: str = ""  # the method whose presets and files were laid


def is_set(value: object) -> bool:
    """Whether an option is set; 0 counts as set."""
    return value is not None and value is not False and value != ()


def load_recipe(request: Request, catalogue: Catalogue, default_space: Any) -> Recipe:
    """Resolve a request. `default_space(dataset)` names a data set's own space.

    Raises UsageError or a subclass on invalid values.
    """
    if not 0 <= request.seed < SEEDS:
        raise UsageError(f"seed {request.seed} is out of range", f"choose one of 0 to {SEEDS - 1}")
    layers = Layers()
    file = load_toml(Path(request.recipe)) if request.recipe else {}
    names = _names(request, file, catalogue, default_space)
    if "method" in names:
        about = catalogue.get("method", names["method"]).about
        layers.lay(about["presets"], f"method {names['method']}")
    roots = [folder for _, folder in reversed(catalogue.folders)]
    stem = names.get("method", "")
    for path, values in recipe_files(roots, names["dataset"], names["space"], stem):
        layers.lay(values, f"{path.parent.name}/{path.name}")
    refuse_chosen(file, str(request.recipe), NAMES)
    layers.lay({k: v for k, v in file.items() if k not in NAMES}, str(request.recipe))
    for assignment in request.set:
        layers.set(assignment, f"--set {assignment.partition('=')[0]}")
    _lay_flags(layers, request)
    policies = _policies(request, names, layers, catalogue)
    return Recipe(
        science=_science(request, names, layers, policies),
        execution=execution_of(request),
        seed=request.seed,
        policies={family: policy for family, (_, policy) in policies.items()},
        origins=layers.origins,
        base=names["method"],
    )


NAMES = ("method", "dataset", "space")


def _names(
    request: Request, file: Mapping[str, Any], catalogue: Catalogue, default_space: Any
) -> dict[str, str]:
    """Method, data set and space: flags, then --recipe, then the defaults."""
    defaults = load_toml(specs_root() / "defaults.toml")["run"]
    names: dict[str, str] = {}
    for kind in NAMES:
        asked = getattr(request, kind) or file.get(kind)
        if asked is None:
            asked = defaults.get(kind)
        if asked is not None:
            names[kind] = str(asked)
    catalogue.get("dataset", names["dataset"])
    names.setdefault("space", default_space(names["dataset"]))
    return names


def _lay_flags(layers: Layers, request: Request) -> None:
    budget: Tree = {}
    if request.budget == "matched" and request.scale is not None:
        raise UsageError(
            "--scale has no effect with --budget matched", "give --epochs N: N full-net epochs"
        )
    if request.budget == "matched" and request.epochs is None:
        raise UsageError("--budget matched needs a size", "add --epochs N: N full-net epochs")
    if request.budget == "paper" and request.epochs is not None:
        raise UsageError("--budget paper has its own lengths", "drop --epochs, or use --scale X")
    if request.epochs is not None:
        if request.scale is not None:
            raise UsageError("--scale and --epochs contradict each other", "give one of them")
        rule = "matched" if request.budget == "matched" else "epochs"
        budget = {"rule": rule, "epochs": request.epochs}
    elif request.scale is not None or request.budget is not None:
        budget = {"rule": "paper", "scale": 1.0 if request.scale is None else request.scale}
    layers.lay({"budget": budget}, "--epochs" if request.epochs is not None else "--scale")
    if request.precision is not None:
        layers.lay({"precision": request.precision}, "--precision")


def _policies(
    request: Request, names: Mapping[str, str], layers: Layers, catalogue: Catalogue
) -> dict[str, tuple[str, Policy[Any]]]:
    """The policy of each family, and its name in records: the catalogue's, or its class's."""
    method = catalogue.get("method", names["method"]).about if "method" in names else {}
    policies: dict[str, tuple[str, Policy[Any]]] = {}
    for family in FAMILIES:
        asked = getattr(request, family)
        if asked is not None and not isinstance(asked, str):
            policies[family] = type(asked).__name__, asked  # an instance, from a notebook
            continue
        name = str(asked or method[family])
        cls = catalogue.get(family, name).load()
        values = _options(layers, family, name, cls, catalogue)
        options = validated(cls.Options, values, f"{family}.{name}", layers.origins)
        policies[family] = name, cls(options)
    return policies


def _options(
    layers: Layers, family: str, name: str, cls: type[Policy[Any]], catalogue: Catalogue
) -> Tree:
    """A policy's own table, then bare `family.option` values, which mean the chosen policy."""
    table = layers.tree.get(family, {})
    if not isinstance(table, dict):
        raise RecipeError(
            f"{family} is a table of policies", key=family, hint=f"choose with --{family} NAME"
        )
    known = set(catalogue.names(family))
    values = dict(table.get(name, {}))
    for option, value in table.items():
        if isinstance(value, dict) and (option in known or option not in cls.Options.model_fields):
            if option not in known:
                reason = f"there is no {family} policy {option!r}"
                hint = suggest(option, sorted(known))
                raise RecipeError(reason, key=f"{family}.{option}", hint=hint)
            continue
        values[option] = value
        layers.origins[f"{family}.{name}.{option}"] = layers.origin_of(f"{family}.{option}")
    return values


def _science(
    request: Request,
    names: Mapping[str, str],
    layers: Layers,
    policies: Mapping[str, tuple[str, Policy[Any]]],
) -> Science:
    tree = {k: v for k, v in layers.tree.items() if k not in FAMILIES}
    chosen = {
        family: Choice(name=name, options=policy.options.model_dump(mode="json"))
        for family, (name, policy) in policies.items()
    }
    composition = "+".join(choice.name for choice in chosen.values())
    plain = not any(getattr(request, family) is not None for family in FAMILIES)
    tree |= {
        **chosen,
        "dataset": names["dataset"],
        "space": names["space"],
        "method": names["method"] if plain and "method" in names else composition,
        "extras": request.extras,
    }
    return validated(Science, tree, "", layers.origins)


def execution_of(request: Request) -> Execution:
    import os

    values = {
        name: str(value) if isinstance(value, os.PathLike) else value
        for name in Execution.model_fields
        if is_set(value := getattr(request, name, None))
    }
    values["results"] = str(request.results or os.environ.get("OFA_BENCH_RESULTS") or "results")
    values |= checkpoint_interval(request.checkpoint_every)
    return validated(Execution, values, "", dict.fromkeys(values, "flags"))


def validated(
    model: type[M], values: Mapping[str, Any], prefix: str, origins: Mapping[str, str]
) -> M:
    """Build a model; the first validation error becomes a RecipeError with key, origin and hint."""
    for key, reason in invalid_values(model, values):
        key = f"{prefix}.{key}" if prefix else key
        raise RecipeError(reason, file=_origin(origins, key), key=key, hint="fix the value")
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        key = ".".join([*([prefix] if prefix else []), *path])
        raise RecipeError(
            _reason(first),
            file=_origin(origins, key),
            key=key,
            hint=_suggestion(model, first, path),
        ) from error


def _reason(first: Any) -> str:
    if first["type"] == "extra_forbidden":
        return "there is no such key"
    value = first.get("input")
    quoted = f" (given: {shown(value)})" if isinstance(value, int | float | str | bool) else ""
    return f"{first['msg'].removeprefix('Value error, ')}{quoted}"


def _origin(origins: Mapping[str, str], key: str) -> str:
    below = next((name for name in origins if name.startswith(f"{key}.")), "")
    while key and key not in origins:
        key = key.rpartition(".")[0]
    return origins.get(key or below, "")


def _suggestion(model: type[BaseModel], first: Any, path: list[str]) -> str:
    if first["type"] != "extra_forbidden":
        return "fix the value"
    for part in path[:-1]:
        inner = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return suggest(path[-1], sorted(model.model_fields), "the keys are")
