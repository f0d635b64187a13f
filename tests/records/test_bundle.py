"""A bundle gives back what it was made of, and nothing else comes in."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest

from ofa_bench.errors import UsageError
from ofa_bench.records.bundle import export, take_in
from ofa_bench.records.store import Store

from .factory import make


def filled(folder: Path) -> Store:
    store = Store(folder)
    for seed in range(2):
        store.write(*make("alpha", seed, 70.0))
    return store


def test_there_and_back(tmp_path: Path) -> None:
    store, file = filled(tmp_path / "here"), tmp_path / "track.zip"
    assert export(store.list(), file) == 2
    once = file.read_bytes()
    export(store.list(), file)
    assert file.read_bytes() == once
    there = Store(tmp_path / "there")
    assert len(take_in(file, there)) == 2
    assert [e.record for e in there.list()] == [e.record for e in store.list()]
    assert len(take_in(file, there)) == 2  # the same records twice are one


@pytest.mark.parametrize("name", ["../../evil.json", "/abs/a/b.json", "a/b/c.py", "a/../c.json"])
def test_what_has_no_place_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.zip"
    with zipfile.ZipFile(file, "w") as bundle:
        bundle.writestr(name, "{}")
    with pytest.raises(UsageError):
        take_in(file, Store(tmp_path / "there"))
    assert not (tmp_path / "there").exists()


def test_damage_is_refused_whole(tmp_path: Path) -> None:
    store, file = filled(tmp_path / "here"), tmp_path / "track.zip"
    export(store.list(), file)
    whole, rng = file.read_bytes(), random.Random(3)
    for _ in range(60):
        raw = bytearray(whole)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        file.write_bytes(raw)
        there = Store(tmp_path / "there")
        try:
            take_in(file, there)
        except UsageError:
            assert there.list() == []
            continue
        # A flip in the zip's own dates or attributes changes no record.
        assert [e.record for e in there.list()] == [e.record for e in store.list()]
        for entry in there.list():
            entry.path.unlink()
            entry.path.with_suffix(".bits").unlink()
