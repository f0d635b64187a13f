"""One data set is the same in every layout: hashes, batches and weights; what is wrong is named."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import sys
import tarfile
import threading
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from ofa_bench.data.check import check
from ofa_bench.data.discovery.datasets import DatasetSpec, load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.discovery.packed import listing
from ofa_bench.data.discovery.packed.listing import NAMES, list_packed
from ofa_bench.data.discovery.packed.parquet import parquet_samples
from ofa_bench.data.discovery.packed.samples import Samples, kept_samples, samples_of
from ofa_bench.data.open import listing_facts, open_source, read_collection
from ofa_bench.data.readers.pack import prepare_shards
from ofa_bench.data.readers.packed import PackedImages
from ofa_bench.data.sources.batch import Address
from ofa_bench.data.sources.source import BatchSource
from ofa_bench.errors import DataError
from tests.running import finished_ranks, words

from . import imagenet_layouts, layouts

pytest.importorskip("pyarrow")
SPEC = load_spec("folder")
MAKERS: dict[str, Callable[[Path, Path], Path]] = {
    "archives": layouts.archives,
    "devkit": imagenet_layouts.devkit,
    "kaggle": lambda tree, root: imagenet_layouts.kaggle(tree, root) / "ILSVRC/Data/CLS-LOC",
    "class-tars": imagenet_layouts.class_tars,
    "class-tars-folders": imagenet_layouts.class_tars_and_folders,
    "class-tars-devkit": imagenet_layouts.class_tars_and_devkit,
    "shards": layouts.shards,
    "parquet": layouts.parquet,
    "parquet-plain": lambda tree, root: layouts.parquet(tree, root, compression="none"),
    "packed": lambda tree, root: packed(tree, root),
}
LISTED = ("devkit", "kaggle", "class-tars-devkit")  # whose lists of labels are noted
RUN = ("run", "--method", "deps", "--dataset", "folder", "--space", "toy", "--epochs", "0.4")
BRIEF = ("--set", "evaluate.per_bucket=1", "--set", "evaluate.curve=0", "--data-dir")


def packed(data: Path, to: Path, shard_bytes: int = 200_000) -> Path:
    prepare_shards(SPEC, data, to, shard_bytes, lambda planned: True)
    return to


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layouts")


@pytest.fixture(scope="module")
def tree(home: Path) -> Path:
    return layouts.folder(home / "tree")


@pytest.fixture(scope="module")
def source(tree: Path) -> BatchSource:
    return opened(tree)


@pytest.fixture
def shards(tree: Path, tmp_path: Path) -> Path:
    return layouts.shards(tree, tmp_path / "shards", 240)


@pytest.fixture
def parquet(tree: Path, tmp_path: Path) -> Path:
    return layouts.parquet(tree, tmp_path / "parquet", 1)


def opened(root: Path, spec: DatasetSpec = SPEC, workers: int = 0) -> BatchSource:
    return open_source(
        spec,
        root,
        resolution=32,
        augment={"flip": True},
        select=30,
        seed=5,
        device=torch.device("cpu"),
        workers=workers,
    )


@pytest.mark.parametrize("name", MAKERS)
def test_every_layout_is_the_folder_to_the_bit(
    name: str, tree: Path, source: BatchSource, home: Path
) -> None:
    root = MAKERS[name](tree, home / name)
    for workers in (0, 2):  # the second time from what was kept
        other = opened(root, workers=workers)
        assert (source.hash, source.splits_hash) == (other.hash, other.splits_hash)
        assert source.class_names == other.class_names
        assert source.notes == other.notes or name in LISTED
    addresses = [Address(0, 0, 16), Address(1, 5, 21)]
    for left, right in zip(source.batches(addresses), other.batches(addresses), strict=True):
        assert torch.equal(left.images, right.images)
        assert torch.equal(left.labels, right.labels)
    report = check(SPEC, root, deep=True)
    assert report.ok
    assert report.images == {"train": 240, "test": 60}
    if isinstance(images := other.collection.train.images, PackedImages):
        located = images.part.samples.spans[:, 0] >= 0
        assert located.all() == (name != "parquet")  # whose column is compressed


def test_a_packed_data_set_can_be_packed_again(
    tree: Path, source: BatchSource, parquet: Path, tmp_path: Path
) -> None:
    again = packed(parquet, tmp_path / "again")
    assert opened(again).splits_hash == source.splits_hash
    assert len(list(again.glob("folder-train-*.tar"))) > 2


def test_two_ranks_train_the_same_weights_from_parquet_as_from_files(
    tree: Path, parquet: Path, tmp_path: Path
) -> None:
    """In two processes with workers each; other layouts give the same batches, as above."""

    def weights(root: Path) -> Any:
        results = tmp_path / f"results-{root.name}"
        finished_ranks(words(*RUN, *BRIEF, root, "--results", results), 2)
        (record,) = results.glob("records/*/*/*.json")
        return json.loads(record.read_text())["weights_sha256"]

    assert weights(tree) == weights(parquet)


def test_large_images_first_are_packed_and_read_again(tree: Path, tmp_path: Path) -> None:
    from PIL import Image

    data = shutil.copytree(tree, tmp_path / "data")
    first = data / "train" / layouts.CLASSES[0] / "0.bmp"
    Image.new("RGB", (1800, 1800)).save(first)
    assert first.stat().st_size > 9 << 20
    again = packed(data, tmp_path / "again", 10**8)
    location = locate(SPEC, again)
    assert location.kind == "shards"
    assert len(read_collection(SPEC, location).train) == 241


@pytest.mark.parametrize("name", ["train/metadata.parquet", "train_captions.parquet"])
def test_parquet_beside_class_folders_is_no_data_set(
    name: str, tree: Path, source: BatchSource, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    (root / "train").mkdir(parents=True)
    for path in (*tree.glob("train/*"), tree / "val"):
        (root / path.relative_to(tree)).symlink_to(path)
    (root / name).write_bytes(b"captions")
    assert opened(root).splits_hash == source.splits_hash


# What is wrong with shards.


def first_shard(root: Path) -> Path:
    return root / "trees-train-000000.tar"


def appended(path: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(path) as tar:
        before = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    layouts.write_shard(path, [*before, *members])


def without(path: Path, name: str) -> None:
    with tarfile.open(path) as tar:
        kept = [(m.name, tar.extractfile(m).read()) for m in tar if m.name != name]  # type: ignore[union-attr]
    layouts.write_shard(path, kept)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def linked(path: Path) -> None:
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("n01440764_900.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "n01440764_1.jpg"
        tar.addfile(link)


def zipped(path: Path) -> None:
    layouts.write_shard(path.with_suffix(".tar.gz"), [("a.cls", b"0"), ("a.jpg", b"")])
    with tarfile.open(path.with_suffix(".tar.gz"), "w:gz") as tar:
        tar.add(path, "inner.cls")


DAMAGED_SHARDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut_short, "damaged or cut short"),
    "twice in a shard": (
        lambda path: appended(path, ("n01440764_1.jpeg", b"x"), ("n01440764_1.cls", b"0")),
        "the key 'n01440764_1' comes twice",
    ),
    "twice in a split": (
        lambda path: shutil.copy(path, path.with_name("trees-train-000001.tar")),
        r"the key of .*000000\.tar.* comes twice, in .*000001\.tar too",
    ),
    "no label": (
        lambda path: without(path, "n01440764_3.cls"),
        "'n01440764_3' has an image but no label",
    ),
    "no image": (
        lambda path: without(path, "n01440764_3.jpeg"),
        "'n01440764_3' has a label but no image",
    ),
    "label beyond": (
        lambda path: appended(path, ("oak.cls", b"3"), ("oak.jpg", b"x")),
        r"oak\.jpg has the label 3, where there are 3 classes",
    ),
    "no number": (
        lambda path: appended(path, ("oak.cls", b"oak"), ("oak.jpg", b"x")),
        "the label 'oak.cls' is b'oak'",
    ),
    "a link": (linked, "'n01440764_900.jpg' is a symbolic link"),
    "compressed": (zipped, r"tar\.gz is a compressed shard"),
    "one of several": (
        lambda path: path.rename(path.with_name("trees-train-00000-of-00002.tar")),
        r"trees-train-00001-of-00002\.tar is missing",
    ),
    "a class without images": (
        lambda path: (path.parent / NAMES).write_text(
            "".join(f"{name}\n" for name in (*layouts.CLASSES, "oak"))
        ),
        "no train images of the class oak",
    ),
}


@pytest.mark.parametrize("case", DAMAGED_SHARDS)
def test_a_damaged_shard_is_named(case: str, shards: Path) -> None:
    damage, message = DAMAGED_SHARDS[case]
    damage(first_shard(shards))
    with pytest.raises(DataError, match=message) as error:
        opened(shards)
    assert error.value.hint
    assert error.value.exit_code == 2


def test_a_gap_in_the_numbers_of_shards_is_noted(tree: Path, tmp_path: Path) -> None:
    root = packed(tree, tmp_path / "shards", 100_000)
    assert opened(root).notes == ()
    files = sorted(root.glob("*-train-*.tar"))
    files[-1].rename(root / files[-1].name.replace(f"{len(files) - 1:06d}", "000017"))
    (note,) = opened(root).notes
    assert note.endswith(
        "-train-*.tar are numbered 0 to 17 with gaps; the first number that is absent: "
        f"{len(files) - 1}"
    )


def test_a_data_set_with_usual_classes_needs_their_names(shards: Path) -> None:
    spec = SPEC.model_copy(update={"classes": 3, "usual_classes": layouts.CLASSES})
    assert opened(shards, spec).notes == ()
    (shards / NAMES).unlink()
    with pytest.raises(DataError, match=r"does not name its classes"):
        opened(shards, spec)
    assert opened(shards).class_names == ("0", "1", "2")


def test_another_number_of_classes_is_another_data_set(shards: Path) -> None:
    with pytest.raises(DataError, match="has 3 classes, folder has 4"):
        opened(shards, SPEC.model_copy(update={"classes": 4}))


def test_labels_follow_the_sorted_names(tree: Path, source: BatchSource, tmp_path: Path) -> None:
    """As they do in folders, whatever numbers the shards have."""
    turned = layouts.shards(tree, tmp_path / "turned", labels={0: 2, 1: 0, 2: 1})
    (turned / NAMES).write_text("\n".join((*layouts.CLASSES[1:], layouts.CLASSES[0])))
    assert opened(turned).splits_hash == source.splits_hash


# What is wrong with parquet files.


def rewritten(path: Path, change: Callable[[Any], Any]) -> None:
    from pyarrow.parquet import read_table, write_table

    write_table(change(read_table(path)), path)


def relabelled(label: int | None) -> Callable[[Path], None]:
    import pyarrow as pa

    def change(table: Any) -> Any:
        labels = [label, *table["label"].to_pylist()[1:]]
        return table.set_column(1, "label", pa.array(labels, pa.int64()))

    return lambda path: rewritten(path, change)


def miscounted(path: Path) -> None:
    """The number of rows in the description of the file, 240 as a Thrift varint, is another."""
    raw = bytearray(path.read_bytes())
    size = int.from_bytes(raw[-8:-4], "little")
    at = raw.index(b"\x16\xe0\x03", len(raw) - 8 - size)
    raw[at : at + 3] = b"\x16\xe2\x03"  # 241
    path.write_bytes(raw)


def unknown_codec(path: Path) -> None:
    """The compression of a column is none that exists, by which pyarrow's own name of it aborts."""
    raw = path.read_bytes()
    at = raw.rindex(b"bytes\x15\x02")
    path.write_bytes(raw[: at + 6] + b"\x01" + raw[at + 7 :])


DAMAGED_TABLES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut_short, "is cut short, or no parquet file"),
    "row count": (miscounted, "declares 241 rows and has 240"),
    "codec": (unknown_codec, "is damaged or cut short"),
    "no label": (relabelled(None), "no label in row 0 of row group 0"),
    "label beyond": (relabelled(3), r"has the label 3, where there are 3 classes"),
    "unlabelled": (relabelled(-1), r"has the label -1, where there are 3 classes"),
    "no column": (
        lambda path: rewritten(path, lambda table: table.drop_columns(["label"])),
        "no column of images .* with one of labels",
    ),
    "one of several": (
        lambda path: path.rename(path.with_name("train-00000-of-00002.parquet")),
        r"train-00001-of-00002\.parquet is missing",
    ),
    "one of several with hashes in their names": (
        lambda path: path.rename(path.with_name("train-00000-of-00002-0a1b2c3d4e5f6071.parquet")),
        r"train-00001-of-00002\.parquet is missing",
    ),
    "no rows": (
        lambda path: rewritten(path, lambda table: table.slice(0, 0)),
        "no train images of the class n01440764 .and 2 more",
    ),
    "a split": (
        lambda path: path.with_name("validation-00000-of-00001.parquet").unlink(),
        "parquet of train but none of val or test",
    ),
}


@pytest.mark.parametrize("case", DAMAGED_TABLES)
def test_a_damaged_parquet_file_is_named(case: str, parquet: Path) -> None:
    damage, message = DAMAGED_TABLES[case]
    damage(parquet / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(DataError, match=message) as error:
        opened(parquet)
    assert error.value.hint
    assert error.value.exit_code == 2


def dictionary(path: Path, rows: int, image: bytes, name: str, last: str = "x") -> int:
    """Rows of the same image, which take next to nothing; the size of the file."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    values = [{"bytes": image, "path": name}] * (rows - 1) + [{"bytes": image, "path": last}]
    options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30}
    write_table(pa.table({"image": pa.array(values, kind), "label": [0] * rows}), path, **options)
    return path.stat().st_size


TINY = b"\x89PNG" + bytes(60)
FEW_BYTES: dict[str, tuple[tuple[int, bytes, str, str], str]] = {
    "a long name": ((1000, TINY, "x", "y" * 600_000), "has a name of 600,000 bytes in row 999"),
    "a large image": ((48, bytes(5 << 20), "x", "x"), "unpacks to more than 100 times its size"),
    "many rows": ((20_000, TINY, "x", "x"), r"has 20,000 rows in [\d,]+ bytes, the limit is 20"),
}


@pytest.mark.parametrize("case", FEW_BYTES)
def test_few_bytes_do_not_take_much_memory(case: str, tmp_path: Path) -> None:
    (rows, image, name, last), message = FEW_BYTES[case]
    path = tmp_path / "train.parquet"
    assert dictionary(path, rows, image, name, last) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            parquet_samples(path, SPEC)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 32 << 20


def test_a_label_beyond_64_bits_is_named(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    image = pa.array([{"bytes": TINY, "path": "x"}], kind)
    path = tmp_path / "train.parquet"
    write_table(pa.table({"image": image, "label": pa.array([2**63], pa.uint64())}), path)
    with pytest.raises(DataError, match=r"has the label 9223372036854775808 in row 0"):
        parquet_samples(path, SPEC)


def test_bytes_that_change_are_noticed(shards: Path, tree: Path, tmp_path: Path) -> None:
    plain = layouts.parquet(tree, tmp_path / "plain", 1, compression="none")
    for root in (shards, plain):
        images = opened(root).collection.train.images
        assert isinstance(images, PackedImages)
        with open(images.part.files[0], "r+b") as file:
            file.seek(int(images.part.samples.spans[7, 0]) + 300)
            file.write(b"other")
        images.decode(6)
        with pytest.raises(DataError, match="changed after it was hashed"):
            images.decode(7)


def test_unlabelled_test_images_give_way(parquet: Path, source: BatchSource) -> None:
    import pyarrow as pa

    data = parquet / "data"
    test = data / "test-00000-of-00001.parquet"
    shutil.copy(data / "validation-00000-of-00001.parquet", test)
    rewritten(test, lambda t: t.set_column(1, "label", pa.array([-1] * len(t), pa.int64())))
    other = opened(parquet)
    assert other.splits_hash == source.splits_hash
    assert other.notes == ("val was used for the sealed test; test has no labels",)


def test_without_pyarrow_a_line_says_what_to_install(
    parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="pyarrow, which reads") as error:
        opened(parquet)
    assert "pip install 'ofa-bench[parquet]'" in error.value.hint


def test_a_row_group_that_does_not_fit_is_refused(
    parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFA_BENCH_LIMITS", "parquet-group=1000")
    with pytest.raises(DataError, match="bytes of images in its row group 0") as error:
        opened(parquet)
    assert "--limit parquet-group=" in error.value.hint


def test_workers_open_files_of_their_own(shards: Path) -> None:
    """Nothing that is open crosses into another process."""
    images = opened(shards).collection.train.images
    assert isinstance(images, PackedImages)
    images.decode(0)
    twin = pickle.loads(pickle.dumps(images))
    assert not twin._files and torch.equal(twin.decode(3), images.decode(3))


def test_a_file_is_not_closed_while_it_is_read(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another thread opens so many that this one is dropped."""
    images = opened(shards).collection.train.images
    assert isinstance(images, PackedImages)
    inner = os.pread

    def dropped(*words: Any) -> bytes:
        images._files.clear()
        return inner(*words)

    monkeypatch.setattr(os, "pread", dropped)
    assert images.raw(0)


def test_parquet_files_with_hashes_in_their_names_are_one_set(
    tree: Path, source: BatchSource, tmp_path: Path
) -> None:
    root = layouts.parquet(tree, tmp_path / "parquet", 2)
    for number, path in enumerate(sorted((root / "data").iterdir())):
        path.rename(path.with_name(f"{path.stem}-{number:016x}.parquet"))
    assert opened(root).splits_hash == source.splits_hash


def test_listing_is_kept_until_a_file_changes(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    reader = listing.shard_samples
    monkeypatch.setattr(
        listing, "shard_samples", lambda path, proceed: read.append(path) or reader(path)
    )
    for path in shards.glob("*.tar"):
        os.utime(path, ns=(10**18, 10**18))
    time.sleep(0.1)  # a file as new as that is not trusted
    for _ in range(2):
        read_collection(SPEC, locate(SPEC, shards))
    assert len(read) == 2
    os.utime(first_shard(shards))
    time.sleep(0.1)
    read_collection(SPEC, locate(SPEC, shards))
    assert read[2:] == [first_shard(shards)]


def test_a_damaged_table_counts_as_absent(shards: Path, source: BatchSource) -> None:
    """Also one whose columns are of other lengths, types or ranges."""
    time.sleep(0.1)  # a file as new as that is not trusted
    assert opened(shards).splits_hash == source.splits_hash
    home = locate(SPEC, shards).hashes.with_name(listing.INDEX_FOLDER)
    kept = max(home.iterdir(), key=lambda path: path.stat().st_size)
    with safe_open(kept, framework="numpy") as file:
        title = file.metadata()
        columns = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    wrong = {
        "names": columns["names"].reshape(-1),
        "keys": columns["keys"][1:],
        "spans": -columns["spans"],
        "labels": columns["labels"].astype(np.int32),
        "hashes": columns["hashes"][:, :15],
    }
    for name, column in wrong.items():
        save_file({**columns, name: np.ascontiguousarray(column)}, kept, title)
        assert opened(shards).splits_hash == source.splits_hash, name
    raw = kept.read_bytes()
    for cut in (0, 7, 100, len(raw) - 1):
        kept.write_bytes(raw[:cut])
        assert opened(shards).splits_hash == source.splits_hash, cut


def test_machines_keep_tables_of_their_own_copies_and_share_those_of_one(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one home folder, and disks of their own at the same path."""
    read: list[Path] = []
    reader = listing.shard_samples
    monkeypatch.setattr(
        listing, "shard_samples", lambda path, proceed: read.append(path) or reader(path)
    )
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    shutil.copytree(shards, there)
    time.sleep(0.1)  # files as new as that are not trusted
    for _ in range(2):  # on the one machine and on the other
        read_collection(SPEC, locate(SPEC, shards))
        shards.rename(elsewhere)
        there.rename(shards)
        elsewhere.rename(there)
    read_collection(SPEC, locate(SPEC, shards))
    assert len(read) == 4  # each two shards once
    home = locate(SPEC, shards).hashes.with_name(listing.INDEX_FOLDER)
    assert len(list(home.iterdir())) == 4
    foreign = home / f"{'0' * 20}-{'0' * 12}.safetensors"
    link = home / f"{next(home.iterdir()).name[:20]}-{'0' * 12}.safetensors"
    foreign.write_bytes(b"")
    link.symlink_to(foreign)
    for path in home.iterdir():
        os.utime(path, (0, 0), follow_symlinks=False)
    read_collection(SPEC, locate(SPEC, shards))  # whose use is noted
    list_packed(locate(SPEC, shards), SPEC, anew=True)
    assert len(list(home.iterdir())) == 4 and link.is_symlink() and foreign.exists()


def test_one_process_of_a_machine_compares_a_sample(
    parquet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(parquet)
    facts = pickle.loads(pickle.dumps(listing_facts()))
    compared: list[int] = []
    inner = PackedImages.raw
    monkeypatch.setattr(PackedImages, "raw", lambda s, row: compared.append(row) or inner(s, row))
    again = read_collection(SPEC, locate(SPEC, parquet), listed=facts)
    assert compared == []
    assert np.array_equal(again.train.digests, first.collection.train.digests)
    other = replace(facts, hashes="0" * 32)
    read_collection(SPEC, locate(SPEC, parquet), listed=other)
    assert len(compared) == 64 + 60


def test_processes_that_begin_at_once_share_the_reading(tree: Path, tmp_path: Path) -> None:
    paths = sorted(layouts.shards(tree, tmp_path / "many", 5).glob("*.tar"))
    time.sleep(0.1)  # files as new as that are not trusted
    read: list[Path] = []

    def reader(path: Path, proceed: Callable[[], None]) -> Samples:
        read.append(path)
        time.sleep(0.02)
        return listing.shard_samples(path, proceed)

    def begin() -> None:
        tables.append(kept_samples(paths, tmp_path / "kept", "", reader))

    tables: list[list[Samples]] = []
    threads = [threading.Thread(target=begin) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 60 == len(set(read)) and len(read) < 120  # of 180
    names = [[name for table in part for name in table.names] for part in tables]
    assert names[0] == names[1] == names[2] and len(names[0]) == 300


def test_an_interruption_does_not_wait_for_whole_files(tree: Path, tmp_path: Path) -> None:
    """Threads that read other files stop at their next image."""
    paths = sorted(layouts.shards(tree, tmp_path / "many", 5).glob("*.tar"))
    begun, calls = threading.Event(), itertools.count()

    def reader(path: Path, proceed: Callable[[], None]) -> Samples:
        if next(calls) == 0:
            return samples_of([])
        begun.set()
        while True:  # a file without an end
            proceed()
            time.sleep(0.01)

    def stopped(work: str, done: int, of: int) -> None:
        assert begun.wait(60)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_samples(paths, tmp_path / "kept", "", reader, stopped)
