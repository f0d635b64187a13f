"""A bundle writes records below the results folder and nothing else: whole, or not at all."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from pathlib import Path

import pytest

from ofa_bench.cli.main import main
from ofa_bench.errors import BenchError, UsageError
from ofa_bench.records import staging
from ofa_bench.records.bundle import export, take_in
from ofa_bench.records.store import Store
from tests.records.factory import make

RESULTS = Path(__file__).resolve().parents[2] / "results"
COUNT = 12
KILLS = int(os.environ.get("OFA_BENCH_TEST_KILLS", "6"))  # 100 for the long form


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of two methods."""
    folder = tmp_path_factory.mktemp("bundle")
    store = Store(folder / "results")
    for seed in range(COUNT // 2):
        for method in ("alpha", "beta"):
            store.write(*make(method, seed, 70.0))
    export(store.list(), folder / "track.zip")
    return folder / "track.zip"


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_member_named_by_an_absolute_path_writes_nothing_there(tmp_path: Path) -> None:
    """The name of a member is a label: the record lands where the store puts it."""
    committed = sorted((RESULTS / "records").rglob("*.json"))[0]
    bits = committed.with_suffix(".bits").read_bytes()
    victim = Path(tempfile.gettempdir()) / f"{uuid.uuid4().hex}.json"  # /DIR/NAME.json
    victim.write_text("precious")
    try:
        file = tmp_path / "evil.zip"
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(str(victim), committed.read_bytes())
            made.writestr(f"{victim.with_suffix('')}.bits", bits)
        results = tmp_path / "results"
        code = main(["records", "import", str(file), "--results", str(results)])
        assert victim.read_text() == "precious"
        assert not victim.with_suffix(".bits").exists()
    finally:
        victim.unlink()
    assert code == 0
    names = {committed.name, committed.with_suffix(".bits").name}
    assert {Path(name).name for name in files(results)} == names


@pytest.mark.parametrize("name", ["/a/b/c.json", "../../../c.json", "a/../../c.json", "c:\\x.json"])
def test_what_is_no_record_is_refused_whatever_its_name(name: str, tmp_path: Path) -> None:
    file = tmp_path / "evil.zip"
    with zipfile.ZipFile(file, "w") as made:
        made.writestr(name, '{"schema": 1}')
    before = files(tmp_path)
    assert main(["records", "import", str(file), "--results", str(tmp_path / "results")]) == 2
    assert files(tmp_path) == before and not (tmp_path / "results").exists()


def test_a_bomb_is_refused_before_its_bytes_are_read(tmp_path: Path) -> None:
    """Under a megabyte that unpacks to 720 MiB; a process with a bound on memory refuses it."""
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for number in range(12):
            made.writestr(f"a/b/{number}.bits", b"\0" * (60 << 20))
            made.writestr(f"a/b/{number}.json", b"{}")
    assert file.stat().st_size < 1 << 20
    code = "import sys; from ofa_bench.cli.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "records", "import", file, "--results", tmp_path / "r"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
    )
    assert done.returncode == 2, done.stderr
    assert "--limit bundle-bytes=" in done.stderr
    assert not (tmp_path / "r").exists()


def test_a_member_that_declares_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    """The size in the directory is made small; reading stops at the bound all the same."""
    file = tmp_path / "liar.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/b/c.json", b" " * (40 << 20))
    raw = bytearray(file.read_bytes())
    place = raw.rindex(b"PK\x01\x02") + 24
    raw[place : place + 4] = (100).to_bytes(4, "little")
    file.write_bytes(raw)
    with pytest.raises(UsageError):
        take_in(file, Store(tmp_path / "r"))


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(UsageError, match="no regular file"):
        take_in(tmp_path / "pipe.zip", Store(tmp_path / "r"))


def test_the_second_record_in_the_way_keeps_the_first_out_too(bundle: Path, tmp_path: Path) -> None:
    there = Store(tmp_path / "there")
    taken = take_in(bundle, Store(tmp_path / "all"))
    last = Path(sorted(taken)[-1])
    blocked = there.results / last.relative_to(tmp_path / "all")
    blocked.parent.mkdir(parents=True)
    blocked.write_text("another")
    before = files(tmp_path / "there")
    with pytest.raises(BenchError, match="another record"):
        take_in(bundle, there)
    assert files(tmp_path / "there") == before


def test_twice_is_once(bundle: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "there")
    take_in(bundle, store)
    once = files(store.results)
    assert len(take_in(bundle, store)) == COUNT
    assert files(store.results) == once


@pytest.mark.parametrize("beside", [False, True], ids=["new folder", "beside others"])
@pytest.mark.parametrize("at", range(0, 2 * COUNT, 5))
def test_a_full_disk_leaves_nothing(
    at: int, beside: bool, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full at the nth file that is written, or linked."""
    store, count = Store(tmp_path / "there"), [0]
    if beside:
        store.write(*make("gamma", 0, 70.0))
    before = files(tmp_path / "there") if beside else {}

    def full(original: object) -> object:
        def call(*words: object, **named: object) -> object:
            count[0] += 1
            if count[0] > at:
                raise OSError(errno.ENOSPC, "No space left on device")
            return original(*words, **named)  # type: ignore[operator]

        return call

    name = "link" if beside else "fsync"
    monkeypatch.setattr(staging.os, name, full(getattr(os, name)))
    with pytest.raises(BenchError, match="No space left"):
        take_in(bundle, store)
    monkeypatch.undo()
    assert files(tmp_path / "there") == before
    assert not (tmp_path / "there" / staging.FOLDER).exists()
    assert len(take_in(bundle, store)) == COUNT


IMPORT = """
import sys
from pathlib import Path
from ofa_bench.records.bundle import take_in
from ofa_bench.records.store import Store
print("ready", flush=True)
take_in(Path(sys.argv[1]), Store(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("beside", [False, True], ids=["new folder", "beside others"])
def test_a_kill_at_any_moment_leaves_all_or_nothing(
    beside: bool, bundle: Path, tmp_path: Path
) -> None:
    """Killed by -9 at random moments: a reader then sees every record or none, nothing half-done
    is left, and the same import completes."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    (tmp_path / "scratch").mkdir()
    rng, seen = random.Random(7), set()
    for number in range(KILLS):
        results = tmp_path / str(number)
        store = Store(results)
        if beside:
            store.write(*make("gamma", 0, 70.0))
        process = subprocess.Popen(
            [sys.executable, "-c", IMPORT, bundle, results],
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        count = len(store.list()) - beside
        assert count in (0, COUNT), count
        seen.add(count)
        assert not list(results.glob(f"{staging.FOLDER}/*"))
        bits = {path.stem for path in results.rglob("*.bits")}
        assert bits == {path.stem for path in results.rglob("*.json")}
        assert len(take_in(bundle, store)) == COUNT
        assert len(store.list()) == COUNT + beside
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("linked", [0, 1, COUNT, 2 * COUNT - 1])
def test_a_kill_between_two_links_is_finished_by_the_next_reader(
    linked: int, bundle: Path, tmp_path: Path
) -> None:
    """Deterministically at the worst moment: decided, and only some of the files linked."""
    store = Store(tmp_path / "there")
    store.write(*make("gamma", 0, 70.0))
    script = tmp_path / "dying.py"
    script.write_text(_dying(linked))
    done = subprocess.run([sys.executable, script, bundle, store.results])
    assert done.returncode == -signal.SIGKILL
    assert main(["runs", "--json", "--results", str(store.results)]) == 0
    assert len(list(store.root.rglob("*.json"))) == COUNT + 1
    assert not (store.results / staging.FOLDER).exists()


def _dying(linked: int) -> str:
    return f"""
import os, signal, sys
from pathlib import Path
from ofa_bench.records import staging
from ofa_bench.records.bundle import take_in
from ofa_bench.records.store import Store
link, done = os.link, []
def dying(*words):
    if len(done) == {linked}:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(0)
    link(*words)
staging.os.link = dying
take_in(Path(sys.argv[1]), Store(Path(sys.argv[2])))
"""
