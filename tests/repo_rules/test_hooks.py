"""docs/hooks.md: every hook with its arguments, order, purity, and an example that works."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.hooks.catalogue import Catalogue, Discovery, Origin
from ofa_bench.hooks.hookspecs import CatalogueSpec, TrainingSpec, hook_names
from ofa_bench.testing import check_plugin
from ofa_bench.testing.target import KINDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `(\w+)\((?:[^)]*)\)`\n(.*?)(?=^##|\Z)", PAGE, re.S | re.M))
CATALOGUE, TRAINING = hook_names(CatalogueSpec), hook_names(TrainingSpec)
WATCHES = ("run_start", "phase_start", "after_step", "after_eval", "run_end")


def example(hook: str) -> dict[str, Any]:
    """The names that a hook's example defines."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTIONS[hook], re.S)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, f"docs/hooks.md ({hook})", "exec"), names)
    return names


def test_every_hook_has_a_section_with_its_arguments() -> None:
    assert SECTIONS.keys() == CATALOGUE | TRAINING
    for spec in (CatalogueSpec, TrainingSpec):
        for hook in hook_names(spec):
            arguments = [*inspect.signature(getattr(spec, hook)).parameters][1:]
            assert f"### `{hook}({', '.join(arguments)})`" in PAGE


@pytest.mark.parametrize("hook", sorted((CATALOGUE | TRAINING) - set(WATCHES)))
def test_order_and_purity_are_told(hook: str) -> None:
    assert "*Order:*" in SECTIONS[hook]
    assert "*Purity:*" in SECTIONS[hook]


def test_observers_share_one_order() -> None:
    shared = PAGE.partition("## Observers")[2].partition("###")[0]
    assert "*Order*" in shared
    assert "*Purity:*" in shared


def test_the_table_names_them_all() -> None:
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.M)
    named = {hook for row in rows for hook in re.findall(r"`(\w+)`", row)}
    assert named == CATALOGUE | TRAINING


@pytest.mark.parametrize("hook", sorted(TRAINING))
def test_the_example_keeps_the_contract(hook: str) -> None:
    defined = [v for v in example(hook).values() if getattr(v, "__module__", "") == "example"]
    (cls,) = [value for value in defined if inspect.isclass(value)]
    defines = hook in vars(cls) or (hook == "lr_at" and "shape" in vars(cls))
    assert defines
    report = check_plugin(cls, trains=False)
    assert report.ok, str(report)


def test_the_registering_example_registers_every_kind() -> None:
    class Plugin:
        register = staticmethod(example("register")["register"])

    discovery = Discovery(Catalogue())
    discovery.admit(Plugin, Origin("halves"))
    assert {entry.kind for entry in discovery.catalogue} == set(KINDS)
