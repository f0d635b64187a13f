"""`data prepare imagenet`: archives of archives as a tree, a class at a time."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from ofa_bench.cli.main import main
from ofa_bench.data.discovery.imagenet import unpacking
from ofa_bench.data.discovery.imagenet.unpacking import MARK, TRAIN, VAL, prepare_imagenet
from ofa_bench.errors import BenchError, DataError

from .imagenet_layouts import CLASSES, plain, write_devkit
from .test_devkit import hashes


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain(tmp_path_factory.mktemp("imagenet") / "plain")


@pytest.fixture(scope="module")
def packed(tree: Path) -> Path:
    """The three archives as image-net.org has them."""
    home = tree.with_name("archives")
    home.mkdir()
    with tarfile.open(home / TRAIN, "w") as outer:
        for folder in sorted((tree / "train").iterdir()):
            add(outer, f"{folder.name}.tar", tar_of(folder))
    with tarfile.open(home / VAL, "w") as archive:
        for path in sorted((tree / "val").glob("*/*"), key=lambda path: path.name):
            archive.add(path, path.name)
    write_devkit(tree, tree.with_name("kit") / "ILSVRC2012_devkit_t12")
    with tarfile.open(home / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(tree.with_name("kit") / "ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12")
    return home


@pytest.fixture
def archives(packed: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(packed, tmp_path / "archives"))


def tar_of(folder: Path) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return raw.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def prepare(source: Path, to: Path) -> unpacking.UnpackedTree:
    return prepare_imagenet(source, to, lambda needed: True)


def refused(source: Path, to: Path, kind: type[BenchError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        prepare(source, to)
    assert caught.value.hint
    left = [path for path in to.rglob("*") if path.name.startswith(".unpacking-")]
    assert not left
    return caught.value.message


def held(to: Path) -> list[str]:
    return sorted(path.name for path in (to / "train").iterdir())


def test_the_tree_is_the_plain_one(tree: Path, packed: Path, tmp_path: Path) -> None:
    seen = []
    done = prepare_imagenet(packed, tmp_path / "to", lambda needed: True,
                            lambda part, done, of: seen.append((part, done, of)))  # fmt: skip
    assert (done.classes, done.images) == (3, {"train": 36, "val": 12})
    assert seen[-1][0] == "val" and seen[-1][1] == seen[-1][2] == done.bytes
    assert [part for part, _, _ in seen[:3]] == sorted(CLASSES)
    assert hashes(tmp_path / "to") == hashes(tree)
    files = {str(p.relative_to(tree)): p.read_bytes() for p in tree.rglob("*.JPEG")}
    assert files == {str(p.relative_to(tmp_path / "to")): p.read_bytes()
                     for p in (tmp_path / "to").rglob("*.JPEG")}  # fmt: skip


def test_a_second_call_does_nothing(packed: Path, tmp_path: Path) -> None:
    prepare(packed, tmp_path / "to")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "to").rglob("*.JPEG")}
    again = prepare_imagenet(packed, tmp_path / "to", lambda needed: pytest.fail("it asked"))
    assert again.bytes == 0 and again.images == {"train": 36, "val": 12}
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "to").rglob("*.JPEG")}


def test_a_killed_call_goes_on(packed: Path, tree: Path, tmp_path: Path) -> None:
    """Killed by KILL in the middle of the second class, so that nothing is tidied up."""
    to = tmp_path / "to"
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from ofa_bench.data.discovery.archives import UnpackedFolder\n"
        "from ofa_bench.data.discovery.imagenet.unpacking import prepare_imagenet\n"
        "take, count = UnpackedFolder.take, [0]\n"
        "def slow(self, *words):\n"
        "    take(self, *words); count[0] += 1\n"
        "    if count[0] == 17: print('now', flush=True); time.sleep(60)\n"
        "UnpackedFolder.take = slow\n"
        "prepare_imagenet(Path(sys.argv[1]), Path(sys.argv[2]), lambda needed: True)\n"
    )
    words = [sys.executable, "-c", code, str(packed), str(to)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "now\n"
        child.send_signal(signal.SIGKILL)
    assert len(held(to)) == 2 and CLASSES[0] in held(to)  # one class, and what was unfinished
    first = next((to / "train" / CLASSES[0]).iterdir()).stat().st_mtime_ns
    prepare(packed, to)
    assert held(to) == sorted(CLASSES) and hashes(to) == hashes(tree)
    assert first == next((to / "train" / CLASSES[0]).iterdir()).stat().st_mtime_ns


def test_two_calls_at_once_share_the_work(packed: Path, tree: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from ofa_bench.data.discovery.imagenet.unpacking import prepare_imagenet\n"
        "def agree(needed):\n"
        "    print('asked', flush=True)\n"
        "    return bool(sys.stdin.readline())\n"
        "prepare_imagenet(Path(sys.argv[1]), Path(sys.argv[2]), agree)\n"
    )
    words = [sys.executable, "-c", code, str(packed), str(tmp_path / "to")]
    children = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for _ in range(2)]  # fmt: skip
    for child in children:
        assert child.stdout is not None and child.stdout.readline() == "asked\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("yes\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert hashes(tmp_path / "to") == hashes(tree)


def test_a_truncated_archive_of_classes(archives: Path, tmp_path: Path) -> None:
    raw = (archives / TRAIN).read_bytes()
    for part in (len(raw) // 2, len(raw) - 10240):
        (archives / TRAIN).write_bytes(raw[:part])
        assert f"{TRAIN} cannot be unpacked: it is damaged or cut short" in refused(
            archives, tmp_path / "to"
        )
        assert not (tmp_path / "to").exists()


def test_a_truncated_archive_of_one_class(archives: Path, tree: Path, tmp_path: Path) -> None:
    with tarfile.open(archives / TRAIN, "w") as outer:
        for number, name in enumerate(sorted(CLASSES)):
            raw = tar_of(tree / "train" / name)
            add(outer, f"{name}.tar", raw[: len(raw) // 2] if number == 1 else raw)
    text = refused(archives, tmp_path / "to")
    assert f"{TRAIN}/{sorted(CLASSES)[1]}.tar cannot be unpacked" in text
    assert held(tmp_path / "to") == sorted(CLASSES)[:1]


def test_another_archive_in_its_place(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / VAL, archives / TRAIN)
    assert "which is no archive of a class" in refused(archives, tmp_path / "to")


@pytest.mark.parametrize("name", [TRAIN, VAL, "ILSVRC2012_devkit_t12.tar.gz"])
def test_a_missing_archive(name: str, archives: Path, tmp_path: Path) -> None:
    (archives / name).unlink()
    text = refused(archives, tmp_path / "to")
    assert (f"has no {name}" if name != "ILSVRC2012_devkit_t12.tar.gz" else "no list of") in text


def test_a_validation_archive_that_lacks_an_image(archives: Path, tree: Path, tmp_path: Path
                                                  ) -> None:  # fmt: skip
    with tarfile.open(archives / VAL, "w") as archive:
        for path in sorted((tree / "val").glob("*/*"))[1:]:
            archive.add(path, path.name)
    text = refused(archives, tmp_path / "to")
    assert "has 12 labels, and there are 11 images" in text


def test_a_member_that_leads_upwards(archives: Path, tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as inner:
        add(inner, "../../evil.JPEG", b"x")
    with tarfile.open(archives / TRAIN, "w") as outer:
        for name in CLASSES:
            add(outer, f"{name}.tar", raw.getvalue())
    assert "leads upwards" in refused(archives, tmp_path / "to")
    assert not list(tmp_path.rglob("evil*"))


def test_a_folder_that_is_not_its_own(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "to" / "train").mkdir(parents=True)
    assert "was not begun from these archives" in refused(packed, tmp_path / "to")
    (tmp_path / "to" / MARK).write_text(json.dumps({TRAIN: 1, VAL: 2}))
    assert "was not begun from these archives" in refused(packed, tmp_path / "to")


def test_room_is_looked_for_first(packed: Path, tmp_path: Path,
                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 100))
    assert "do not fit below" in refused(packed, tmp_path / "to", BenchError)
    assert not (tmp_path / "to").exists()


def test_the_command_asks_or_needs_yes(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["data", "prepare", "imagenet", "--from", str(packed), "--to", str(tmp_path / "to")]
    assert main(line) == 2
    assert "--yes" in capsys.readouterr().err and not (tmp_path / "to").exists()
    assert main([*line, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == {"train": 36, "val": 12}
