"""File and folder names that are no UTF-8, and links: readers survive them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ofa_bench.cli.main import main
from tests.records.forgery import record, results

ODD = os.fsdecode(b"caf\xe9")


def answer(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(words) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results in a folder of such a name; a record and a begun run of such names in it."""
    folder = results(tmp_path / ODD, "ofa")
    good = record(folder, "ofa")
    shutil.copy(good, good.with_name(f"{ODD}.json"))
    other = folder / "records" / ODD / "ofa"
    other.mkdir(parents=True)
    shutil.copy(good, other)
    begun = folder / "runs" / ODD
    begun.mkdir(parents=True)
    science = {"method": "deps", "dataset": "digits", "space": "toy"}
    begun.joinpath("run.json").write_text(
        json.dumps({"science": science, "seed": 0, "started": f"{ODD}", "request": {}})
    )
    return folder


def test_boards_lists_and_reports_are_made(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--results", str(folder)]
    (row,) = answer(["board", "--json", *where], capsys)["rows"]  # type: ignore[misc]
    assert row["n"] == 5
    runs = answer(["runs", "--json", *where], capsys)["runs"]
    assert len(runs) >= 5  # type: ignore[arg-type]
    for words in (["board"], ["runs"], ["board", "--check"], ["board", "--format", "md"]):
        assert main([*words, *where]) == 0, words
    page = folder / "page.html"
    assert main(["report", "-o", str(page), *where]) == 0
    page.read_text(encoding="utf-8")
    assert main(["site", "-o", str(folder / "pages"), *where]) == 0
    assert "Not ranked" in (folder / "pages" / "index.html").read_text(encoding="utf-8")
    assert all(path.read_text(encoding="utf-8") for path in (folder / "boards").iterdir())
    assert main(["validate", str(folder)]) == 1


def test_a_pipe_or_a_link_to_a_device_among_the_records_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = results(tmp_path, "ofa")
    beside = record(folder, "ofa").parent
    os.mkfifo(beside / "pipe.json")
    (beside / "zero.json").symlink_to("/dev/zero")
    (beside / "folder.json").mkdir()
    bits = record(folder, "ofa", 1).with_suffix(".bits")
    bits.unlink()
    bits.symlink_to("/dev/zero")
    found = answer(["board", "--json", "--results", str(folder)], capsys)
    (row,) = found["rows"]  # type: ignore[misc]
    assert row["n"] == 4
    text = json.dumps(found.get("unranked", []))
    assert all(name in text for name in ("pipe.json", "zero.json", "folder.json"))
    assert main(["validate", str(folder)]) == 1
