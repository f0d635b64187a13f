"""Fidelity cards say what the code does.

A card's table has the columns clause, option, default, test, status. An option is
`[method:][dataset/]path`: a policy's default under the method's presets, and under the data set's
recipe where one is named; `–` is a fact that no option changes.
"""

from __future__ import annotations

import ast
import importlib
import json
import math
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest

from ofa_bench import Catalogue, Duration
from ofa_bench.recipe.layers import Layers, recipe_files
from ofa_bench.recipe.models import Augment, Data, Evaluate, Net, Optim
from ofa_bench.spec_files import specs_root

from .compared import COMPARED

ROOT = Path(__file__).parents[2]
PLUGINS = (
    "alphanet",
    "attentivenas",
    "basics",
    "bignas",
    "compofa",
    "deps",
    "fairnas",
    "nasvit",
    "ofa",
    "random_subnet",
    "spos",
)
FAMILIES = ("shrink", "lr", "distill")
COLUMNS = ["clause", "option", "default", "test", "status"]


class Line(NamedTuple):
    clause: str
    option: str
    default: str
    test: str
    status: str


def catalogue_of(*plugins: str) -> Catalogue:
    catalogue = Catalogue()
    for plugin in plugins:
        importlib.import_module(f"ofa_bench_{plugin}").register(catalogue)
    return catalogue


def card(plugin: str) -> list[Line]:
    text = (ROOT / "plugins" / f"ofa_bench_{plugin}" / "README.md").read_text(encoding="utf-8")
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]
    tables = [i for i, row in enumerate(rows) if row == COLUMNS]
    assert len(tables) == 1, "a card has one table"
    lines = []
    for row in rows[tables[0] + 2 :]:
        if len(row) != len(COLUMNS):
            break
        lines.append(Line(row[0], *(cell.strip("`") for cell in row[1:])))
    return lines


def resolved(method: str, dataset: str) -> Layers:
    """Defaults, presets and recipe, as a run lays them."""
    everything = catalogue_of(*PLUGINS)
    layers = Layers()
    for family in FAMILIES:
        for name in everything.names(family):
            options = everything.get(family, name).load().Options()
            values = {field: getattr(options, field) for field in type(options).model_fields}
            layers.lay({family: {name: values}}, "policy")
    for table, model in {
        "net": Net(),
        "data": Data(),
        "augment": Augment(),
        "optim": Optim(),
        "evaluate": Evaluate(),
    }.items():
        layers.lay({table: dict(model)}, "model")
    if method:
        layers.lay(everything.get("method", method).about["presets"], "preset")
    if dataset:
        for path, values in recipe_files([specs_root()], dataset, "any", method):
            layers.lay(values, str(path))
    return layers


def value_of(option: str, method: str) -> object:
    named, colon, rest = option.rpartition(":")
    dataset, slash, path = rest.rpartition("/")
    value: object = resolved(named if colon else method, dataset if slash else "").tree
    for part in path.split("."):
        assert isinstance(value, dict) and part in value, f"nothing is called {option}"
        value = value[part]
    return value


def number(text: str) -> float:
    return float(Fraction(text)) if "/" not in text else float(_ratio(text))


def _ratio(text: str) -> Fraction:
    above, below = text.split("/")
    return Fraction(above) / Fraction(below)


def agrees(text: str, value: object) -> bool:
    if isinstance(value, bool):
        return text == str(value).lower()
    if isinstance(value, Duration):
        said = Duration.parse(text)
        return said.unit == value.unit and math.isclose(said.amount, value.amount)
    if isinstance(value, int | float):
        return math.isclose(number(text), value, rel_tol=1e-9)
    if isinstance(value, list | tuple):
        return json.loads(text) == list(value)
    return text == value


@pytest.mark.parametrize("plugin", PLUGINS)
def test_values(plugin):
    methods = catalogue_of(plugin).names("method")
    wrong = {
        line.option: (line.default, value_of(line.option, methods[0] if methods else ""))
        for line in card(plugin)
        if line.option != "–"
        and not agrees(line.default, value_of(line.option, methods[0] if methods else ""))
    }
    assert not wrong


@pytest.mark.parametrize("plugin", PLUGINS)
def test_tests_exist(plugin):
    for line in card(plugin):
        assert line.status in ("faithful", "deviates", "unknown"), line
        file, _, name = line.test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert name in functions, line


def test_faithful_clauses_name_a_test_of_what_is_done():
    """Each is in the table of what tests compare, and nothing is there that no clause names."""
    named = {line.test for plugin in PLUGINS for line in card(plugin) if line.status == "faithful"}
    assert named == {f"{file}::{name}" for file, names in COMPARED.items() for name in names}
    assert "tests/plugins/test_recipes.py" not in COMPARED, "which reads settings"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_no_constant_lacks_a_line(plugin):
    """Every option of the plugin's policies, every preset and recipe value of its methods."""
    catalogue = catalogue_of(plugin)
    methods = catalogue.names("method")
    wanted = {
        f"{family}.{name}.{field}"
        for family in FAMILIES
        for name in catalogue.names(family)
        for field in catalogue.get(family, name).load().Options.model_fields
    }
    for method in methods:
        prefix = "" if method == methods[0] else f"{method}:"
        presets = catalogue.get("method", method).about["presets"]
        wanted |= {f"{prefix}{path}" for path in leaves(presets)}
        for path in (specs_root() / "recipes").glob(f"*/{method}.toml"):
            own = list(recipe_files([specs_root()], path.parent.name, "any", method))[-1][1]
            wanted |= {f"{prefix}{path.parent.name}/{leaf}" for leaf in leaves(own)}
    assert wanted <= {line.option for line in card(plugin)}


def leaves(tree: dict) -> set[str]:
    layers = Layers()
    layers.lay(tree, "")
    return set(layers.origins)


def test_a_changed_constant_is_noticed():
    """Ten per cent off does not agree, whatever the kind of value."""
    assert agrees("145/270", Duration.parse("145/270"))
    assert not agrees("145/270", Duration.parse(1.1 * 145 / 270))
    assert not agrees("125 epochs", Duration(137.5, "epochs"))
    assert agrees("2.5e-3/2.6", 2.5e-3 / 2.6)
    assert not agrees("2.5e-3/2.6", 2.75e-3 / 2.6)
    assert not agrees("2", 3)
    assert not agrees("true", False)
    assert not agrees("[3, 5, 3, 3, 5]", (3, 5, 3, 3, 7))
    assert not agrees("grouped", "global")


DEVIATIONS = {
    "deps": (
        "`--with merge-avg`: ",
        "`--with merge-avg-sqrt`: ",
        "its ProxylessNAS code keeps dropout on all four nets",
    ),
    "bignas": ("port: DepS's README has `--lr_gamma 0.973`",),
    "compofa": (
        "phase 2 starts from the best checkpoint",
        "the default `mobilenetv3` has kernels of 7 only",
        "128 to 224 pixels by 4",
        "norms see 256 images",
        "convolutions initialised by fan-out",
        "no AutoAugment",
    ),
}
"""Clauses, by how they begin, in which the official code was executed and found to differ, or not
to say which value was used."""


@pytest.mark.parametrize("plugin", sorted(DEVIATIONS))
def test_what_the_official_code_does_otherwise_is_said(plugin: str) -> None:
    lines = card(plugin)
    for beginning in DEVIATIONS[plugin]:
        statuses = [line.status for line in lines if line.clause.startswith(beginning)]
        assert len(statuses) == 1, beginning
        assert statuses[0] in ("deviates", "unknown"), beginning
