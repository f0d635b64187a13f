"""A folder of pixels stands for the files it was made from."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ofa_bench.data.check import check
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import INDEX
from ofa_bench.data.discovery.pixel_index import PIXELS
from ofa_bench.data.open import open_source
from ofa_bench.data.readers.pixel_cache import Cached, prepare_cache
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import BenchError, DataError
from tests import preloaded

SPEC = load_spec("folder")


def opened(root: Path, workers: int = 0) -> BatchSource:
    return open_source(
        SPEC,
        root,
        resolution=32,
        augment={"flip": True},
        select=6,
        seed=3,
        device=torch.device("cpu"),
        workers=workers,
    )


def cached(tree: Path, to: Path, short: int = 256) -> Cached:
    return prepare_cache(SPEC, tree, to, short, lambda planned: True)


@pytest.mark.parametrize("workers", [0, 2])
def test_where_nothing_is_scaled_it_is_the_files_to_the_bit(
    tree: Path, tmp_path: Path, workers: int
) -> None:
    done = cached(tree, tmp_path / "pixels")
    assert done.scaled == 0
    files, pixels = opened(tree), opened(tmp_path / "pixels", workers)
    assert (files.hash, files.splits_hash) == (pixels.hash, pixels.splits_hash)
    assert files.notes == pixels.notes
    places = [Address(0, 0, 8), Address(1, 5, 13)]
    for left, right in zip(files.batches(places), pixels.batches(places), strict=True):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.labels, right.labels)
    for left, right in zip(
        files.evaluation("test", 32, 5), pixels.evaluation("test", 32, 5), strict=True
    ):
        assert torch.equal(left.images, right.images)


def test_scaled_images_are_another_data_set(tree: Path, tmp_path: Path) -> None:
    told: list[Cached] = []
    done = prepare_cache(SPEC, tree, tmp_path / "small", 40, lambda each: not told.append(each))
    assert told == [done] and done.scaled > 0
    assert (tmp_path / "small" / PIXELS).stat().st_size == done.bytes
    files, pixels = opened(tree), opened(tmp_path / "small")
    assert files.hash != pixels.hash
    assert any("scaled down beforehand" in note for note in pixels.notes)
    assert files.sizes == pixels.sizes


def test_check_reads_it(tree: Path, tmp_path: Path) -> None:
    cached(tree, tmp_path / "pixels")
    report = check(SPEC, tmp_path / "pixels")
    assert report.ok and report.images == {"train": 60, "test": 12}


def test_a_refusal_writes_nothing(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nothing was written"):
        prepare_cache(SPEC, tree, tmp_path / "pixels", 256, lambda planned: False)
    assert not (tmp_path / "pixels").exists()


def test_a_broken_image_leaves_nothing_behind(tree: Path, tmp_path: Path) -> None:
    victim = next((tree / "train" / "class0").iterdir())
    victim.write_bytes(victim.read_bytes()[:90])
    with pytest.raises(DataError, match=victim.name):
        cached(tree, tmp_path / "made" / "pixels")
    assert list((tmp_path / "made").iterdir()) == []


def test_a_signal_leaves_nothing_behind(tree: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal; from ofa_bench.cli.main import main\n"
        "from ofa_bench.data.readers import pixel_cache\n"
        "pixel_cache._scaled = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "raise SystemExit(main(['data', 'prepare', 'folder', '--cache', '--yes', *sys.argv[1:]]))"
    )
    words = [sys.executable, "-c", f"import sys; {code}", "--data-dir", str(tree)]
    words += ["--to", str(tmp_path / "made" / "pixels")]
    done = preloaded.run(words)
    assert done.returncode == 130 and "interrupted" in done.stderr, done.stderr
    assert list((tmp_path / "made").iterdir()) == []


def test_what_a_killed_attempt_left_is_named_where_room_is_short(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(DataError, match="do not fit") as told:
        cached(tree, tmp_path / "pixels")
    assert "larger disk" in told.value.hint
    (tmp_path / ".preparing-x1").mkdir()
    with pytest.raises(DataError, match="do not fit") as told:
        cached(tree, tmp_path / "pixels")
    assert ".preparing-x1" in told.value.hint


def test_whoever_may_read_the_folder_may_read_its_files(tree: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        cached(tree, tmp_path / "pixels")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "pixels").iterdir()}
    assert modes == {0o644}


def test_an_image_too_long_is_named_beforehand(tree: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70_000, 2)).save(tree / "train" / "class0" / "ribbon.png")
    with pytest.raises(DataError, match=r"ribbon\.png would be 70000 pixels wide"):
        cached(tree, tmp_path / "pixels")


def test_what_is_there_is_not_overwritten(tree: Path, tmp_path: Path) -> None:
    cached(tree, tmp_path / "pixels")
    with pytest.raises(DataError, match="there already"):
        cached(tree, tmp_path / "pixels")


@pytest.mark.parametrize("damage", ["cut", "index", "labels", "shapes", "gone", "infinite"])
def test_a_damaged_one_is_refused(tree: Path, tmp_path: Path, damage: str) -> None:
    root = tmp_path / "pixels"
    cached(tree, root)
    if damage == "cut":
        with open(root / PIXELS, "r+b") as file:
            file.truncate(1000)
    elif damage == "index":
        (root / INDEX).write_bytes((root / INDEX).read_bytes()[:100])
    elif damage == "gone":
        (root / PIXELS).unlink()
    else:
        from safetensors import safe_open

        with safe_open(root / INDEX, framework="pt") as index:
            arrays = {name: index.get_tensor(name) for name in index.keys()}  # noqa: SIM118
            header = index.metadata()
        if damage == "infinite":
            header["images"] = re.sub(r'"train": \d+', '"train": Infinity', header["images"])
        else:
            arrays[damage] = arrays[damage] + (1 << 40)
        save_file(arrays, root / INDEX, header)
    with pytest.raises(DataError, match="damaged"):
        opened(root)
