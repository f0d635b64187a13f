"""Latency tables: to the digit through a file, sums that are exact, and strangers' files."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from ofa_bench.errors import RecipeError, UsageError
from ofa_bench.search.latency_table import load_latency_table, to_toml
from ofa_bench.space import Space, load_space
from tests.latency_tables import GOOD, PER_MAC, proportional

CLASSES = 10


@pytest.fixture(scope="module")
def space() -> Space:
    return load_space("toy")


@pytest.fixture
def text(space: Space) -> str:
    return to_toml(proportional(space, CLASSES))


def test_a_table_survives_its_file(space: Space, text: str, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(text)
    assert load_latency_table(tmp_path / "t.toml") == proportional(space, CLASSES)


def test_costs_add_up(space: Space) -> None:
    cost, rng = proportional(space, CLASSES).cost(), random.Random(0)
    assert (cost.kind, cost.unit) == ("latency", "ms")
    for _ in range(20):
        net = space.sample(rng)
        assert cost.of(space, net) == pytest.approx(space.macs(net, CLASSES) * PER_MAC, abs=1e-8)


def test_calibration_enters_every_term(space: Space) -> None:
    table = proportional(space, CLASSES)
    calibration = table.calibration.model_copy(
        update={"overhead": 1e-4, "scale": 2.0, "offset": 0.5}
    )
    cost = table.model_copy(update={"calibration": calibration}).cost()
    terms = sum(1 for _ in space.active(space.largest)) + 2
    wanted = 0.5 + 2 * (space.macs(space.largest, CLASSES) * PER_MAC - terms * 1e-4)
    assert cost.of(space, space.largest) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "ms"', 'unit = "us"', "a latency table is in ms"),
        ("threads = 1", "threads = 0", "threads"),
        ("classes = 10", "classes = true", "classes"),
        ("scale = 1.0", "scale = nan", "scale"),
        ("scale = 1.0", "scale = -1.0", "scale"),
        ("offset = 0.0", "offset = inf", "offset"),
        ("overhead = 0.0", "overhead = 1e300", "overhead"),
        ("slot = 0", "slot = -1", "slot"),
        ("schema = 1", "schema = 2", "schema"),
        ("rounds = 20", 'rounds = 20\nrun = "rm"', "run"),
        ("n = 40", "n = 0", "n"),
        ("fingerprint = ", "finger = ", "finger"),
        ("blocks = [", "blocks = {}\nmore = [", "blocks"),
        ("kernel = 3, expand = 3", "kernel = 3, expand = 2", "twice"),
        ("tau = 0.97", "tau = 1.5", "tau"),
    ],
)
def test_strange_values_are_refused(
    text: str, tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in text
    (tmp_path / "t.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError, match=message) as caught:
        load_latency_table(tmp_path / "t.toml")
    assert caught.value.exit_code == 2 and "latency measure" in caught.value.hint


def test_strange_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text("#" * (4 * 2**20 + 1))
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("long", "pipe", "bytes", "absent"):
        with pytest.raises(RecipeError, match=f"{name}.toml"):
            load_latency_table(tmp_path / f"{name}.toml")


def test_a_table_fits_its_space_alone(space: Space) -> None:
    table = proportional(space, CLASSES)
    assert table.misfit(space, CLASSES) is None
    assert table.misfit(space.only(depth=(1,)), CLASSES) is None, "a part of the same table"
    assert "measured on the space toy" in str(table.misfit(load_space("laptop-8"), CLASSES))
    assert "for 10 classes, not 100" in str(table.misfit(space, 100))
    assert "resolution 16" in str(table.misfit(space, CLASSES, [16]))
    assert "shortcuts: identity, not everywhere" in str(
        table.misfit(space, CLASSES, shortcuts="everywhere")
    )
    with pytest.raises(UsageError, match="does not fit laptop-8"):
        table.check_fits(load_space("laptop-8"), CLASSES)
    (part,) = table.parts
    few = part.model_copy(update={"blocks": part.blocks[1:]})
    assert "blocks" in str(table.model_copy(update={"parts": (few,)}).misfit(space, CLASSES))


def test_poor_tables_say_so(space: Space) -> None:
    assert proportional(space, CLASSES).poor() is None
    for worse in ({"median_error": 0.11}, {"tau": 0.89}):
        check = GOOD.model_copy(update=worse)
        assert "poor" in str(proportional(space, CLASSES, check=check).poor())
