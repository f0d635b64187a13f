"""The manifest of a tree: its table, its log, and what becomes of both where they are damaged."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch

from ofa_bench.data import open as images
from ofa_bench.data.discovery import file_hashes
from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.file_hashes import audit, content_digest, manifest
from ofa_bench.data.discovery.file_names import FileNames
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.discovery.manifest_table import Manifest, read_table, write_table
from ofa_bench.data.discovery.packed.samples import kept_samples
from ofa_bench.data.discovery.packed.shards import shard_samples
from ofa_bench.data.discovery.unused_tables import CROWD, DAY
from ofa_bench.data.open import listing_facts, read_collection
from ofa_bench.data.readers.split_hash import content_hash, members, order_of
from ofa_bench.errors import DataError
from ofa_bench.locks import exclusive
from ofa_bench.seeding import digest
from tests import preloaded

from .conftest import write_tree
from .layouts import write_shard

ENTRY = [(0, (1, 2, 3, 4), "00" * 16, (1, 1))]
NAMES = ["a/1.jpg", "a/2.jpg", "a/ü.jpg", "b/\udcff.jpg", "b/3.jpg"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files whose stamps are old enough to be kept."""
    for number, name in enumerate(NAMES):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * (number + 1))
    return tmp_path / "tree"


@pytest.fixture(autouse=True)
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_hashes, "TICK", -1)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "hashes.safetensors"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are hashed."""
    names: list[str] = []
    inner = file_hashes._measure

    def counted(path: Path) -> file_hashes.Entry:
        names.append(path.name)
        return inner(path)

    monkeypatch.setattr(file_hashes, "_measure", counted)
    monkeypatch.setattr(file_hashes, "SAMPLE", 0)
    return names


def hexes(root: Path, kept: Path, names: list[str] = NAMES) -> list[str]:
    rows = manifest(root, FileNames.of(names), kept)
    assert list(rows.names) == names
    return [rows.hex(row) for row in range(len(rows))]


def truth(root: Path, names: list[str] = NAMES) -> list[str]:
    return [content_digest((root / name).read_bytes()) for name in names]


def test_names_are_what_they_were() -> None:
    names = FileNames.of(NAMES)
    assert list(names) == NAMES and len(names) == 5 and names[-1] == NAMES[-1]
    assert list(names[1:4]) == NAMES[1:4] and names[1:4] == FileNames.of(NAMES[1:4])
    halves = [names[:2], names[2:]]
    assert FileNames.joined(halves).block is names.block
    assert FileNames.joined(halves[::-1]) == FileNames.of(NAMES[2:] + NAMES[:2])
    assert FileNames.of(["ab", "c"]) != FileNames.of(["a", "bc"])
    assert list(FileNames.joined([])) == [] == list(FileNames.of([]))
    with pytest.raises(IndexError):
        names[5]
    assert list(FileNames.of(["a\0b", "", "c"])) == ["a\0b", "", "c"]  # as an archive may hold


def test_a_second_start_hashes_nothing(root: Path, kept: Path, read: list[str]) -> None:
    assert hexes(root, kept) == truth(root)
    assert sorted(read) == sorted(Path(name).name for name in NAMES)
    read.clear()
    rows = manifest(root, FileNames.of(NAMES), kept)
    assert read == [] and [rows.hex(row) for row in range(5)] == truth(root)
    assert not rows.digests.flags.owndata and not rows.digests.flags.writeable  # mapped


def test_only_what_changed_is_hashed_again(root: Path, kept: Path, read: list[str]) -> None:
    hexes(root, kept)
    read.clear()
    (root / "a/2.jpg").write_bytes(b"other")
    (root / "b/3.jpg").rename(root / "b/4.jpg")
    names = [*NAMES[:4], "b/4.jpg"]
    assert hexes(root, kept, names) == truth(root, names)
    assert sorted(read) == ["2.jpg", "4.jpg"]
    read.clear()
    assert hexes(root, kept, names[1:]) == truth(root, names[1:])
    assert read == []


def test_many_files_are_asked_for_by_other_processes(
    root: Path, kept: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = manifest(root, FileNames.of(NAMES), kept).stamps.copy()
    read.clear()
    monkeypatch.setattr(file_hashes, "ELSEWHERE", 2)  # of more than twice as many
    asked = mock.Mock(side_effect=file_hashes.stamps_elsewhere)
    monkeypatch.setattr(file_hashes, "stamps_elsewhere", asked)
    rows = manifest(root, FileNames.of(NAMES), kept)
    assert np.array_equal(rows.stamps, here) and read == [] and asked.call_count == 3
    (root / "a/2.jpg").write_bytes(b"other")
    assert hexes(root, kept) == truth(root) and read == ["2.jpg"]
    (root / NAMES[3]).unlink()
    with pytest.raises(DataError, match=r"cannot read .*b/.*\.jpg: No such file"):
        hexes(root, kept)


def test_files_are_asked_for_here_where_no_process_starts(
    root: Path, kept: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hexes(root, kept)
    read.clear()
    monkeypatch.setattr(file_hashes, "ELSEWHERE", 2)
    monkeypatch.setattr(sys, "executable", str(root / "none"))
    assert hexes(root, kept) == truth(root) and read == []


def test_links_to_one_file_are_rows_of_their_own(root: Path, kept: Path, read: list[str]) -> None:
    os.link(root / "a/1.jpg", root / "a/9.jpg")
    names = [*NAMES, "a/9.jpg"]
    assert hexes(root, kept, names) == truth(root, names)
    read.clear()
    (root / "a/9.jpg").unlink()  # which changes the other's ctime
    (root / "a/9.jpg").write_bytes(b"apart")
    assert hexes(root, kept, names) == truth(root, names)
    assert sorted(read) == ["1.jpg", "9.jpg"]


def test_a_table_of_another_folder_is_not_believed(
    root: Path, kept: Path, read: list[str], tmp_path: Path
) -> None:
    hexes(root, kept)
    (tmp_path / "other").mkdir()
    assert read_table(kept, tmp_path / "other") is None
    root.rename(tmp_path / "moved")
    shutil.copytree(tmp_path / "moved", root)
    (root / "a/1.jpg").write_bytes(b"?")
    read.clear()
    assert hexes(root, kept) == truth(root)
    assert len(read) == 5  # other inodes


def test_a_damaged_table_counts_as_absent(root: Path, kept: Path) -> None:
    hexes(root, kept)
    raw, rng = kept.read_bytes(), random.Random(0)
    header = 8 + int.from_bytes(raw[:8], "little")
    for cut in (0, 4, header - 1, header, len(raw) - 1):
        kept.write_bytes(raw[:cut])
        assert read_table(kept, root) is None
    for _ in range(300):  # a changed byte of the header, or of what says where names end
        place = rng.randrange(header + 6 * 8)
        kept.write_bytes(raw[:place] + rng.randbytes(1) + raw[place + 1 :])
        table = read_table(kept, root)
        assert table is None or [len(name) for name in table.names.all_encoded()]
    for kind in ("fifo", "folder"):
        kept.unlink()
        os.mkfifo(kept) if kind == "fifo" else kept.mkdir()
        assert hexes(root, kept) == truth(root)
        assert read_table(kept, root) is None or kind == "fifo"
        if kept.is_dir():
            kept.rmdir()
            break


def test_a_log_that_was_cut_short_is_taken_up(root: Path, kept: Path, read: list[str]) -> None:
    rows = manifest(root, FileNames.of(NAMES), kept)
    read.clear()
    lines = [
        (row, tuple(rows.stamps[row].tolist()), rows.hex(row), tuple(rows.shapes[row].tolist()))
        for row in range(5)
    ]
    kept.unlink()
    file_hashes._append(kept, root, rows.names, lines)
    log = kept.with_suffix(".log")
    log.write_bytes(log.read_bytes()[:-9])  # of the last line
    file_hashes._append(kept, root / "elsewhere", rows.names, lines)  # another folder's
    with log.open("a") as file:
        file.write('{"version"\n["a/1.jpg", [1e99, 2, 3, 4], "00", [1, 1]]\n[[\n')
    assert hexes(root, kept) == truth(root)
    assert read == ["3.jpg"]
    assert not log.exists() and read_table(kept, root) is not None


def test_what_is_hashed_anew_names_what_changed(root: Path, kept: Path) -> None:
    rows = manifest(root, FileNames.of(NAMES), kept).writable()
    rows.digests[3] += 1
    write_table(kept, root, rows)
    assert audit(root, FileNames.of(NAMES), kept) == [NAMES[3]]
    assert hexes(root, kept) == truth(root)


def test_a_cache_that_cannot_be_written_costs_time_alone(root: Path, read: list[str]) -> None:
    nowhere = Path(os.devnull) / "hashes.safetensors"
    assert hexes(root, nowhere) == hexes(root, nowhere) == truth(root)
    assert len(read) == 10


def test_an_equal_table_is_not_replaced(root: Path, kept: Path) -> None:
    """Another process may have it mapped, over a share."""
    manifest(root, FileNames.of(NAMES), kept)
    inode = kept.stat().st_ino
    with kept.with_suffix(".log").open("w") as log:
        log.write("left behind")
    assert audit(root, FileNames.of(NAMES), kept) == []
    assert kept.stat().st_ino == inode and not kept.with_suffix(".log").exists()


@pytest.mark.parametrize("links", [True, False])
def test_machines_have_tables_of_their_own(
    links: bool, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one home folder. The second machine need not hash what the first did, on a share."""
    if not links:  # as a file system that has none
        monkeypatch.setattr(os, "link", mock.Mock(side_effect=PermissionError(1, "not permitted")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root, spec = write_tree(tmp_path / "pictures"), load_spec("folder")
    tables = []
    for host in ("one", "other"):
        read.clear()
        images._last.clear()
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        read_collection(spec, locate(spec, root))
        tables.append(locate(spec, root).hashes)
        assert bool(read) == (host == "one")
    first, second = (read_table(kept, root) for kept in tables)
    assert first is not None and second is not None and first.equals(second)
    assert tables[0] != tables[1] and tables[0].parent == tables[1].parent
    assert tables[0].samefile(tables[1]) == links  # on the disk once
    (root / "train" / "class0" / "000.png").unlink()
    read_collection(spec, locate(spec, root))
    other, changed = (read_table(kept, root) for kept in tables)
    assert other is not None and other.equals(first)
    assert changed is not None and len(changed) == len(first) - 1
    assert len(list(tables[0].parent.iterdir())) == 2


def test_one_process_of_a_machine_hashes_and_the_others_wait(
    root: Path, kept: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "MANY", 5)
    inner = file_hashes._measure

    def slow(path: Path) -> file_hashes.Entry:
        time.sleep(0.1)
        return inner(path)

    monkeypatch.setattr(file_hashes, "_measure", slow)
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda: results.append(hexes(root, kept))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == 3 * [truth(root)] and len(read) == 5


def test_nobody_waits_for_a_process_that_is_suspended(
    root: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "MANY", 5)
    monkeypatch.setattr(file_hashes, "STALLED_SECONDS", 0.3)
    kept.parent.mkdir()
    with exclusive(kept.with_suffix(".lock")):  # and no hash is kept meanwhile
        assert hexes(root, kept) == truth(root)


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    os.utime(path, (then, then), follow_symlinks=False)


def neighbours(kept: Path, root: Path, days: Sequence[float], first: int = 0) -> list[Path]:
    """Tables of other machines that were used so many days ago."""
    rows = Manifest.empty(FileNames.of(NAMES[:3]))
    numbers = range(first, first + len(days))
    paths = [kept.with_name(f"hashes-{number:012x}.safetensors") for number in numbers]
    for path, age in zip(paths, days, strict=True):
        write_table(path, root, rows)
        aged(path, age)
    return paths


def test_tables_of_machines_that_never_come_back_are_removed(
    root: Path, kept: Path, tmp_path: Path
) -> None:
    """But for the last used ones, from which another machine's is made."""
    manifest(root, FileNames.of(NAMES), kept)
    days = (400, 35, 29, 33, 31, 1, 32, 34)
    tables = neighbours(kept, root, days)
    logs = [path.with_suffix(".log") for path in tables[:2]]
    for log, folder in zip(logs, (root, tmp_path), strict=True):
        file_hashes._append(log.with_suffix(".safetensors"), folder, FileNames.of(NAMES[:1]), ENTRY)
    strange = neighbours(kept, tmp_path, [50] * 4, 8)  # of another folder
    strange[0].write_bytes(b"no table")
    strange[1].unlink()
    strange[1].symlink_to(root / "a/1.jpg")
    strange[2].rename(kept.with_name("hashes.bin"))
    strange[2] = kept.with_name("hashes.bin")
    unfinished = kept.with_name(".hashes-0123456789ab.safetensors.abc_1234.part")
    unfinished.write_bytes(b"a part of a table")
    for path in (*logs, *strange, unfinished):
        aged(path, 50)
    before = set(kept.parent.iterdir())
    manifest(root, FileNames.of(NAMES), kept)
    assert set(kept.parent.iterdir()) == before  # nothing was written
    manifest(root, FileNames.of(NAMES[1:]), kept)
    last = {5: 1, 2: 29, 4: 31, 6: 32}
    gone = {logs[0], unfinished, *(path for n, path in enumerate(tables) if n not in last)}
    assert before - set(kept.parent.iterdir()) == gone
    assert (root / "a/1.jpg").exists()


def test_many_tables_go_sooner(root: Path, kept: Path) -> None:
    """As of containers, each of which is a machine with a new name."""
    manifest(root, FileNames.of(NAMES), kept)
    tables = neighbours(kept, root, [1] * (CROWD - 2) + [2, 15, 2.5, 13, 20])
    manifest(root, FileNames.of(NAMES[1:]), kept)
    assert [path.exists() for path in tables[CROWD - 2 :]] == [True, False, True, True, False]


def test_tables_of_data_that_is_gone_are_removed(tmp_path: Path) -> None:
    """As of jobs that have it below paths of their own."""
    homes = {}
    for name in ("here", "gone", "recent", "archived"):
        root = write_tree(tmp_path / name / "set")
        kept = tmp_path / "cache" / f"set-{digest(name)[:12]}" / "hashes-0123456789ab.safetensors"
        names = FileNames.of(sorted(str(p.relative_to(root)) for p in root.rglob("*.png")))
        rows = manifest(root, names, kept)
        file_hashes._append(kept, root, rows.names, ENTRY)
        shard = write_shard(tmp_path / name / "0.tar", [("0.cls", b"0"), ("0.png", b"")])
        time.sleep(0.06)
        kept_samples([shard], kept.with_name("packed"), "", shard_samples)
        kept.with_name("decoded.bin").write_bytes(b"")
        kept.with_suffix(".lock").write_bytes(b"")
        homes[name] = kept.parent
        if name != "here":
            shutil.rmtree(tmp_path / name)
    del rows  # or it is in use
    (homes["archived"] / "unpacked-0123").mkdir()
    (tmp_path / "cache" / "boards").mkdir()
    foreign = tmp_path / "cache" / "boards" / "hashes-0123456789ab.safetensors"
    shutil.copy(homes["gone"] / foreign.name, foreign)
    for name in ("gone", "archived", "here"):
        for path in homes[name].rglob("*"):
            aged(path, 40)
    aged(foreign, 40)
    before = set(homes["here"].rglob("*"))
    manifest(tmp_path / "here" / "set", names[1:], tmp_path / "cache" / "new-000000000000" / "kept")
    assert not homes["gone"].exists() and foreign.exists()
    assert [path.name for path in homes["archived"].iterdir()] == ["unpacked-0123"]
    assert set(homes["here"].rglob("*")) == before
    assert len(list(homes["recent"].rglob("*.safetensors"))) == 2


def test_a_table_that_a_process_has_mapped_is_not_removed(root: Path, kept: Path) -> None:
    manifest(root, FileNames.of(NAMES), kept)
    mapped, *_ = neighbours(kept, root, [99, 1, 1, 1, 1])
    code = (
        "import sys; from pathlib import Path; "
        "from ofa_bench.data.discovery.manifest_table import read_table; "
        "table = read_table(Path(sys.argv[1]), Path(sys.argv[2])); "
        "print(len(table), flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(mapped), str(root)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with preloaded.Process(words, **pipes) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "3\n"
        aged(mapped, 99)  # a run of three months
        manifest(root, FileNames.of(NAMES[1:]), kept)
        assert mapped.exists()
        process.stdin.close()
        assert process.wait(60) == 0
    manifest(root, FileNames.of(NAMES), kept)
    assert not mapped.exists()


def test_use_is_noted_once_a_day(root: Path, kept: Path) -> None:
    manifest(root, FileNames.of(NAMES), kept)
    for days, noted in ((0.5, False), (3, True)):
        aged(kept, days)
        before = kept.stat()
        manifest(root, FileNames.of(NAMES), kept)
        after = kept.stat()
        assert (after.st_mtime_ns != before.st_mtime_ns) == noted
        assert after.st_ino == before.st_ino
    assert time.time() - after.st_mtime < DAY / 2


def test_another_process_reads_what_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root, spec = write_tree(tmp_path / "pictures"), load_spec("folder")
    first = read_collection(spec, locate(spec, root))
    facts = pickle.loads(pickle.dumps(listing_facts()))
    images._last.clear()

    def refuse(*_: object) -> None:
        raise AssertionError("it is listed again")

    with monkeypatch.context() as patched:
        patched.setattr(images, "list_tree", refuse)
        again = read_collection(spec, locate(spec, root), listed=facts)
        assert again is not first and (again.classes, again.notes) == (first.classes, first.notes)
        for one, other in ((first.train, again.train), (first.test, again.test)):
            assert content_hash(one.labels, one.digests) == content_hash(
                other.labels, other.digests
            )
            assert torch.equal(one.images.decode(3), other.images.decode(3))
    (root / "train" / "class0" / "000.png").unlink()
    images._last.clear()
    changed = read_collection(spec, locate(spec, root))
    assert len(changed.train) == len(first.train) - 1
    with pytest.raises(AssertionError), monkeypatch.context() as patched:
        patched.setattr(images, "list_tree", refuse)  # another manifest is kept: no facts of it
        read_collection(spec, locate(spec, root), listed=facts)


def test_a_split_s_hash_is_that_of_its_parts_one_by_one() -> None:
    rng = np.random.default_rng(0)
    for count, most in ((0, 1), (1, 1), (7, 10), (70_000, 1001)):
        labels = rng.integers(most, size=count)
        digests = rng.integers(256, size=(count, 16), dtype=np.uint8)
        parts = [p for pair in zip(labels.tolist(), digests, strict=True) for p in pair]
        plain = [p if type(p) is int else bytes(p).hex() for p in parts]
        assert content_hash(labels, digests) == digest(*plain)


def test_groups_and_members_by_all_bytes() -> None:
    rows = np.random.default_rng(0).integers(2, size=(400, 16), dtype=np.uint8)
    rows[:, :13] = 255  # so that many are equal, and first halves always
    order, starts = order_of(rows)
    texts = [bytes(row).hex() for row in rows]
    groups = [order[a:b].tolist() for a, b in pairwise(starts)]
    wanted: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        wanted.setdefault(text, []).append(number)
    assert groups == [wanted[text] for text in sorted(wanted)]
    assert members(rows[:9], rows[5:50]).tolist() == [t in texts[5:50] for t in texts[:9]]
