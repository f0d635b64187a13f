"""A link that a stranger put into a results folder is not followed where something is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import BenchError, api
from ofa_bench.leaderboard.board_files import write_boards

TINY: dict[str, Any] = {"method": "ofa", "dataset": "digits", "space": "toy", "epochs": 1}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=0")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of one run."""
    results = tmp_path_factory.mktemp("results")
    assert api.run(**TINY, results=results).status == "ok"
    return results


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "theirs").write_text("theirs")
    yield folder
    assert [path.name for path in folder.rglob("*")] == ["theirs"]
    assert (folder / "theirs").read_text() == "theirs"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("runs", ""),
        ("runs/RUN", ""),
        ("runs/RUN/checkpoint", ""),
        ("runs/RUN/readings", ""),
        ("runs/RUN/events.jsonl", "theirs"),
        ("runs/RUN/lock", "theirs"),
        ("records", ""),
        ("records/digits", ""),
    ],
)
def test_a_run_writes_nothing_through_a_link(
    finished: Path, elsewhere: Path, tmp_path: Path, link: str, target: str
) -> None:
    (run,) = (path.name for path in finished.glob("runs/*-*"))
    path = tmp_path / "theirs" / link.replace("RUN", run)
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere / target)
    with pytest.raises(BenchError, match="is a link"):
        api.run(**TINY, results=tmp_path / "theirs")


def test_boards_are_not_written_through_a_link(
    finished: Path, elsewhere: Path, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    (finished / "records").rename(tmp_path / "theirs" / "records")
    try:
        (tmp_path / "theirs" / "boards").symlink_to(elsewhere)
        with pytest.raises(BenchError, match="boards is a link"):
            write_boards(tmp_path / "theirs")
    finally:
        (tmp_path / "theirs" / "records").rename(finished / "records")


def test_the_results_folder_itself_may_be_one(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(finished)
    assert api.run(**TINY, results=tmp_path / "mine").status == "ok"
    assert write_boards(tmp_path / "mine")
