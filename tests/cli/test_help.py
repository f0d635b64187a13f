"""Help is instant because of what it does not import."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from ofa_bench.cli.main import LAZY_COMMANDS, cli
from tests.cli.conftest import Bench

HEAVY = ("torch", "torchvision", "numpy", "sklearn", "scipy", "rich", "safetensors")


def paths() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    for name in LAZY_COMMANDS:
        found.append((name,))
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.commands]
    return found


def imported_by(script: str) -> set[str]:
    code = f"import sys\n{script}\nprint('IMPORTED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("IMPORTED")[2].split())


def test_no_help_imports_what_is_heavy() -> None:
    calls = "\n".join(f"assert main([*{path!r}, '--help']) == 0" for path in paths())
    modules = imported_by(f"from ofa_bench.cli.main import main\n{calls}")
    assert modules.isdisjoint(HEAVY)
    rooms = ("training", "evaluation", "nets", "weight_files", "deploy")
    heavy = tuple(f"ofa_bench.{room}" for room in rooms)
    assert not any(name.startswith(heavy) for name in modules)


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--json"),
        ("plan", "--dataset", "imagenet", "--steps", "0,9"),
        ("list", "--json"),
        ("space", "macs", "mobilenetv3", "--subnet", "largest"),
        ("board", "--results", "nowhere"),
        ("runs", "--results", "nowhere"),
        ("show", "--card", "ofa"),
    ],
)
def test_listing_and_planning_never_import_torch(words: tuple[str, ...]) -> None:
    modules = imported_by(f"from ofa_bench.cli.main import main\nassert main({list(words)!r}) == 0")
    assert modules.isdisjoint({"torch", "torchvision", "sklearn"})


def test_every_command_explains_itself(bench: Bench) -> None:
    for path in paths():
        done = bench(*path, "--help")
        assert done.code == 0 and done.err == ""
        assert done.out.startswith(f"Usage: {' '.join(('ofa-bench', *path))} ")


def test_without_a_command_there_is_the_list(bench: Bench) -> None:
    done = bench()
    assert done.code == 0
    assert all(f"  {name} " in done.out for name in LAZY_COMMANDS)


def test_commands_are_listed_in_the_order_of_use(bench: Bench) -> None:
    out = bench("--help").out
    places = [out.index(f"\n  {name} ") for name in LAZY_COMMANDS]
    assert places == sorted(places)
