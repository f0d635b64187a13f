"""`ofa-bench site`: what it writes into, what it refuses, and what strangers' records do to it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from ofa_bench.records.store import Store
from tests.records.factory import failed
from tests.records.forgery import forge, record

from .conftest import HOSTILE, made, read

Capture = pytest.CaptureFixture[str]


def refused(capsys: Capture, *words: object) -> str:
    """What a refusal says."""
    assert main(["site", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and "fix: " in said
    return said


def test_other_files_are_not_written_among_unasked(
    results: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    said = refused(capsys, "-o", tmp_path / "notes", "--results", results)
    assert "mine.txt" in said and "--yes" in said
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]
    words = ["site", "-o", str(tmp_path / "notes"), "--results", str(results), "--yes"]
    assert main(words) == 0
    assert (tmp_path / "notes" / "index.html").is_file()
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_a_site_is_brought_up_to_date(results: Path, tmp_path: Path) -> None:
    folder = tmp_path / "public"
    first = made(folder, results)
    (folder / "CNAME").write_text("example.org")
    (folder / "records" / "README").write_text("mine")
    gone = record(results, "ofa", 1)
    gone.unlink()
    second = made(folder, results)
    assert second["records"] == first["records"] - 1
    assert len(list(folder.glob("records/*.html"))) == second["records"]
    assert len(list(folder.glob("records/*.tar.xz"))) == 2, "an archive a row"
    assert (folder / "CNAME").read_text() == "example.org"
    assert (folder / "records" / "README").read_text() == "mine"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_links_are_not_followed(results: Path, tmp_path: Path, capsys: Capture) -> None:
    folder, outside = tmp_path / "public", tmp_path / "outside"
    outside.mkdir()
    (outside / "a.html").write_text("stays")
    (tmp_path / "link").symlink_to(outside)
    assert "link" in refused(capsys, "-o", tmp_path / "link", "--results", results)
    made(folder, results)
    shutil.rmtree(folder / "records")
    (folder / "records").symlink_to(outside)
    assert main(["site", "-o", str(folder), "--results", str(results)]) == 1
    assert [path.name for path in outside.iterdir()] == ["a.html"]


def test_nothing_is_left_where_it_cannot_be_finished(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ofa_bench.report.site.pages.PageWriter.assets", full)
    assert main(["site", "-o", str(tmp_path / "public"), "--results", str(results)]) == 1
    said = capsys.readouterr().err
    assert "No space left" in said and "-o DIR" in said
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_refusals_are_sentences(results: Path, tmp_path: Path, capsys: Capture) -> None:
    public = tmp_path / "public"
    assert "no folder" in refused(capsys, "-o", public, "--results", tmp_path / "none")
    (tmp_path / "file").write_text("")
    assert "is a file" in refused(capsys, "-o", tmp_path / "file", "--results", results)
    script = "javascript:alert(1)"
    assert "web address" in refused(
        capsys, "-o", public, "--results", results, "--repository", script
    )
    assert not public.exists()


def test_no_records_are_a_site_too(tmp_path: Path) -> None:
    (tmp_path / "results" / "records").mkdir(parents=True)
    said = made(tmp_path / "public", tmp_path / "results")
    assert said["records"] == said["tracks"] == 0
    assert "no records here yet" in read(tmp_path / "public" / "index.html").text


def test_a_bad_record_is_named_and_takes_none_down(results: Path, tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", results)
    record(results, "ofa", 0).write_text("{")
    values = json.loads(record(results, "ofa", 1).read_text())
    values["summary"]["mean_pareto_accuracy"] = 99.9
    record(results, "ofa", 1).write_text(json.dumps(values))
    said = made(tmp_path / "public", results)
    assert said["records"] == whole["records"] - 2
    names = {Path(item["file"]).name for item in said["left_out"]}
    assert names == {record(results, "ofa", seed).name for seed in (0, 1)}
    text = read(tmp_path / "public" / "index.html").text
    assert all(name in text for name in names)
    (board,) = (tmp_path / "public" / "tracks").iterdir()
    assert "not ranked: " in read(board).text


def test_a_run_that_failed_has_a_page_with_the_reason(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.write(failed("delta"))
    said = made(tmp_path / "public", tmp_path / "results")
    assert said["records"] == 1 and said["left_out"] == []
    assert "no run has a result" in read(tmp_path / "public" / "index.html").text
    (page,) = (tmp_path / "public" / "records").glob("*.html")
    assert "diverged: " in read(page).text


def hostile(values: dict[str, Any]) -> None:
    """Every free text that a record may hold without being refused."""
    values["run"]["command"] = "ofa-bench run; </script><script>alert(1)</script>"
    values["run"]["commit"] = values["machine"]["cpu"] = values["machine"]["platform"] = HOSTILE
    values["origins"] = {"optim.lr": HOSTILE}
    values["task"]["notes"] = [HOSTILE]
    values["method"]["lr"]["version"] = HOSTILE


def unknown_phase(values: dict[str, Any]) -> None:
    values["curve"][0]["phase"] = HOSTILE


def test_texts_of_strangers_stay_text(results: Path, tmp_path: Path) -> None:
    for seed in range(3):
        forge(record(results, "deps", seed), hostile)
    forge(record(results, "deps", 3), unknown_phase)
    said = made(tmp_path / "public", results)
    assert len(said["left_out"]) == 1
    shown = 0
    for path in (tmp_path / "public").rglob("*.html"):
        page = read(path)
        tags = {tag for tag, _ in page.tags}
        assert not {"img", "iframe", "object", "form", "b"} & tags, path
        raw = path.read_text()
        assert "\x1b" not in raw and "<script>alert" not in raw, path
        shown += "<script>alert(1)" in page.text
        for _, values in page.tags:
            assert not any(name.startswith("on") for name in values), path
    assert shown >= 4
    texts = [read(path).text for path in tmp_path.glob("public/records/*.html")]
    quoted = "ofa-bench 'run;' '</script><script>alert(1)</script>'"
    assert sum(quoted in text for text in texts) == 3


def test_needs_no_torch(results: Path, tmp_path: Path) -> None:
    words = ["site", "-o", str(tmp_path / "public"), "--results", str(results)]
    code = (
        "import sys; from ofa_bench.cli.main import main; "
        f"code = main({words!r}); print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ["0", "False"]
