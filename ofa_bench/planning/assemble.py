"""Resolve a request into a checked run: recipe, bus, phases, schedule, predicted cost.

Nothing here reads images or imports torch, so planning takes no noticeable time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa_bench.data.discovery.datasets import DatasetSpec, load_spec
from ofa_bench.data.discovery.layout import BIG_FILES, locate
from ofa_bench.data.discovery.tree import list_tree
from ofa_bench.errors import MisfitError, PolicyError, UsageError
from ofa_bench.hooks.bus import Bus
from ofa_bench.hooks.catalogue import Catalogue, Entry, Origin
from ofa_bench.hooks.hookspecs import File, Teacher
from ofa_bench.hooks.policy import Policy
from ofa_bench.planning.compatibility import check_fit
from ofa_bench.planning.cost_model import (
    TRAINED_PASS,
    ExpectedCost,
    macs_per_image,
    mean_macs,
    predict,
)
from ofa_bench.recipe import Recipe, Request, Science, fit_batch_size, load_recipe, recorded_recipe
from ofa_bench.schedule import Budget, Phase, Schedule
from ofa_bench.space import Space, Table, Tally, load_space

Facts = tuple[int, dict[str, int]]  # classes, and images per split


@dataclass(frozen=True)
class Assembly:
    """A run ready to start. `trained` is the space of its last phase, which is evaluated."""

    recipe: Recipe
    spec: DatasetSpec
    sizes: Mapping[str, int]
    classes: int
    space: Space
    bus: Bus
    schedule: Schedule
    teachers: Mapping[str, Teacher | None]
    origins: Mapping[str, Origin]
    cost: tuple[ExpectedCost, ...]
    network: Entry

    @property
    def science(self) -> Science:
        """What enters the run's identity."""
        return self.recipe.science

    @property
    def trained(self) -> Space:
        """The subnets this run trains to be used."""
        return self.schedule.phases[-1].space

    @property
    def published_share(self) -> float:
        """Run length over the published length on this data set."""
        budget = self.schedule.budget
        return budget.epochs / budget.reference / self.science.budget.published


def assemble(request: Request, catalogue: Catalogue, facts: Facts | None = None) -> Assembly:
    """Resolve and check a run and compute its schedule. Raises UsageError or a subclass.

    `facts`: number of classes and split sizes as read from the files, if they were read.
    """
    if request.recorded is not None:
        recipe = recorded_recipe(request, catalogue)
    else:
        recipe = load_recipe(request, catalogue, lambda name: spec_of(name, catalogue).space)
    spec = spec_of(recipe.science.dataset, catalogue)
    classes, sizes = facts or count(spec, recipe)
    recipe = fit_batch_size(recipe, request, sizes["train"], spec.least_steps)
    science = recipe.science
    space = space_of(science.space, catalogue)
    origins = _origins(science, catalogue)
    entries = {name: catalogue.get("extra", name) for name in science.extras}
    extras = {name: entry.load()() for name, entry in entries.items()}
    watchers = {name for name, entry in entries.items() if not entry.about["affects_training"]}
    bus = Bus(recipe.policies, extras, origins, frozenset(watchers))
    reference = _reference(recipe, space, catalogue)
    phases, budget, teachers = _lay_out(recipe, bus, space, classes, reference)
    optim = science.optim
    schedule = Schedule(
        phases=phases,
        budget=budget,
        images=sizes["train"],
        batch=optim.batch,
        norm_batch=optim.norm_batch,
        base_lr=optim.base_lr,
        seed=recipe.seed,
        warmup=optim.warmup,
    )
    check_fit(science, recipe.policies, phases, teachers)
    cost = tuple(predict(schedule, teachers, classes, measure_of(recipe.policies["shrink"])))
    network = catalogue.get("supernet", space.table.family)
    return Assembly(
        recipe, spec, sizes, classes, space, bus, schedule, teachers, origins, cost, network
    )


def spec_of(name: str, catalogue: Catalogue) -> DatasetSpec:
    """A data set's spec, by its name in the catalogue."""
    path: Path = catalogue.get("dataset", name).target
    return load_spec(path.stem, path.parent)


def space_of(name: str, catalogue: Catalogue) -> Space:
    """A space by name, or by the path of a TOML table."""
    families = {
        family: _costs(catalogue.get("supernet", family)) for family in catalogue.names("supernet")
    }
    if name.endswith(".toml"):
        return load_space(name, None, families)
    target: Path | Space = catalogue.get("space", name).target
    if isinstance(target, Space):
        return target
    return load_space(target.stem, target.parent, families)


def _costs(network: Entry) -> Callable[[Table, int | None], Tally] | None:
    """A network family's cost function, imported on first use; None for the shipped family."""
    if network.about["costs"] is None:
        return None
    counts = replace(network, target=network.about["costs"])
    return lambda table, resolution: counts.load()(table, resolution)


def selected(recipe: Recipe) -> int | float | None:
    """The recipe's select split, as a count or fraction; None for the data set's default."""
    return recipe.science.data.select if "data.select" in recipe.origins else None


def count(spec: DatasetSpec, recipe: Recipe) -> Facts:
    """Number of classes and images per split: from the spec if it states them, else by listing the
    image folders."""
    if spec.classes is not None and spec.train_total is not None:
        return spec.classes, spec.sizes(selected(recipe))
    folder = recipe.execution.data_dir
    location = locate(spec, Path(folder) if folder else None)
    if location.kind in BIG_FILES:
        from ofa_bench.data.discovery.packed.listing import list_packed

        packed = list_packed(location, spec)
        sizes = spec.cut(len(packed.train), len(packed.test), selected(recipe))
        return len(packed.classes), sizes
    if location.kind == "pixels":
        from ofa_bench.data.discovery.pixel_index import read_index

        tree = read_index(location.root, spec).tree
    else:
        tree = list_tree(location.root, spec)
    train, test = len(tree.train.files), len(tree.test.files)
    return len(tree.classes), spec.cut(train, test, selected(recipe))


def _origins(science: Science, catalogue: Catalogue) -> dict[str, Origin]:
    origins = {}
    for family in ("shrink", "lr", "distill"):
        name = getattr(science, family).name
        known = name in catalogue.names(family)
        origins[family] = catalogue.get(family, name).origin if known else Origin("notebook")
    return origins | {name: catalogue.get("extra", name).origin for name in science.extras}


def measure_of(shrink: Policy[Any]) -> str:
    """The sampling measure of a shrink policy: its `measure` option, else "dims"."""
    return str(getattr(shrink.options, "measure", "dims"))


def _reference(recipe: Recipe, space: Space, catalogue: Catalogue) -> float:
    """Published epochs: from the shrink policy, else from the recipe, else from the shrink policy
    of the base method; the requested epochs if nothing is published."""
    table = recipe.science.budget
    epochs = recipe.policies["shrink"].reference_epochs(space) or table.reference
    if epochs is None:
        lent = catalogue.get("method", recipe.base).about["shrink"]
        epochs = catalogue.get("shrink", lent).load()().reference_epochs(space) or table.epochs
    if epochs is None:
        raise UsageError(
            f"nothing says how many epochs {recipe.science.method} takes",
            "give --epochs N, or budget.reference in a recipe",
        )
    return float(epochs)


def _lay_out(
    recipe: Recipe, bus: Bus, space: Space, classes: int, reference: float
) -> tuple[tuple[Phase, ...], Budget, dict[str, Teacher | None]]:
    """Phases, budget and teachers; the run length follows the budget's rule."""
    table = recipe.science.budget
    epochs = reference * table.factor * table.scale
    if table.epochs is not None:
        epochs = table.epochs
    if table.rule == "matched":
        # Phases scale with the budget, so their cost is linear in it: one trial gives the length.
        trial = Budget(reference, reference)
        phases = bus.phases(space, trial)
        teachers = _teachers(recipe, bus, phases)
        spent = _macs(recipe, phases, teachers, classes)
        full = TRAINED_PASS * mean_macs(space, space.largest, classes) * epochs
        epochs = reference * full / spent
    budget = Budget(epochs, reference)
    phases = bus.phases(space, budget)
    return phases, budget, _teachers(recipe, bus, phases)


def _teachers(recipe: Recipe, bus: Bus, phases: tuple[Phase, ...]) -> dict[str, Teacher | None]:
    file, distill = recipe.execution.teacher, recipe.policies["distill"]
    if file is not None and not distill.needs_teacher:
        raise MisfitError(
            f"distill {recipe.science.distill.name!r} learns from no teacher of another run",
            "leave --teacher out, or choose --distill frozen",
        )
    if file is not None:
        return {p.name: File(Path(file), p.space.largest, "eval") for p in phases}
    return {p.name: bus.teacher(p, phases[:i]) for i, p in enumerate(phases)}


def _macs(
    recipe: Recipe,
    phases: tuple[Phase, ...],
    teachers: Mapping[str, Teacher | None],
    classes: int,
) -> float:
    measure, optim = measure_of(recipe.policies["shrink"]), recipe.science.optim
    probed = optim.norm_batch / optim.batch
    total = sum(
        phase.epochs
        * sum(macs_per_image(phase, teachers[phase.name], classes, measure, probed).values())
        for phase in phases
    )
    if total <= 0:
        raise PolicyError("the phases declare no passes, so no budget can be matched")
    return total
