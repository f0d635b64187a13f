"""A byte in a path that is no UTF-8 stops nothing: the run, its boards, reports and listings."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Bench

QUICK = ["--space", "toy", "--epochs", "0.2", "--set", "evaluate.per_bucket=1", "--workers", "0"]
QUICK += ["--set", "evaluate.buckets=1", "--set", "evaluate.curve=0"]
ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / ODD
    folder.mkdir()
    return folder


def whole(text: str) -> bool:
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in text)


def readable(bench: Bench, results: Path, page: Path) -> None:
    for line in (["board"], ["board", "--json"], ["runs"], ["runs", "--json"]):
        done = bench(*line, "--results", results)
        assert done.code == 0, done.err
        assert whole(done.out) and "cannot be" not in done.err
        assert "deps" in done.out
    done = bench("report", "--results", results, "-o", page)
    assert done.code == 0, done.err
    assert "1 of 1 records hold" in bench("validate", results / "records").out
    assert bench("board", "--check", "--results", results).code == 0
    for path in (results / "records").rglob("*.json"):
        text = json.dumps(json.loads(path.read_text(encoding="utf-8")), ensure_ascii=False)
        assert whole(text), path


def test_a_results_folder(odd: Path, bench: Bench) -> None:
    done = bench("run", *QUICK, "--results", odd / "results")
    assert done.code == 0, done.err
    assert whole(done.out) and r"caf\xe9" in done.out
    readable(bench, odd / "results", odd / "page.html")


def test_a_space_s_file(odd: Path, bench: Bench) -> None:
    table = Path(__file__).parents[2] / "specs/spaces/toy.toml"
    shutil.copy(table, odd / f"{ODD}.toml")
    words = ["--space", odd / f"{ODD}.toml", *QUICK[2:]]
    done = bench("run", *words, "--results", odd / "results")
    assert done.code == 0, done.err
    assert bench("board", "--results", odd / "results").code == 0
    assert bench("runs", "--results", odd / "results").code == 0


def test_a_folder_of_images(odd: Path, bench: Bench) -> None:
    for split in ("train", "test"):
        for name in ("a", ODD):
            (odd / "tree" / split / name).mkdir(parents=True)
            for n in range(20):
                image = Image.new("RGB", (8, 8), (n * 9, 40, 80))
                image.save(odd / "tree" / split / name / f"{n}.png")
    words = ["--dataset", "folder", "--data-dir", odd / "tree"]
    small = ["--set", "optim.batch=8", "--set", "optim.norm_batch=4"]
    done = bench("data", "check", "folder", "--data-dir", odd / "tree")
    assert done.code == 0 and whole(done.out), done.err
    done = bench("run", *words, *QUICK, *small, "--results", odd / "results")
    assert done.code == 0, done.err
    readable(bench, odd / "results", odd / "page.html")


def test_errors_name_such_a_path(odd: Path, bench: Bench) -> None:
    for words in (["--recipe", odd / "no.toml"], ["--init", odd / "no.pt"], ["--plugin", odd]):
        done = bench("run", *QUICK, *words, "--results", odd / "results")
        assert done.code == 2 and r"caf\xe9" in done.err and whole(done.err), done.err


def test_a_run_that_began_there_goes_on(
    odd: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bench("run", *QUICK, "--results", odd / "results", "--json")
    (folder,) = (odd / "results/runs").glob("deps-*")
    for path in (odd / "results/records").rglob("*.json"):
        path.unlink()
    monkeypatch.chdir(odd)
    again = bench("resume", folder, "--json")
    assert again.code == 0, again.err
    assert again.json["weights_sha256"] == done.json["weights_sha256"]
