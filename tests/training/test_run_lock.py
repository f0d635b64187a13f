"""One process works on a run: the second is told who, and a file system without locks is no one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.training.callbacks import Silent
from tests.running import ENDLESS, GUARD, started, training, words

SMALL: dict[str, Any] = {"dataset": "digits", "space": "toy", "epochs": 0.2, "method": "ofa"}
SMALL |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}


class Heard(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_the_holder_is_named(tmp_path: Path) -> None:
    line = words("run", *ENDLESS, "--method", "ofa", "--results", tmp_path)
    with started(line) as first:
        training(first, tmp_path)
        with started(line) as second:
            _, err = second.communicate(timeout=GUARD)
        assert second.returncode == 1
        assert f"process {first.pid} on {os.uname().nodename}" in err
        assert first.poll() is None


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, refused)
    watch = Heard()
    record = api.run_request(api.request(**SMALL, results=tmp_path), watch)
    assert record.status == "ok"
    assert any("has no locks" in note for note in watch.notes)
