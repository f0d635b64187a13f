"""Several files stored as one, also where the file system has no locks, and by many at once."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ofa_bench.records.staging import FOLDER, Staging, recover

WRITERS, FILES = 6, 60


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int, *, blocking: bool = True) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.lock_descriptor", refuse)


def stored(results: Path) -> list[str]:
    return sorted(str(path.relative_to(results)) for path in results.rglob("*") if path.is_file())


def test_files_are_stored_where_the_file_system_has_no_locks(
    tmp_path: Path, no_locks: None
) -> None:
    for name in ("a", "b"):
        with Staging(tmp_path) as staging:
            staging.write(Path("records") / name, b"x")
            staging.commit()
    assert stored(tmp_path) == ["records/a", "records/b"]


def test_only_an_old_unfinished_folder_is_nobodys_there(tmp_path: Path, no_locks: None) -> None:
    fresh, old = tmp_path / FOLDER / "fresh.part", tmp_path / FOLDER / "old.part"
    for folder in (fresh, old):
        folder.mkdir(parents=True)
    day = time.time() - 86_400
    os.utime(old, (day, day))
    recover(tmp_path)
    assert fresh.is_dir()
    assert not old.exists()


def test_writers_do_not_remove_each_others_folders(tmp_path: Path) -> None:
    def store(writer: int) -> None:
        for number in range(FILES):
            with Staging(tmp_path) as staging:
                staging.write(Path("records") / str(writer) / f"{number}.json", b"{}")
                staging.commit()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(store, range(WRITERS)))
    assert len(list((tmp_path / "records").glob("*/*.json"))) == WRITERS * FILES
    assert not (tmp_path / FOLDER).exists()
