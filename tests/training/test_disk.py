"""A disk that is full, or not ours to write, is told in a sentence, and leaves whole files only."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import BenchError, api
from ofa_bench.atomic_io import write_whole

TINY = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 1}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}


@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_a_disk_that_fills_up(which: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The n-th file written meets a full disk; a later try goes on where that one stood."""
    write, count = Path.write_bytes, 0

    def full(path: Path, data: bytes) -> int:
        nonlocal count
        count += path.suffix == ".part"
        if count == which and path.suffix == ".part":
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    asked: dict[str, Any] = {**TINY, "results": tmp_path}
    with pytest.raises(BenchError, match="No space left on device") as caught:
        api.run(**asked)
    assert "--results" in caught.value.hint
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr(Path, "write_bytes", write)
    assert api.run(**asked).status == "ok"


def test_a_file_appears_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_whole(path, "old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(5, "broken")))
    with pytest.raises(BenchError, match="broken"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
