"""The Python API takes and refuses what the command line does, and compares as it does."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa_bench import UsageError, api
from ofa_bench.hooks.catalogue import discover
from ofa_bench.recipe import Request
from ofa_bench.recipe.arguments import CHECKS
from ofa_bench.records.store import Store

TINY: dict[str, Any] = {"dataset": "digits", "space": "toy", "epochs": 0.2}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}
BROKEN = """
from ofa_bench import Draw, Options, Phase, Role, ShrinkPolicy, hookimpl

class Halting(ShrinkPolicy[Options]):
    def shrink_phases(self, space, budget):
        return [Phase("one", space, budget.epochs, {Role.LARGEST: 1})]

    def shrink_draws(self, step):
        if step.index == 2:
            raise ZeroDivisionError("by design")
        return [Draw(step.phase.space.largest, Role.LARGEST)]

@hookimpl
def register(catalogue):
    catalogue.shrink("halting", Halting)
    catalogue.method("halting", shrink="halting", lr="cosine", distill="labels")
"""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_every_option_is_checked() -> None:
    assert set(CHECKS) == {field.name for field in fields(Request)}


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), "3", 3])
def test_a_whole_number_is_a_seed(seed: Any) -> None:
    asked = api.request(**TINY, seed=seed)
    assert type(asked.seed) is int
    assert asked.seed == 3


@pytest.mark.parametrize(
    "seed",
    [True, np.bool_(True), -1, 2**31, 2**70, "2147483648", "x", "3.0", 3.0, np.float64(3), [3], {}],
    ids=repr,
)
def test_what_is_no_seed_is_refused(seed: Any) -> None:
    for call in (api.plan, api.run):
        with pytest.raises(UsageError, match="seed"):
            call(**TINY, seed=seed)
    space = api.load_space("toy")
    with pytest.raises(UsageError, match="seed"):
        api.build_supernet(space, 10, seed=seed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", True),
        ("epochs", np.nan),
        ("epochs", np.inf),
        ("epochs", "1e400"),
        ("epochs", "1/0"),
        ("epochs", 10**400),
        ("epochs", -1),
        ("epochs", torch.ones(2)),
        ("scale", 0),
        ("workers", -1),
        ("workers", True),
        ("workers", 2**70),
        ("device", "meta"),
        ("device", 0),
        ("precision", "fp8"),
        ("budget", "huge"),
        ("deterministic", 1),
        ("fresh", "yes"),
        ("method", 3),
        ("method", " "),
        ("shrink", 3),
        ("space", True),
        ("recipe", 3),
        ("data_dir", ""),
        ("results", b"x"),
        ("set", 3),
        ("set", (1,)),
        ("set", {"optim.lr": object()}),
        ("extras", (None,)),
        ("plugins", 3),
        ("recorded", 3),
    ],
)
def test_what_the_command_refuses_is_refused(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        api.request(**{**TINY, name: value})


def looped() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


@pytest.mark.parametrize(
    "value",
    [10**5000, -(10**5000), {(1, 2): 3}, looped()],
    ids=["long", "negative", "keys", "loop"],
)
def test_a_value_that_cannot_be_written_down_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"optim\.lr"):
        api.plan(space="toy", epochs=1, set={"optim.lr": value})


def test_settings_may_be_tables_in_tables() -> None:
    nested = api.plan(**{**TINY, "set": {"optim": {"lr": 0.25, "batch": 64}}}).science
    assert (nested.optim.lr, nested.optim.batch) == (0.25, 64)
    with pytest.raises(UsageError, match=r"optim\.rate"):
        api.plan(**{**TINY, "set": {"optim": {"rate": 0.25}}})


def test_numbers_of_numpy_are_numbers() -> None:
    one = api.plan(**{**TINY, "epochs": np.float32(0.5)}, scale=None, workers=np.int8(0))
    other = api.plan(**{**TINY, "epochs": Fraction(1, 2)}, workers=0)
    ratio = api.plan(**{**TINY, "epochs": "1/2"}, workers="0")
    assert one.science == other.science == ratio.science
    values = {"optim.lr": np.float64(0.25), "optim.batch": np.int64(64), "optim.nesterov": True}
    science = api.plan(**{**TINY, "set": values}).science
    assert (science.optim.lr, science.optim.batch) == (0.25, 64)


def test_a_network_is_the_same_by_any_whole_number() -> None:
    space = api.load_space("toy")
    nets = [api.build_supernet(space, classes, seed=seed) for classes, seed in
            ((10, 3), (np.int64(10), np.int32(3)))]  # fmt: skip
    for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_comparing_from_python_is_what_the_command_does(tmp_path: Path) -> None:
    """A failing run stops no other; boards are written, and no shared state stays."""
    plugin = tmp_path / "halting.py"
    plugin.write_text(BROKEN)
    results = tmp_path / "results"
    asked = {**TINY, "results": results, "plugins": (str(plugin),)}
    records = api.compare(["halting", "bignas", "deps"], [np.int64(0)], **asked)
    assert [record.status for record in records] == ["failed", "ok", "ok"]
    assert len(Store(results).list()) == 3
    assert list((results / "boards").glob("*.md"))
    assert not (results / "runs" / "shared").exists()
    with pytest.raises(UsageError):
        api.compare(["nobody"], [0], **asked)


def test_every_method_is_run_with_every_seed_whatever_lists_them() -> None:
    lists: list[tuple[Any, Any]] = [
        (["ofa", "deps"], [0, 1]),
        ((name for name in ("ofa", "deps")), (seed for seed in (0, 1))),
        (np.array(["ofa", "deps"]), np.arange(2)),
        (["ofa", "deps", "ofa"], [0, "1", np.int64(1)]),
    ]
    for methods, seeds in lists:
        asked = api.compare_requests(methods, seeds, **TINY)
        pairs = [(one.seed, one.method) for one in asked]
        assert pairs == [(0, "ofa"), (0, "deps"), (1, "ofa"), (1, "deps")]


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("methods", {"methods": "ofa", "seeds": [0]}),
        ("seeds", {"methods": ["ofa"], "seeds": 3}),
        ("seeds", {"methods": ["ofa"], "seeds": np.array(3)}),
        ("seeds", {"methods": ["ofa"], "seeds": "12"}),
        ("seed", {"methods": ["ofa"], "seeds": [0], "seed": 3}),
    ],
)
def test_a_comparison_of_no_list_is_refused(word: str, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=word):
        api.compare_requests(**values, **TINY)


def test_a_space_is_named_by_its_path_as_text_or_as_path() -> None:
    table = Path(__file__).parents[2] / "specs/spaces/toy.toml"
    assert api.load_space(table).name == api.load_space(str(table)).name == "toy"
    assert api.request(space=table).space == str(table)
    for name in (None, 3, ""):
        with pytest.raises(UsageError, match="space"):
            api.load_space(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, 3, b"deps"])
def test_what_is_no_name_of_a_run_is_refused(name: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run"):
        api.resume(name, tmp_path)


@pytest.mark.parametrize(
    "assignment",
    ["augment.flip=1", "augment.autoaugment=0", 'augment.flip="yes"', "net.zero_gamma=1.0"],
)
def test_a_number_or_a_word_is_no_boolean(assignment: str) -> None:
    with pytest.raises(UsageError, match="neither true nor false"):
        api.plan(**{**TINY, "set": (assignment,)})


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "one.py" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(BROKEN)
    with pytest.raises(UsageError, match="one name"):
        api.plan(**TINY, plugins=tuple(map(str, paths)))
    (tmp_path / "random.py").write_text(BROKEN)
    with pytest.raises(UsageError, match="module of Python"):
        api.plan(**TINY, plugins=(str(tmp_path / "random.py"),))
    assert discover().catalogue.names("method")
