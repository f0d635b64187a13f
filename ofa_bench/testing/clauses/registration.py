"""Clauses on a plugin that is not running: classes, hooks, options."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

from pydantic.fields import FieldInfo

from ofa_bench.hooks.hookspecs import PROJECT
from ofa_bench.hooks.marks import HOOKS, misspelt
from ofa_bench.hooks.policy import families
from ofa_bench.schedule import Duration
from ofa_bench.testing.case import FAMILIES, Case, only
from ofa_bench.testing.source_lines import imports_one_of, line_of, suspect
from ofa_bench.testing.verdict import Breach, clause

LENGTHS = ("epoch", "epochs", "steps", "iterations", "iters", "warmup", "ramp", "duration")
CHOSEN = (*FAMILIES, "extra")


@clause("its class is found", *CHOSEN, expected="the target of the entry is a class of its family")
def class_is_found(case: Case) -> None:
    """Entries are loaded, and are what they are registered as."""
    cls, kind = case.cls, case.entry.kind
    family = getattr(cls, "family", None)
    if kind in FAMILIES and family != kind:
        told = f"is a {family} policy" if family else f"is no {families()[kind].__name__}"
        raise Breach(f"{getattr(cls, '__name__', cls)} {told}", where=line_of(cls))


@clause("hooks are known", *CHOSEN, expected="every hook it defines is one of its own family's")
def hooks_are_known(case: Case) -> None:
    """No misspelt hook, none of another family, none without its mark."""
    for name, guess in misspelt(case.cls).items():
        raise Breach(f"{name} is no hook; did you mean {guess}?", where=line_of(case.cls, name))
    owners = {hook: family for family, base in families().items() for hook in base.hooks}
    for hook in sorted(HOOKS):
        method = getattr(case.cls, hook, None)
        owner = owners.get(hook)
        if method is None:
            continue
        if not hasattr(method, f"{PROJECT}_impl"):
            raise Breach(f"{hook} is not marked @hookimpl", where=case.where(hook))
        mark = getattr(method, f"{PROJECT}_impl")
        if owner not in (None, case.entry.kind) and not mark.get("wrapper"):
            raise Breach(f"{hook} belongs to {owner} policies", where=case.where(hook))


@clause("options have defaults", *FAMILIES, expected="the policy can be made without any option")
def options_have_defaults(case: Case) -> None:
    """A policy is made by its name alone."""
    try:
        case.cls()
    except Exception as error:
        told = str(error).splitlines()
        raise Breach(" ".join(told[:3]), where=line_of(case.cls.Options)) from error


@clause("options are stored", *FAMILIES, expected="options written as JSON read back the same")
def options_are_stored(case: Case) -> None:
    """Records and resumes hold options as JSON."""
    options = case.cls().options
    where = line_of(type(options))
    try:
        text = json.dumps(options.model_dump(mode="json"))
        again = type(options)(**json.loads(text))
    except Exception as error:
        told = " ".join(str(error).splitlines()[:2])
        raise Breach(f"they are not: {type(error).__name__}: {told}", where=where) from error
    if again != options:
        raise Breach(f"{options!r} came back as {again!r}", where=where)


@clause("options are strict", *FAMILIES, expected="an unknown option is refused (derive Options)")
def options_are_strict(case: Case) -> None:
    """A misspelt option must not be ignored, nor a record's option change later."""
    config = case.cls.Options.model_config
    if config.get("extra") != "forbid" or not config.get("frozen"):
        raise Breach(
            "unknown options are taken, or options can be changed", where=line_of(case.cls.Options)
        )


@clause(
    "options hold no epochs",
    *FAMILIES,
    expected="a length is a Duration, which survives --scale: `start: Duration`",
)
def options_hold_no_epochs(case: Case) -> None:
    """A bare count of epochs or steps changes its meaning with the budget."""
    for name, field in case.cls.Options.model_fields.items():
        if _is_count(field) and set(name.split("_")) & set(LENGTHS) and name != "warmup_from":
            raise Breach(
                f"option {name!r} is a bare number: {field.default!r}",
                where=line_of(case.cls.Options),
            )


def _is_count(field: FieldInfo) -> bool:
    kind: Any = field.annotation
    return kind in (int, float) and not isinstance(field.default, Duration)


@clause(
    "listing is light",
    *CHOSEN,
    "supernet",
    expected="importing it imports neither torch nor numpy (import them under TYPE_CHECKING)",
)
def listing_is_light(case: Case) -> None:
    """`list` and `plan` stay instant with the plugin installed."""
    only(bool(case.place), "it has no module to import")
    told = case.crew.imported(case.place)
    if told.startswith("failed"):
        raise Breach(f"{case.place} does not import: {told}")
    if told:
        module = sys.modules.get(case.place) or inspect.getmodule(case.cls)
        where = suspect(module, imports_one_of(told.split(",")))
        raise Breach(f"importing {case.place} imports {told}", where=where)
