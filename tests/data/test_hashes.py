"""A data set is known by the bytes that are read, whatever somebody kept or prepared."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from ofa_bench.cli.main import main
from ofa_bench.data.discovery import file_hashes as manifest
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import INDEX, locate
from ofa_bench.data.discovery.manifest_table import read_table, write_table
from ofa_bench.data.discovery.pixel_index import PIXELS
from ofa_bench.data.open import open_source
from ofa_bench.data.readers import mapped_pixels as mapped
from ofa_bench.data.readers.pixel_cache import prepare_cache
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import BenchError, DataError
from tests import preloaded

SPEC = load_spec("folder")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Bitmaps, whose bytes may change one by one and are images still."""
    for number in range(24):
        part = "train" if number < 16 else "val"
        folder = tmp_path / "pictures" / part / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(256, size=(20, 20, 3), dtype=np.uint8)
        (folder / f"{number}.ppm").write_bytes(b"P6 20 20 255\n" + pixels.tobytes())
    time.sleep(0.1)  # younger files are hashed anew
    return tmp_path / "pictures"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(root: Path, workers: int = 0) -> BatchSource:
    return open_source(
        SPEC,
        root,
        resolution=16,
        augment={"kind": "resized-crop"},  # not kept in memory as a whole
        select=4,
        seed=0,
        device=torch.device("cpu"),
        workers=workers,
    )


def read(source: BatchSource) -> list[torch.Tensor]:
    train = [b.images for b in source.batches([Address(0, 0, source.sizes["train"])])]
    held = [b.images for part in ("select", "test") for b in source.evaluation(part, 16, 5)]
    return [*train, *held]


def inverted(path: Path) -> None:
    """Other bytes, of the same size and time."""
    status, raw = path.stat(), path.read_bytes()
    start = len(raw) % 1000 if path.suffix == ".ppm" else 0  # leave a header
    path.write_bytes(raw[:start] + bytes(255 - byte for byte in raw[start:]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_file_that_changed_under_its_size_and_time_is_another(tree: Path) -> None:
    before = opened(tree).hash
    assert opened(tree).hash == before
    inverted(next(tree.glob("train/a/*.ppm")))
    assert opened(tree).hash != before


def test_hashes_in_a_strangers_tree_are_not_believed(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    names = sorted(str(path.relative_to(copy)) for path in copy.rglob("*.ppm"))
    lies = {}
    for name in names:
        status = (copy / name).stat()
        digest = hashlib.blake2b((copy / name).read_bytes(), digest_size=16).hexdigest()
        lies[name] = [status.st_size, status.st_mtime_ns, digest, 20, 20]
        inverted(copy / name)
    (copy / ".ofa-bench").mkdir()
    (copy / ".ofa-bench" / "manifest.json").write_text(json.dumps({"version": 1, "files": lies}))
    assert opened(copy).hash != opened(tree).hash


def test_hashes_of_another_folder_are_not_believed(tree: Path, tmp_path: Path) -> None:
    before = opened(tree).hash
    tree.rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", tree)
    for path in tree.rglob("*.ppm"):
        inverted(path)
    assert opened(tree).hash != before


@pytest.mark.parametrize("workers", [0, 2])
def test_a_file_that_changes_after_it_was_hashed_is_named(tree: Path, workers: int) -> None:
    source = opened(tree, workers)
    victim = next(tree.glob("val/b/*.ppm"))
    inverted(victim)
    with pytest.raises(DataError, match=rf"{victim.name} changed after it was hashed"):
        read(source)


def hide_changes(cache: Path, tree: Path) -> None:
    """As a file system would that keeps no time of a file's status."""
    (kept,) = cache.rglob("hashes-*.safetensors")
    table = read_table(kept, tree)
    assert table is not None
    rows = table.writable()
    rows.stamps[:, 2] = [(tree / name).stat().st_ctime_ns for name in rows.names]
    write_table(kept, tree, rows)


def test_kept_hashes_are_compared_with_a_sample(tree: Path, cache: Path) -> None:
    opened(tree)
    victim = next(tree.glob("train/a/*.ppm"))
    inverted(victim)
    hide_changes(cache, tree)
    with pytest.raises(DataError, match=rf"{victim.name} holds other bytes"):
        opened(tree)


def test_what_the_sample_misses_is_met_where_it_is_read(
    tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "SAMPLE", 0)
    opened(tree)
    victim = next(tree.glob("train/a/*.ppm"))
    inverted(victim)
    hide_changes(cache, tree)
    source = opened(tree)
    with pytest.raises(DataError, match=victim.name):
        read(source)


def test_deep_names_what_changed_and_mends_its_hash(
    tree: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "check", "folder", "--data-dir", str(tree), "--deep"]
    assert main(words) == 0
    victim = next(tree.glob("train/a/*.ppm"))
    inverted(victim)
    hide_changes(cache, tree)
    time.sleep(0.1)
    assert main(words) == 1
    assert victim.name in capsys.readouterr().out
    assert main(words) == 0
    opened(tree)


@pytest.fixture
def pixels(tree: Path, tmp_path: Path) -> Path:
    prepare_cache(SPEC, tree, tmp_path / "pixels", 256, lambda planned: True)
    return tmp_path / "pixels"


def test_prepared_pixels_that_were_inverted_are_refused(tree: Path, pixels: Path) -> None:
    assert opened(pixels).hash == opened(tree).hash
    inverted(pixels / PIXELS)
    with pytest.raises(DataError, match="was changed"):
        opened(pixels)


@pytest.mark.parametrize("workers", [0, 2])
def test_one_changed_byte_is_met_where_it_is_read(
    pixels: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(mapped, "CHECKED_WHOLE", 0)
    monkeypatch.setattr(mapped, "SAMPLE", 0)
    raw = bytearray((pixels / PIXELS).read_bytes())
    raw[-1] ^= 1
    (pixels / PIXELS).write_bytes(raw)
    source = opened(pixels, workers)
    with pytest.raises(DataError, match="was changed"):
        read(source)
    assert main(["data", "check", "folder", "--data-dir", str(pixels)]) == 0
    assert main(["data", "check", "folder", "--data-dir", str(pixels), "--deep"]) == 2


def test_pixels_cut_short_while_they_are_read_are_named(pixels: Path) -> None:
    source = opened(pixels)
    os.truncate(pixels / PIXELS, 1000)
    with pytest.raises(DataError, match="was changed"):
        read(source)


def test_pixels_that_a_stranger_prepared_are_known_by_themselves(
    tree: Path, pixels: Path, cache: Path
) -> None:
    honest = opened(tree).hash
    inverted(pixels / PIXELS)
    raw = (pixels / PIXELS).read_bytes()
    with safe_open(pixels / INDEX, framework="numpy") as index:
        arrays = {name: index.get_tensor(name) for name in index.keys()}  # noqa: SIM118
        header = index.metadata()
    images = [raw[start : start + 1200] for start in range(0, len(raw), 1200)]
    digests = [list(hashlib.blake2b(image, digest_size=16).digest()) for image in images]
    arrays["contents"] = np.array(digests, dtype=np.uint8)
    save_file(arrays, pixels / INDEX, header)
    source = opened(pixels)
    assert source.hash != honest
    assert any("another user" in note for note in source.notes)


HASH = """
import sys, time
from pathlib import Path
from ofa_bench.data.discovery import file_hashes as manifest
from ofa_bench.data.discovery.file_names import FileNames
measure = manifest._measure
def slowly(path):
    time.sleep(0.02)
    sys.stdout.write(f"{path}\\n")
    sys.stdout.flush()
    return measure(path)
manifest._measure = slowly
manifest.PIECE_SECONDS = 0.05
root = Path(sys.argv[1])
names = sorted(str(path.relative_to(root)) for path in root.rglob("*.ppm"))
manifest.manifest(root, FileNames.of(names), Path(sys.argv[2]))
"""


def test_hashes_outlive_a_kill(tree: Path, tmp_path: Path) -> None:
    for copy in range(200):
        path = tree / "train" / "a" / f"copy{copy}.ppm"
        path.write_bytes(b"P6 1 1 255\n" + copy.to_bytes(3, "big"))
    words = [sys.executable, "-c", HASH, str(tree), str(tmp_path / "kept")]
    first = preloaded.Process(words, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    measured = [first.stdout.readline() for _ in range(150)]
    first.kill()
    assert first.wait() == -signal.SIGKILL and all(measured)
    done = preloaded.run(words, check=True, timeout=120)
    assert 20 < done.stdout.count(".ppm") < 204  # of 224


def test_pixels_are_not_written_where_nobody_can_be_asked(tree: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "ofa_bench", "data", "prepare", "folder", "--cache"]
    words += ["--data-dir", str(tree), "--to", str(tmp_path / "made" / "pixels")]
    done = preloaded.run(words, stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert "GB of pixels" in done.stderr and "--yes" in done.stderr
    assert not (tmp_path / "made").exists()
    preloaded.run([*words, "--yes"], stdin=subprocess.DEVNULL, check=True)
    assert (tmp_path / "made" / "pixels" / INDEX).is_file()


def test_a_link_in_place_of_our_folder_is_not_followed(tree: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "manifest.json").write_text("theirs")
    (tree / ".ofa-bench").symlink_to(elsewhere)
    opened(tree)
    with pytest.raises(BenchError, match=r"\.ofa-bench is a link"):
        prepare_cache(SPEC, tree, None, 256, lambda planned: True)
    assert [path.name for path in elsewhere.iterdir()] == ["manifest.json"]
    assert (elsewhere / "manifest.json").read_text() == "theirs"


@pytest.mark.filterwarnings("ignore:the file system")
def test_archives_are_unpacked_where_files_have_no_locks(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "packed").mkdir()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        archive.add(tree, ".")
    (tmp_path / "packed" / "pictures.tar").write_bytes(raw.getvalue())
    assert opened(tmp_path / "packed").hash == opened(tree).hash
    assert locate(SPEC, tmp_path / "packed").root.is_dir()
