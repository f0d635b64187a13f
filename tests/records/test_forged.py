"""Forged records: sealed anew, so that every hash is right, and they gain nothing on any board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from tests.records.forgery import forge, record, results

Document = dict[str, Any]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results(tmp_path_factory.mktemp("honest"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return results(tmp_path)


def board(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[list[Document], list[str]]:
    """The rows of the one board, and the lines of the records that are not on it."""
    capsys.readouterr()
    assert main(["board", "--json", "--results", str(folder)]) == 0
    found = json.loads(capsys.readouterr().out)
    lines = found.get("unranked", ())
    return found["rows"], [f"{line['name']}: {line['reason']}" for line in lines]


def validated(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `validate` finds; empty where the record holds."""
    capsys.readouterr()
    code = main(["validate", str(path), "--json"])
    (entry,) = json.loads(capsys.readouterr().out)["records"]
    assert code == (1 if entry["findings"] else 0)
    return " ".join(f"{f['field']}: {f['message']}" for f in entry["findings"])


def one_pass(values: Document) -> None:
    """Training MACs from billions to millions, everything in the ledger in agreement."""
    for phase in values["cost"]["phases"]:
        small = phase["macs"]["largest"] // phase["passes"]["largest"]
        phase |= {"passes": {"largest": 1}, "macs": {"largest": small}, "images": 1}
    sums(values)


def sums(values: Document) -> None:
    cost = values["cost"]
    phases = cost["phases"]
    cost["train_macs"] = sum(sum(p["macs"].values()) for p in phases)
    cost["subnet_passes"] = sum(sum(p["passes"].values()) for p in phases)
    cost["images"] = sum(p["images"] for p in phases)
    for name in ("device_seconds", "wall_seconds"):
        cost[name] = sum(p[name] for p in phases)
    wall = cost["wall_seconds"]
    cost["waiting_share"] = sum(p["waiting_share"] * p["wall_seconds"] for p in phases) / wall
    cost["usd"] = None if cost["usd"] is None else cost["usd"]


def fewer_sampled(values: Document) -> None:
    """The nets beside the largest cost nothing: their passes are left out."""
    for phase in values["cost"]["phases"]:
        for name in ("passes", "macs"):
            phase[name] = {"largest": phase[name]["largest"]}
    sums(values)


def fast(values: Document) -> None:
    for phase in values["cost"]["phases"]:
        phase["device_seconds"] = phase["wall_seconds"] = 50 / 1000 * phase["epochs"]
    sums(values)


def other_rate(values: Document) -> None:
    values["science"]["optim"]["lr"] = 99.0


def other_row(values: Document) -> None:
    values["row_id"] = "ab" * 32


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (one_pass, "cost.phases"),
        (fewer_sampled, "cost.phases"),
        (fast, "device_seconds"),
        (other_rate, "row_id"),
        (other_row, "row_id"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_forged_record_does_not_validate_and_is_not_ranked(
    change: Any, field: str, folder: Path, honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = forge(record(folder, "deps"), change)
    assert field in validated(path, capsys)
    rows, unranked = board(folder, capsys)
    assert {row["method"]: row["n"] for row in rows} == {"deps": 4, "ofa": 5}
    assert any(path.name in line and field in line for line in unranked)
    _, nothing = board(honest, capsys)
    assert nothing == []
    assert next(r for r in rows if r["method"] == "ofa")["n"] == 5


def test_a_rivals_row_takes_in_no_record_of_other_science(
    folder: Path, honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rival's row id with a rate of 99, as a sixth seed."""
    path = forge(record(folder, "ofa"), other_rate, seed=5)
    rows, unranked = board(folder, capsys)
    assert rows == board(honest, capsys)[0]
    assert any(path.name in line for line in unranked)


def test_one_record_under_five_seeds_counts_once(
    folder: Path, honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(5, 10):
        forge(record(folder, "deps", 2), lambda values: None, seed=seed)
    rows, unranked = board(folder, capsys)
    before, _ = board(honest, capsys)
    mine = next(row for row in rows if row["method"] == "deps")
    assert mine["n"] == 5 and mine["seeds"] == [0, 1, 2, 3, 4]
    assert mine["mean_pareto_accuracy"] == before[0]["mean_pareto_accuracy"] or any(
        row["mean_pareto_accuracy"] == mine["mean_pareto_accuracy"] for row in before
    )
    assert len(unranked) == 5 and all("two seeds" in line for line in unranked)


def test_new_weights_hashes_do_not_hide_the_same_answers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forge(record(folder, "deps"), lambda v: v.update(weights_sha256="cd" * 32), seed=7)
    rows, unranked = board(folder, capsys)
    assert next(row for row in rows if row["method"] == "deps")["n"] == 5
    assert any("answers" in line for line in unranked)


def all_right(raw: bytes) -> bytes:
    """Answers of which the first candidate's are all right; 360 images fill their bytes."""
    return b"\xff" * 45 + raw[45:]


def better(values: Document, raw: bytes) -> None:
    """The smallest net has every test image right, and everything says so."""
    import hashlib

    from ofa_bench.records.pareto import summarise
    from ofa_bench.records.schema import Score
    from ofa_bench.space import load_space

    values["weights_sha256"] = "ef" * 32
    values["bits"]["sha256"] = hashlib.sha256(all_right(raw)).hexdigest()
    values["scores"][0]["top1_test"] = 100.0
    scores = [Score.model_validate(score) for score in values["scores"]]
    space = load_space(values["task"]["space"]["name"])
    values["summary"] = summarise(scores, space, values["task"]["classes"]).model_dump(mode="json")


def test_which_of_two_records_of_a_run_stands_is_no_matter_of_dates(
    folder: Path, honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second record of the rival's run, with better numbers, dated before it and after it."""
    results = []
    for year in ("2001", "2091"):

        def change(values: Document, year: str = year) -> None:
            better(values, record(folder, "ofa").with_suffix(".bits").read_bytes())
            for name in ("started", "finished"):
                values["run"][name] = f"{year}{values['run'][name][4:]}"

        path = forge(record(folder, "ofa"), change, name="ofa-again")
        path.with_suffix(".bits").write_bytes(all_right(path.with_suffix(".bits").read_bytes()))
        assert validated(path, capsys) == ""
        results.append(board(folder, capsys)[0])
        path.unlink()
        path.with_suffix(".bits").unlink()
    assert [r["mean_pareto_accuracy"] for r in results[0]] == [
        r["mean_pareto_accuracy"] for r in results[1]
    ]
    kept = {row["method"]: row["mean_pareto_accuracy"] for row in board(honest, capsys)[0]}
    assert {row["method"]: row["mean_pareto_accuracy"] for row in results[0]} == kept


def test_a_forged_divergence_takes_no_seed_away(
    folder: Path, honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverged(values: Document) -> None:
        from ofa_bench.records.pareto import candidates_hash

        values |= {"status": "diverged", "scores": [], "summary": None, "bits": None}
        values |= {"error": "the loss is not finite", "curve": []}
        values["task"]["candidates"] |= {"count": 0, "hash": candidates_hash([])}
        for name in ("started", "finished"):
            values["run"][name] = f"2001{values['run'][name][4:]}"

    path = forge(record(folder, "ofa", 3), diverged, name="ofa-diverged")
    assert validated(path, capsys) == ""
    rows, _ = board(folder, capsys)
    mine = next(row for row in rows if row["method"] == "ofa")
    before = next(row for row in board(honest, capsys)[0] if row["method"] == "ofa")
    assert mine["seeds"] == [0, 1, 2, 3, 4] and mine["failed"] == []
    assert mine["mean_pareto_accuracy"] == before["mean_pareto_accuracy"]
    assert any("diverged" in note for note in mine["notes"])


def test_a_strangers_policy_is_checked_as_far_as_it_can_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a plugin that is not installed: `validate` says what it cannot recompute, and the sums
    that need no policy still refuse a ledger of one pass."""
    from ofa_bench.records.schema import Record
    from ofa_bench.records.validation.identity import earlier

    def strange(values: Document) -> None:
        values["method"]["shrink"]["distribution"] = "ofa-bench-strange"
        values["method"]["shrink"]["source"]["hash"] = "ab" * 32
        values["row_id"] = min(earlier(Record.model_validate(values)))
        from ofa_bench.recipe.fingerprint import run_id

        values["run_id"] = run_id(values["row_id"], values["seed"])

    path = forge(record(folder, "deps"), strange)
    assert validated(path, capsys) == ""
    main(["validate", str(path)])
    assert "ofa-bench-strange" in capsys.readouterr().out
    path = forge(path, one_pass)
    assert "cost.phases" in validated(path, capsys)


@pytest.mark.parametrize("name", ["d\u0435\u0440s", "deps\u3164", "deps ", "deps \u2713", "de|ps"])
def test_a_name_that_passes_for_another_is_not_ranked(
    name: str, folder: Path, honest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cyrillic letters, an invisible one, a blank, the mark of a reproduced row: as a method."""
    from ofa_bench.recipe.fingerprint import run_id
    from ofa_bench.records.schema import Record
    from ofa_bench.records.validation.identity import earlier

    def renamed(values: Document) -> None:
        values["method"]["name"] = values["science"]["method"] = name
        values["row_id"] = min(earlier(Record.model_validate(values)))
        values["run_id"] = run_id(values["row_id"], values["seed"])

    path = forge(record(folder, "deps"), renamed, name="another")
    assert "method.name" in validated(path, capsys)
    rows, unranked = board(folder, capsys)
    assert rows == board(honest, capsys)[0]
    assert any(path.name in line for line in unranked)


def test_unsealed_changes_are_listed_and_not_ranked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Board, its markdown, report, runs, curves and claims leave out a record whose seal broke."""
    path = record(folder, "deps")
    values = json.loads(path.read_text())
    values["summary"]["mean_pareto_accuracy"] = 99.9
    path.write_text(json.dumps(values))
    rows, unranked = board(folder, capsys)
    assert next(row for row in rows if row["method"] == "deps")["n"] == 4
    assert any(path.name in line for line in unranked)
    for words in (["board"], ["board", "--format", "md"], ["runs"], ["board", "--curve"]):
        assert main([*words, "--results", str(folder)]) == 0
        out = capsys.readouterr().out
        _, _, listed = out.lower().partition("not ranked")
        assert path.stem in listed.replace("\\", ""), words
        assert "99.9" not in out
    page = folder / "page.html"
    assert main(["report", "-o", str(page), "--results", str(folder)]) == 0
    assert path.name in page.read_text() and "99.90" not in page.read_text()
    kept = list((folder / "boards").glob("*.md"))
    assert kept and any("Not ranked" in file.read_text() for file in kept)
    assert main(["board", "--check", "--results", str(folder)]) == 0
