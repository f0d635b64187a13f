"""Generated plugins are small, keep the contract, and say no twice."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from ofa_bench.api import run
from ofa_bench.errors import UsageError
from ofa_bench.hooks.catalogue import Catalogue, Discovery, Origin, discover
from ofa_bench.testing import check_plugin
from ofa_bench.testing.scaffold import KINDS, new_plugin

SINGLE = ("shrink", "lr", "distill", "method", "extra")


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_is_small(kind: str, tmp_path: Path) -> None:
    paths = new_plugin("zig-zag", kind, tmp_path)
    lengths = {path.name: len(path.read_text().splitlines()) for path in paths}
    assert {"pyproject.toml", "README.md", "contract.yml", "test_zig_zag.py"} <= lengths.keys()
    assert sum(lengths.values()) < (220 if kind == "method" else 150)
    assert all(lengths.get(f"{part}.py", 0) < 60 for part in SINGLE)
    assert not any(sign in path.read_text() for path in paths for sign in ("{{", "{%"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_keeps_the_contract(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_plugin(f"kept-{kind}", kind, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / f"ofa-bench-kept-{kind}"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / f"ofa-bench-kept-{kind}"))
    package = f"ofa_bench_kept_{kind}"
    __import__(package)
    report = check_plugin(sys.modules[package], trains=False)
    assert report.ok, str(report)
    assert len(report.verdicts) > 1


@pytest.mark.parametrize("kind", SINGLE)
def test_a_single_file_keeps_the_contract(kind: str, tmp_path: Path) -> None:
    (path,) = new_plugin(f"lone-{kind}", kind, tmp_path, single_file=True)
    report = check_plugin(path, trains=False)
    assert report.ok, str(report)
    assert max(map(len, path.read_text().splitlines())) <= 100


def with_images(folder: Path) -> None:
    """A few images of two classes in either split."""
    from PIL import Image

    for number in range(64):
        split, name = ("train", "val")[number // 2 % 4 == 3], ("dark", "light")[number % 2]
        shade = 16 * (number % 7) + 128 * (number % 2)
        path = folder / split / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (shade, shade, number)).save(path)


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_as_generated(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_plugin(f"whole-{kind}", kind, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / f"ofa-bench-whole-{kind}"))
    module = importlib.import_module(f"ofa_bench_whole_{kind}")
    discovery = Discovery(Catalogue())
    discovery.catalogue.merge(discover().catalogue)
    discovery.admit(module, Origin(f"whole-{kind}", f"ofa-bench-whole-{kind}", "0.1.0"))
    monkeypatch.setattr("ofa_bench.runs.requests.discover", lambda: discovery)
    asked = {"extra": {"extras": (f"whole-{kind}",)}}.get(kind, {kind: f"whole-{kind}"})
    if kind == "shrink":
        asked |= {"lr": "cosine", "distill": "labels"}
    if kind == "distill":
        asked |= {"shrink": "sandwich", "lr": "cosine"}
    if kind == "dataset":
        with_images(tmp_path / "images" / f"whole-{kind}")
        asked |= {"data_dir": str(tmp_path / "images"), "workers": 0}
    small = {
        "epochs": 2 if kind == "dataset" else 0.2,
        "set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0"),
    }
    space = {} if kind == "space" else {"space": "toy"}
    record = run(**asked, **small, **space, results=str(tmp_path / "results"))
    assert record.status == "ok"
    assert f"whole-{kind}" in record.model_dump_json()


def test_what_is_refused(tmp_path: Path) -> None:
    new_plugin("once", "lr", tmp_path)
    for name, kind, single in (
        ("once", "lr", False),
        ("No Name", "lr", False),
        ("cosine", "lr", False),
        ("mine", "space", True),
    ):
        with pytest.raises(UsageError) as refused:
            new_plugin(name, kind, tmp_path, single)
        assert refused.value.hint
