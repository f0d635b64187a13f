"""`data prepare --pack` appears whole, and goes on where it was stopped, to the same bytes."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.readers import pack
from ofa_bench.data.readers.pack import Packed, prepare_shards
from ofa_bench.data.readers.shard_files import PART
from ofa_bench.errors import BenchError, DataError
from ofa_bench.locks import exclusive
from tests import preloaded

from . import layouts

SPEC = load_spec("folder")
SHARD = 60_000  # bytes
SLOWLY = """
import sys, time
from pathlib import Path
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.readers.pack import prepare_shards
def told(work, done, of):
    print(work, done, of, flush=True)
    time.sleep(0.002)
data, to = map(Path, sys.argv[1:])
prepare_shards(load_spec("folder"), data, to, 60_000, lambda planned: True, told)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.folder(tmp_path_factory.mktemp("packing") / "tree")


@pytest.fixture(scope="module")
def whole(tree: Path) -> dict[str, bytes]:
    """The files of an attempt that was not stopped."""
    packed(tree, tree.parent / "whole")
    return contents(tree.parent / "whole")


def packed(data: Path, to: Path, most: int = SHARD, **options: Any) -> Packed:
    return prepare_shards(SPEC, data, to, most, lambda planned: True, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def stopped_after(images: int) -> Any:
    def progress(work: str, done: int, of: int) -> None:
        if (work, done) == ("packing images", images):
            raise KeyboardInterrupt

    return progress


def half(tree: Path, to: Path, images: int = 150, most: int = SHARD) -> Path:
    """What an attempt leaves behind that is stopped there."""
    with pytest.raises(KeyboardInterrupt):
        packed(tree, to, most, progress=stopped_after(images))
    return to.with_name(f".packing-{to.name}")


def test_a_killed_attempt_goes_on_after_its_shards(
    tree: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    to, staging = tmp_path / "to", tmp_path / ".packing-to"
    last = random.randrange(60, 290)
    words = [sys.executable, "-c", SLOWLY, str(tree), str(to)]
    with preloaded.Process(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while f"packing images {last} " not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
    finished = sorted(path for path in staging.iterdir() if not path.name.endswith(PART))
    assert not to.exists() and 2 <= len(finished) < len(whole) - 1
    damaged = random.choice(finished)
    raw = bytearray(damaged.read_bytes())
    raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    damaged.write_bytes(raw)
    before = {path.name: path.stat().st_ino for path in finished if path != damaged}
    asked: list[Packed] = []
    done = prepare_shards(SPEC, tree, to, SHARD, lambda planned: not asked.append(planned))
    assert contents(to) == whole
    assert {name: (to / name).stat().st_ino for name in before} == before
    assert (to / damaged.name).stat().st_ino not in before.values()
    assert asked[0].resumed == len(finished) and done.resumed == len(before)
    assert list(tmp_path.iterdir()) == [to]


def test_nothing_is_packed_by_halves(tree: Path, tmp_path: Path) -> None:
    half(tree, tmp_path / "to", 5)  # in the first shard
    with pytest.raises(BenchError, match="nothing was written"):
        prepare_shards(SPEC, tree, tmp_path / "to", SHARD, lambda planned: False)
    assert list(tmp_path.iterdir()) == []
    staging = half(tree, tmp_path / "to")
    assert sorted(tmp_path.iterdir()) == [staging, staging.with_name(".packing-to.lock")]
    assert all(path.suffix == ".tar" for path in staging.iterdir())


def test_shards_of_other_images_or_sizes_are_not_kept(
    tree: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    data = shutil.copytree(tree, tmp_path / "data")
    first = min(data.glob("train/*/*.JPEG"))
    half(data, tmp_path / "to")
    (first.parent / first.name).write_bytes(first.read_bytes() + b"\0")  # the shard's size stays
    done = packed(data, tmp_path / "to")
    assert 2 <= done.resumed < len(whole)
    changed = {name for name, raw in contents(tmp_path / "to").items() if raw != whole[name]}
    assert changed == {"folder-train-000000.tar"}
    half(tree, tmp_path / "small", most=25_000)
    assert packed(tree, tmp_path / "small").resumed == 0
    assert contents(tmp_path / "small") == whole


def test_what_others_put_there_stays(tree: Path, tmp_path: Path) -> None:
    staging = half(tree, tmp_path / "to")
    (staging / "notes.txt").write_text("mine")
    with pytest.raises(BenchError, match=r"has 'notes\.txt' in it"):
        packed(tree, tmp_path / "to")
    assert (staging / "notes.txt").read_text() == "mine"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".packing-other").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BenchError, match="a link, which is not followed"):
        packed(tree, tmp_path / "other")
    link = staging / "folder-train-000000.tar"
    (staging / "notes.txt").unlink()
    link.unlink()
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BenchError, match="which is not of"):
        packed(tree, tmp_path / "to")


def test_two_attempts_do_not_write_at_once(tree: Path, tmp_path: Path) -> None:
    to, staging = tmp_path / "to", tmp_path / ".packing-to"
    staging.mkdir()
    failures: list[BenchError] = []

    def attempt() -> None:
        try:
            packed(tree, to)
        except BenchError as error:
            failures.append(error)

    with exclusive(staging.with_name(".packing-to.lock")):
        second = threading.Thread(target=attempt)
        second.start()
        time.sleep(0.5)
        staging.rename(to)
    second.join(60)
    assert "another process has written" in failures[0].message
    assert list(to.iterdir()) == []


def test_a_full_disk_leaves_what_is_written(
    tree: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = pack.write_shard

    def full(folder: Path, shard: Any, advance: Any) -> None:
        if shard.name.endswith("3.tar"):
            raise OSError(28, "No space left on device")
        inner(folder, shard, advance)

    with monkeypatch.context() as patched:
        patched.setattr(pack, "write_shard", full)
        with pytest.raises(BenchError, match="No space left") as error:
            packed(tree, tmp_path / "to")
    assert "goes on after the last shard" in error.value.hint
    assert packed(tree, tmp_path / "to").resumed == 3
    assert contents(tmp_path / "to") == whole
    with pytest.raises(DataError, match="is there already"):
        packed(tree, tmp_path / "to")
