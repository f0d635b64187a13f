"""`ofa-bench site`: what it writes into, what it refuses, and what strangers' records do to it."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from ofa_bench.leaderboard.known_records import KnownFile
from ofa_bench.records.store import Store
from ofa_bench.report.site import build
from ofa_bench.report.site.folder import MARKER, marker_text, staged_site
from ofa_bench.report.site.pages import member_names, packed
from ofa_bench.report.site.track_records import read_entries, without_root
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
    assert len(list(folder.glob("records/*.tar.xz"))) == 1, "an archive a board"
    assert (folder / "CNAME").read_text() == "example.org"
    assert (folder / "records" / "README").read_text() == "mine"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_files_of_others_stay_in_the_sites_folders(results: Path, tmp_path: Path) -> None:
    folder, mark = tmp_path / "public", "0" * 32
    names = ("assets/jquery.js", "assets/site-theme.css", "methods/our-own-page.html",
             "records/notes.html", f"records/{mark}.html", f"tracks/{mark}.html")  # fmt: skip
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    words = ["site", "-o", str(folder), "--results", str(results), "--yes"]
    for _ in range(2):
        assert main(words) == 0
        assert [(folder / name).read_text() for name in names] == ["mine"] * len(names)
    card = folder / "methods" / "ofa.html"
    assert card.is_file()
    shutil.rmtree(results / "records" / "digits" / "ofa")
    (folder / "methods" / "deps.html").touch()
    assert main(words) == 0
    assert not card.exists(), "a page of the former site, as its marker lists"
    assert [(folder / name).read_text() for name in names] == ["mine"] * len(names)


@pytest.mark.parametrize(
    "marker",
    ["[", "[]", '{"files": 1}', '{"files": [1, "../a.html", "assets/style.css", "CNAME"]}',
     "[" * 100_000],
)  # fmt: skip
def test_a_marker_names_nothing_but_pages(tmp_path: Path, marker: str) -> None:
    folder = tmp_path / "public"
    (folder / "assets").mkdir(parents=True)
    others = [tmp_path / "a.html", folder / "assets" / "style.css", folder / "CNAME"]
    for path in others:
        path.write_text("mine")
    (folder / MARKER).write_text(marker)
    with staged_site(folder) as fresh:
        (fresh / MARKER).write_bytes(marker_text("ofa-bench", 0, []))
    assert [path.read_text() for path in others] == ["mine"] * 3


def test_the_page_that_would_be_replaced_is_named(
    results: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "public" / "assets").mkdir(parents=True)
    (tmp_path / "public" / "index.html").write_text("mine")
    said = refused(capsys, "-o", tmp_path / "public", "--results", results)
    assert "index.html, which would be replaced" in said
    assert (tmp_path / "public" / "index.html").read_text() == "mine"


def test_no_page_says_where_the_results_lie(results: Path, tmp_path: Path) -> None:
    """Records and ground truth that cannot be read are named by where they lie in the results."""
    record(results, "ofa", 0).write_text("{")
    record(results, "ofa", 1).write_bytes(b"\xff")
    record(results, "deps", 0).with_suffix(".bits").unlink()
    (results / "truth" / "run").mkdir(parents=True)
    (results / "truth" / "run" / "a.json").write_text("{")
    (results / "truth" / "run" / "b.json").mkdir()
    said = made(tmp_path / "public", results.absolute())
    assert len(said["left_out"]) >= 4
    assert "truth/run/a.json" in read(tmp_path / "public" / "index.html").text
    assert str(tmp_path) not in json.dumps(said["left_out"])
    for path in (tmp_path / "public").rglob("*.html"):
        assert str(tmp_path) not in path.read_text(), path


def test_a_record_that_goes_away_is_named_without_its_path(results: Path) -> None:
    lines: list[str] = []
    assert read_entries([KnownFile(results / "records" / "a" / "b" / "c.json", ())], lines) == []
    assert len(lines) == 1 and lines[0].startswith("a/b/c.json: ")
    inside = f"FileNotFoundError('{results.absolute()}/x')"
    assert without_root(inside, results, "results") == "FileNotFoundError('results/x')"


def test_a_runs_folder_adds_nothing(results: Path, tmp_path: Path) -> None:
    """What no record's hash covers is no part of a site."""
    made(tmp_path / "without", results)
    for path in results.glob("records/*/*/*.json"):
        folder = results / "runs" / json.loads(path.read_text())["run"]["id"]
        folder.mkdir(parents=True)
        (folder / "meter.jsonl").write_text('{"step": 1, "all": [2.0, 0.5]}\n')
    made(tmp_path / "with", results)
    texts = [
        {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
        for site in (tmp_path / "without", tmp_path / "with")
    ]
    assert texts[0] == texts[1]


def test_the_line_that_reproduces_names_a_file_of_the_archive(
    results: Path, tmp_path: Path
) -> None:
    old = record(results, "deps", 0)
    forge(old, lambda values: None, name="r" * 100)
    old.unlink()
    made(tmp_path / "public", results)
    members = set()
    for path in (tmp_path / "public" / "records").glob("*.tar.xz"):
        with tarfile.open(path) as archive:
            members |= set(archive.getnames())
    lines = [
        re.findall(r"ofa-bench reproduce (\S+)", read(path).text)
        for path in (tmp_path / "public" / "records").glob("*.html")
    ]
    assert {name for names in lines for name in names} == members
    assert f"{'r' * 100}.json" in members


def test_archives_hold_so_many_records(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "PACKED", 2)
    count = made(tmp_path / "public", results)["records"]
    sizes = []
    for path in (tmp_path / "public" / "records").glob("*.tar.xz"):
        with tarfile.open(path) as archive:
            sizes.append(len(archive.getnames()))
    assert sum(sizes) == count > 2 == max(sizes)


def test_runs_of_one_id_have_names_of_their_own(results: Path) -> None:
    records = [entry.record for entry in Store(results).list()][:3]
    first = records[0]
    same = first.run.model_copy(update={"id": records[1].sha256})
    records = [one.model_copy(update={"run": same}) for one in records]
    names = member_names(records)
    assert len(set(names.values())) == 3
    with tarfile.open(fileobj=io.BytesIO(packed(records, names))) as archive:
        assert archive.getnames() == list(names.values())


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
