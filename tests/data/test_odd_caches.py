"""A cache that cannot be read or written costs time, never a run."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ofa_bench.cli.main import main
from ofa_bench.data.discovery import file_hashes
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.packed import samples
from ofa_bench.data.open import open_source
from ofa_bench.data.sources.source import BatchSource
from tests import preloaded

from . import layouts

SPEC = load_spec("folder")
LIMITED = """
import resource, sys
from ofa_bench.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
raise SystemExit(main(["data", "check", "folder", "--data-dir", sys.argv[1]]))
"""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("odd")
    tree = layouts.folder(home / "tree")
    roots = {"tree": tree, "shards": layouts.shards(tree, home / "shards")}
    time.sleep(0.1)  # younger files are hashed anew
    return roots


def opened(root: Path) -> BatchSource:
    return open_source(
        SPEC,
        root,
        resolution=32,
        augment={"flip": True},
        select=30,
        seed=5,
        device=torch.device("cpu"),
    )


def dangling(cache: Path) -> None:
    """As of a scratch disk that was cleared."""
    cache.symlink_to(cache.parent / "cleared" / "cache")


def dangling_below(cache: Path) -> None:
    cache.mkdir()
    (cache / "ofa-bench").symlink_to(cache.parent / "cleared")


def file(cache: Path) -> None:
    cache.write_text("")


def linked(cache: Path) -> None:
    (cache.parent / "scratch").mkdir()
    cache.symlink_to(cache.parent / "scratch")


def occupied(cache: Path) -> None:
    """Folders in the place of files, and files in the place of folders."""
    for layout in ("tree", "shards"):
        home = next((cache.parent / "before" / "ofa-bench").glob(f"{layout}-*"))
        for path in home.rglob("*"):
            target = cache / "ofa-bench" / home.name / path.relative_to(home)
            if path.is_dir():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text("")
            elif target.parent.is_dir() or not target.parent.exists():
                target.mkdir(parents=True)


@pytest.mark.parametrize("make", [dangling, dangling_below, file, linked, occupied])
def test_an_odd_cache_costs_time_alone(
    make: Callable[[Path], None],
    roots: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "before"))
    wanted = {name: opened(root).splits_hash for name, root in roots.items()}
    make(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, root in roots.items():
        assert main(["data", "check", "folder", "--data-dir", str(root)]) == 0, capsys.readouterr()
        assert opened(root).splits_hash == wanted[name]
    if make is linked:
        assert list((tmp_path / "scratch").rglob("hashes-*.safetensors"))


@pytest.mark.parametrize("size", [100, 5_000])
def test_a_disk_that_gets_full_leaves_no_part_of_a_table(
    size: int, roots: dict[str, Path], tmp_path: Path
) -> None:
    """Writing fails in the middle of a file."""
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for root in roots.values():
        for _ in range(2):
            words = [sys.executable, "-c", LIMITED, str(root), str(size)]
            done = preloaded.run(words, timeout=120, env=env)
            assert done.returncode == 0, done.stderr
        assert not list((tmp_path / "cache").rglob("*.part"))
        words = [sys.executable, "-m", "ofa_bench", "data", "check", "folder", "--data-dir"]
        done = preloaded.run([*words, str(root)], timeout=120, env=env)
        assert done.returncode == 0, done.stderr
    assert list((tmp_path / "cache").rglob("hashes-*.safetensors"))


@pytest.mark.parametrize("layout", ["tree", "shards"])
def test_it_is_told_where_long_work_cannot_be_kept(
    layout: str, roots: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dangling(tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with warnings.catch_warnings(record=True) as told:
        opened(roots[layout])
    assert told == []
    monkeypatch.setattr(file_hashes, "MANY", 300)
    monkeypatch.setattr(samples, "MUCH", 50_000)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        opened(roots[layout])
    (line,) = {str(warning.message) for warning in told}
    assert f"cannot be kept in {tmp_path}/cache/ofa-bench/{layout}-" in line
    assert "File exists): every start" in line and len(told) == 1
