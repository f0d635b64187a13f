"""Clauses checked without a run: classes, hooks, options, imports."""

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
from ofa_bench.testing.source_lines import line_of, line_with
from ofa_bench.testing.verdict import Breach, clause, clauses

LENGTHS = ("epoch", "epochs", "steps", "iterations", "iters", "warmup", "ramp", "duration")
CHOSEN = (*FAMILIES, "extra")
on_classes = clauses(*CHOSEN)
on_policies = clauses(*FAMILIES)


@on_classes("target is a class of its kind", "the target of the entry is a class of its family")
def target_is_of_its_kind(case: Case) -> None:
    cls, kind = case.cls, case.entry.kind
    family = getattr(cls, "family", None)
    if kind in FAMILIES and family != kind:
        actual = f"is a {family} policy" if family else f"is no {families()[kind].__name__}"
        raise Breach(f"{getattr(cls, '__name__', cls)} {actual}", where=line_of(cls))


@on_classes(
    "hooks exist and belong to the family", "every hook it defines is one of its own family's"
)
def hooks_belong_to_family(case: Case) -> None:
    """No misspelt hook, none of another family, none without @hookimpl."""
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


@on_policies("every option has a default", "the policy can be made without any option")
def options_have_defaults(case: Case) -> None:
    """A policy can be selected by its name alone."""
    try:
        case.cls()
    except Exception as error:
        lines = str(error).splitlines()
        raise Breach(" ".join(lines[:3]), where=line_of(case.cls.Options)) from error


@on_policies("options round-trip through JSON", "options written as JSON read back the same")
def options_round_trip(case: Case) -> None:
    """Records and checkpoints hold options as JSON."""
    options = case.cls().options
    where = line_of(type(options))
    try:
        text = json.dumps(options.model_dump(mode="json"))
        again = type(options)(**json.loads(text))
    except Exception as error:
        reason = " ".join(str(error).splitlines()[:2])
        raise Breach(f"they are not JSON: {type(error).__name__}: {reason}", where=where) from error
    if again != options:
        raise Breach(f"{options!r} was read back as {again!r}", where=where)


@on_policies("unknown options are refused", "an unknown option is refused (derive Options)")
def options_are_strict(case: Case) -> None:
    """Misspelt options must not be ignored, and options must be immutable."""
    config = case.cls.Options.model_config
    if config.get("extra") != "forbid" or not config.get("frozen"):
        raise Breach(
            "unknown options are accepted, or options are mutable", where=line_of(case.cls.Options)
        )


@on_policies(
    "lengths are Durations", "a length is a Duration, which --scale can scale: `start: Duration`"
)
def lengths_are_durations(case: Case) -> None:
    """A plain number of epochs or steps does not scale with the budget."""
    for name, field in case.cls.Options.model_fields.items():
        if _is_count(field) and set(name.split("_")) & set(LENGTHS) and name != "warmup_from":
            raise Breach(
                f"option {name!r} is a plain number: {field.default!r}",
                where=line_of(case.cls.Options),
            )


def _is_count(field: FieldInfo) -> bool:
    kind: Any = field.annotation
    return kind in (int, float) and not isinstance(field.default, Duration)


@clause(
    "importing it loads no heavy library",
    *CHOSEN,
    "supernet",
    expected="importing it imports neither torch nor numpy (import them under TYPE_CHECKING)",
)
def import_is_light(case: Case) -> None:
    """Keeps `list` and `plan` fast with the plugin installed."""
    only(bool(case.module), "it has no module to import")
    loaded = case.crew.imported(case.module)
    if loaded.startswith("failed"):
        raise Breach(f"{case.module} cannot be imported: {loaded}")
    if loaded:
        module = sys.modules.get(case.module) or inspect.getmodule(case.cls)
        pattern = rf"\s*(import|from) ({loaded.replace(',', '|')})\b"
        where = line_with(pattern, inspect.getsourcefile(module) or "") if module else ""
        raise Breach(f"importing {case.module} imports {loaded}", where=where)
