"""A plugin touches only the runs that use it, and no record has it imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import preloaded

SMALL = ["--space", "toy", "--epochs", "0.3", "--set", "evaluate.per_bucket=1"]
SMALL += ["--set", "evaluate.curve=0"]
PAIR = """
import os
from ofa_bench import Draw, Options, Phase, Role, ShrinkPolicy, hookimpl

with open(os.environ["IMPORTED"], "a") as file:
    file.write(__name__)


class Pair(ShrinkPolicy[Options]):
    def shrink_phases(self, space, budget):
        return [Phase("pair", space, budget.epochs, {Role.SAMPLED: 2})]

    def shrink_draws(self, step):
        return [Draw(step.phase.space.sample(step.draw_rng(n)), Role.SAMPLED) for n in range(2)]


@hookimpl
def register(catalogue):
    catalogue.shrink("pair", Pair)
    catalogue.method("paired", shrink="pair", lr="cosine", distill="labels")
"""
BROKEN = "raise RuntimeError('half-way')\n"
TORN = PAIR.replace('catalogue.method("paired",', 'catalogue.method("paired", oops=1,')


class Site:
    """A folder of distributions, each one module, and ofa-bench called beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.imported = folder / "imported"
        self.results = folder / "results"

    def holds(self, name: str, source: str) -> None:
        """Install a distribution."""
        module = f"ofa_bench_{name}"
        (self.folder / f"{module}.py").write_text(source)
        about = self.folder / f"{module}-1.0.dist-info"
        about.mkdir()
        told = f"Metadata-Version: 2.1\nName: ofa-bench-{name}\nVersion: 1.0\n"
        (about / "METADATA").write_text(told)
        (about / "entry_points.txt").write_text(f"[ofa_bench]\n{name} = {module}\n")

    def call(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        """A command, in a process that sees the distributions."""
        around = {"PYTHONPATH": str(self.folder), "IMPORTED": str(self.imported)}
        command = [sys.executable, "-m", "ofa_bench", *map(str, words)]
        env = {**os.environ, **around, "OFA_BENCH_RESULTS": str(self.results), **env}
        return preloaded.run(command, env=env, cwd=self.folder)

    def run_id(self, *words: object, **env: str) -> str:
        """The id of a bundled method's run."""
        done = self.call("run", "--method", "deps", "--json", *SMALL, *words, **env)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["run_id"])

    def status(self, name: str, **env: str) -> Mapping[str, str]:
        """What `list plugins` says of one."""
        rows = json.loads(self.call("list", "plugins", "--json", **env).stdout)["plugins"]
        (row,) = [row for row in rows if row["distribution"] == f"ofa-bench-{name}"]
        return row


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_runs_that_do_not_use_it_stay_the_same(site: Site) -> None:
    alone = site.run_id()
    site.holds("pair", PAIR)
    site.holds("broken", BROKEN)
    site.holds("torn", TORN.replace('"pair"', '"torn-pair"'))
    assert site.run_id("--results", site.folder / "beside") == alone
    assert site.status("pair")["status"] == "loaded"
    assert "half-way" in site.status("broken")["reason"]
    assert site.status("torn")["status"] == "broken"
    shrinks = json.loads(site.call("list", "shrink", "--json").stdout)["shrink"]
    names = {row["name"] for row in shrinks}
    assert "pair" in names
    assert "torn-pair" not in names  # nothing of a plugin that failed half-way is left


def test_a_disabled_one_is_not_imported(site: Site) -> None:
    site.holds("pair", PAIR)
    assert site.status("pair", OFA_BENCH_PLUGINS="deps")["status"] == "blocked"
    assert not site.imported.exists()
    done = site.call("plan", "--shrink", "pair", *SMALL, OFA_BENCH_PLUGINS="deps")
    assert done.returncode == 2
    assert "OFA_BENCH_PLUGINS narrows" in done.stderr


def test_two_of_one_name(site: Site) -> None:
    site.holds("pair", PAIR)
    site.holds("twin", PAIR)
    reason = site.status("twin")["reason"]
    assert "ofa-bench-pair 1.0" in reason
    assert "ofa-bench-twin 1.0" in reason
    assert site.call("plan", "--method", "paired", *SMALL).returncode == 0


def test_no_record_has_it_imported(site: Site) -> None:
    site.holds("pair", PAIR)
    done = site.call("run", "--method", "paired", "--json", *SMALL)
    assert done.returncode == 0, done.stderr
    name = json.loads(done.stdout)["run"]["id"]
    site.imported.unlink()
    (record,) = (site.results / "records").rglob("*.json")
    for words in (
        ["show", name],
        ["runs"],
        ["validate", record],
        ["board", "digits"],
        ["board", "--check"],
        ["report", record, "-o", site.folder / "page.html"],
    ):
        done = site.call(*words)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        assert not site.imported.exists(), words
