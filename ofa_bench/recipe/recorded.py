"""The recipe of a record: its science in place of names and layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ofa_bench.hooks.catalogue import Catalogue
from ofa_bench.hooks.policy import Policy
from ofa_bench.recipe.load import FAMILIES, Recipe, Request, execution_of, validated
from ofa_bench.recipe.models import Choice, Science


def recorded_recipe(request: Request, catalogue: Catalogue) -> Recipe:
    """The recipe of `request.recorded`: its science and the origin of each value.

    Policies are those installed under the recorded names; options added since take their default
    and appear in the science. Raises RecipeError on an invalid value, UnknownName on a policy that
    is not installed.
    """
    recorded = dict(request.recorded or {})
    science = validated(Science, with_omitted(recorded.get("science", {})), "", {})
    policies: dict[str, Policy[Any]] = {}
    chosen: dict[str, Any] = {}
    for family in FAMILIES:
        choice: Choice = getattr(science, family)
        cls = catalogue.get(family, choice.name).load()
        table = f"{family}.{choice.name}"
        policies[family] = cls(validated(cls.Options, choice.options, table, {}))
        options = policies[family].options.model_dump(mode="json")
        chosen[family] = Choice(name=choice.name, options=options)
    return Recipe(
        science=science.model_copy(update=chosen),
        execution=execution_of(request),
        seed=request.seed,
        policies=policies,
        origins=dict(recorded.get("origins", {})),
        base=request.method or science.method,
    )


def with_omitted(science: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record's science with values for options that did not exist when it was written.

    AutoAugment without an interpolation was by nearest neighbour.
    """
    augment = science.get("augment")
    if not isinstance(augment, Mapping) or not augment.get("autoaugment"):
        return science
    return {**science, "augment": {"interpolation": "nearest", **augment}}
