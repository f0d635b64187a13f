"""`resume` goes on with the run that began in a folder, or says what is different."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ofa_bench import BenchError, api
from ofa_bench.cli.main import main
from ofa_bench.errors import Interrupted, ResumeError
from ofa_bench.hooks.bus import Bus
from ofa_bench.records.store import Store
from tests.training.test_trust import PLUGIN

TINY: dict[str, Any] = {"space": "toy", "epochs": 0.4}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.delenv("OFA_BENCH_RESULTS", raising=False)


def interrupted(patch: pytest.MonkeyPatch, **asked: Any) -> Path:
    """The folder of a run that was stopped in its first step."""
    original = Bus.draws

    def stop(*values: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*values)

    with patch.context() as inner, pytest.raises(Interrupted):
        inner.setattr(Bus, "draws", stop)
        api.run(**TINY, **asked)
    (folder,) = (Path(asked["results"]) / "runs").iterdir()
    return folder


def tree(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 8)):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def refused(folder: Path, **options: Any) -> str:
    """What resuming is refused with; and nothing was trained anew."""
    with pytest.raises(ResumeError) as caught:
        api.resume(str(folder), **options)
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]
    assert not list((folder.parent.parent / "records").rglob("*.json"))
    assert caught.value.hint
    return caught.value.message


def test_changed_images_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tree(tmp_path / "data")
    folder = interrupted(
        monkeypatch, dataset="folder", data_dir=data, results=tmp_path / "results", workers=0
    )
    path = folder / "run.json"  # an hour old: the clock of a file system may be coarse
    begun = json.loads(path.read_text())
    began = begun["started"]
    changed = data / "train" / "cat" / "3.png"
    Image.new("RGB", (8, 8), "red").save(changed)
    stamp = changed.stat().st_mtime + 60
    os.utime(changed, (stamp, stamp))
    words = refused(folder)
    assert "the images differ" in words
    assert "train" in words
    assert str(changed) in words
    assert began


def test_a_changed_plugin_file_and_weights_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = tmp_path / "pairs.py"
    plugin.write_text(PLUGIN)
    first = api.run(**TINY, dataset="digits", seed=1, results=tmp_path / "first")
    weights = tmp_path / "start.safetensors"
    weights.write_bytes(
        (tmp_path / "first" / "runs" / first.run.id / "weights.safetensors").read_bytes()
    )
    asked = {"shrink": "pair", "lr": "cosine", "distill": "labels", "plugins": (str(plugin),)}
    folder = interrupted(
        monkeypatch, dataset="digits", results=tmp_path / "results", init=weights, **asked
    )
    plugin.write_text(PLUGIN.replace("range(2)", "range(1, 3)"))
    assert "the code or table of shrink differs" in refused(folder, plugins=(str(plugin),))
    plugin.write_text(PLUGIN)
    other = api.run(**TINY, dataset="digits", seed=2, results=tmp_path / "first")
    again = tmp_path / "first" / "runs" / other.run.id
    options = {"plugins": (str(plugin),)}
    assert "the weights of --init differ" in refused(folder, init=str(again), **options)
    moved = tmp_path / "moved.safetensors"  # elsewhere, and the same bytes
    weights.rename(moved)
    assert api.resume(str(folder), init=str(moved), **options).status == "ok"


def test_a_changed_value_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[optim]\nlr = 0.05\n")
    folder = interrupted(monkeypatch, dataset="digits", results=tmp_path / "results", recipe=recipe)
    recipe.write_text("[optim]\nlr = 0.06\n")
    assert "optim.lr: 0.05 there, 0.06 here" in refused(folder, recipe=str(recipe))


def test_paths_are_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    folder = interrupted(
        monkeypatch, dataset="folder", data_dir="data", results="results", workers=0
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert api.resume(str(tmp_path / folder)).status == "ok"
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"run": 1}',
        "[" * 100_000,
        '{"a": 1' + "0" * 5000 + "}",
        b"\xff\xfe",
    ],
    ids=["empty", "list", "null", "foreign", "deep", "long number", "bytes"],
)
def test_a_broken_run_file_is_a_sentence(
    text: str | bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / "runs" / "some-run"
    folder.mkdir(parents=True)
    path = folder / "run.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for command in (["resume"], ["evaluate", "--subnet", "largest"]):
        assert main([*command, str(folder)]) == 1
        words = capsys.readouterr().err
        assert "run.json" in words
        assert "bug" not in words
        assert "Traceback" not in words


HOSTILE: list[dict[str, Any]] = [
    {"threads": 10**9},
    {"threads": True},
    {"threads": -1},
    {"seed": 1e400},
    {"seed": 10**30},
    {"started": "yesterday"},
    {"started": "2026-13-45T99:99:99"},
    {"command": "\ud800"},
    {"run_id": "x"},
    {"science": []},
    {"request": {"nonsense": 1}},
    {"request": {"recorded": {"science": {}, "origins": {}}}},
    {"request": {"seed": [1]}},
    {"request": {"epochs": float("inf")}},
    {"request": {"set": [["a"]]}},
    {"request": {"space": {"a": 1}}},
    {"request": {"plugins": 3}},
    {"request": {"workers": 10**9}},
    {"request": {"device": "meta"}},
    {"request": {"shrink": {"class": "Pair"}}},
    {"request": {"data_dir": "\0"}},
    {"hashes": {"data": 3}},
]


def test_hostile_values_of_a_run_file_are_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupted(monkeypatch, dataset="digits", results=tmp_path / "results")
    path = folder / "run.json"
    whole = json.loads(path.read_text())
    for change in HOSTILE:
        path.write_text(json.dumps({**whole, **change}))
        code = main(["resume", str(folder)])
        words = capsys.readouterr().err
        plugins = "plugins" in change.get("request", {})  # read before the rest, as options are
        assert code == (2 if plugins else 1), change
        assert "bug" not in words, (change, words)
        assert "run.json" in words or "Python" in words, (change, words)
    os.mkfifo(folder / "pipe")
    path.unlink()
    (folder / "pipe").rename(path)
    with pytest.raises(BenchError):
        api.resume(str(folder))
    path.unlink()
    path.write_text(json.dumps(whole))
    assert api.resume(str(folder)).status == "ok"


def test_a_finished_run_is_not_scored_on_other_images(tmp_path: Path) -> None:
    data = tree(tmp_path / "data")
    record = api.run(
        **TINY, dataset="folder", data_dir=data, results=tmp_path / "results", workers=0
    )
    folder = tmp_path / "results" / "runs" / record.run.id
    assert api.evaluate(str(folder), ["largest"])
    Image.new("RGB", (8, 8), "blue").save(data / "val" / "dog" / "1.png")
    with pytest.raises(ResumeError, match="images"):
        api.evaluate(str(folder), ["largest"])
    assert len(Store(tmp_path / "results").list()) == 1
