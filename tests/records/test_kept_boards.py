"""Boards are made again where a record changed, and what is remembered of it is never believed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.leaderboard import kept_boards as module
from ofa_bench.leaderboard import known_records
from ofa_bench.leaderboard.board import boards_of
from ofa_bench.leaderboard.kept_boards import kept_boards, shown
from ofa_bench.leaderboard.screening import held
from ofa_bench.records.store import Store
from ofa_bench.records.validation.validate import Context
from tests.records.forgery import forge, record, results


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results(tmp_path_factory.mktemp("committed"))


@pytest.fixture
def folder(committed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its own index, and files that are old enough to be remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "RACY", 0)
    return Path(shutil.copytree(committed, tmp_path / "results"))


def same_as_anew(folder: Path) -> tuple[Any, Any]:
    """What is kept, which is what is made without anything remembered."""
    kept, unranked = kept_boards(folder, api.record_checks(candidates=False))
    anew = held(Store(folder), context=api.record_checks(candidates=False))
    assert kept == [shown(board) for board in boards_of(anew)]
    assert unranked == anew.unranked
    return kept, unranked


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The records that are read from now on."""
    names: list[str] = []
    read = known_records.read

    def counted(path: Path) -> Any:
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(known_records, "read", counted)
    return names


def test_nothing_is_read_twice_unless_it_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = api.record_checks(candidates=False)
    first = kept_boards(folder, context)
    names = reads(monkeypatch)
    assert kept_boards(folder, context) == first and names == []
    monkeypatch.chdir(folder.parent)
    assert kept_boards(Path("results"), context) == first and names == []
    path = record(folder, "deps")
    os.utime(path)
    assert kept_boards(folder, context) == first
    assert names == [path.name]  # its board is made of the same records
    path.unlink()
    (board,), _ = same_as_anew(folder)
    assert board.document["rows"] != first[0][0].document["rows"]


def test_a_change_that_hides_its_time_and_size_is_seen(folder: Path) -> None:
    same_as_anew(folder)
    path = record(folder, "deps")
    facts, text = path.stat(), path.read_text()
    path.write_text(text.replace('"status": "ok"', '"status": "0k"', 1))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_size == facts.st_size
    assert len(same_as_anew(folder)[1]) == 1
    path.write_text(text)
    assert same_as_anew(folder)[1] == ()
    bits = path.with_suffix(".bits")
    raw, facts = bits.read_bytes(), bits.stat()
    bits.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
    os.utime(bits, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert "bits" in same_as_anew(folder)[1][0].reason
    bits.unlink()
    assert len(same_as_anew(folder)[1]) == 1


def test_copies_and_broken_files_are_listed_as_without_an_index(folder: Path) -> None:
    forge(record(folder, "deps"), lambda values: None, seed=7)
    (folder / "records" / "digits" / "deps" / "broken.json").write_text("{")
    for _ in range(2):
        _, unranked = same_as_anew(folder)
        assert "one run under two seeds" in str(unranked) and "not JSON" in str(unranked)


@pytest.mark.parametrize("content", [b"", b"{", b'{"code": "other"}', b"\xff" * 100])
def test_an_index_that_is_damaged_or_of_other_code_is_made_anew(
    folder: Path, content: bytes
) -> None:
    same_as_anew(folder)
    (index,) = (folder.parent / "cache").rglob("*.json")
    whole = index.read_bytes()
    index.write_bytes(content)
    same_as_anew(folder)
    assert len(index.read_bytes()) == len(whole)


def test_a_record_just_written_is_checked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file may change once more within the same tick of the clock."""
    monkeypatch.setattr(module, "RACY", 10**18)
    context = api.record_checks(candidates=False)
    first = kept_boards(folder, context)
    names = reads(monkeypatch)
    assert kept_boards(folder, context) == first
    assert len(names) == len(list(folder.rglob("*.json")))


def test_a_check_that_has_no_name_is_not_remembered(folder: Path) -> None:
    checks = api.record_checks(candidates=False)
    nameless = Context(load=lambda name: checks.load(name), planned=checks.planned)
    boards, _ = kept_boards(folder, nameless)
    assert boards and not list((folder.parent / "cache").rglob("*.json"))
