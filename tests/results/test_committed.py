"""What is committed under results/ holds: every record, every board, every claim in the docs."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

import pytest

from ofa_bench import api
from ofa_bench.leaderboard.board_files import check_boards
from ofa_bench.leaderboard.claims import findings, to_markdown
from ofa_bench.records.store import Store, read
from ofa_bench.records.validation.validate import Context, validate

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results"
CONTEXT = Context(load=api.load_space, expected=api.expected_candidates)
RECORDS = sorted(RESULTS.rglob("records/*/*/*.json"))
ROOTS = sorted({path.parents[3] for path in RECORDS})


def name(path: Path) -> str:
    return path.stem if path.is_file() else str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", RECORDS, ids=name)
def test_record_validates(path: Path) -> None:
    assert validate(path, CONTEXT) == []


@pytest.mark.parametrize("root", ROOTS, ids=name)
def test_boards_are_what_the_records_say(root: Path) -> None:
    assert check_boards(root) == []


@pytest.mark.parametrize("root", ROOTS, ids=name)
def test_a_record_that_goes_missing_is_noticed(root: Path, tmp_path: Path) -> None:
    for part in ("records", "boards"):
        shutil.copytree(root / part, tmp_path / part)
    Store(tmp_path).list()[0].path.unlink()
    assert check_boards(tmp_path)


@pytest.mark.parametrize("root", ROOTS, ids=name)
def test_no_random_byte_is_accepted(root: Path, tmp_path: Path) -> None:
    """500 changes in all of records, bits and boards, in the folder of one data set."""
    rng = random.Random(len(RECORDS))
    folder = min((root / "records").iterdir(), key=lambda each: len(list(each.rglob("*.json"))))
    shutil.copytree(folder, tmp_path / "records" / folder.name)
    (tmp_path / "boards").mkdir()
    for board in (root / "boards").glob(f"{folder.name}-*"):
        shutil.copy(board, tmp_path / "boards")
    record = rng.choice(Store(tmp_path).list()).path
    boards = sorted((tmp_path / "boards").iterdir())
    assert boards and check_boards(tmp_path) == []
    for number in range(500 // len(ROOTS)):
        target = (record, record.with_suffix(".bits"), rng.choice(boards))[number % 3]
        whole = target.read_bytes()
        raw = bytearray(whole)
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        target.write_bytes(raw)
        said = check_boards(tmp_path) if target in boards else validate(record, CONTEXT)
        assert said, (number, target)
        target.write_bytes(whole)


def test_no_record_names_a_machine_or_a_person() -> None:
    for path in RECORDS:
        record = read(path)
        told = f"{record.run.command} {record.execution}"
        assert not any(word in told for word in ("/home", "/root", "/work", "/tmp", "@")), path


@pytest.mark.parametrize("paper", sorted(path.stem for path in (ROOT / "specs/claims").iterdir()))
def test_claims_in_the_document_follow_from_the_records(paper: str) -> None:
    text = (ROOT / "docs" / "reproducing.md").read_text(encoding="utf-8")
    _, begun, rest = text.partition(f"<!-- claims of {paper} -->\n")
    told, ended, _ = rest.partition("<!-- end of claims -->")
    assert begun and ended
    assert told.strip() == to_markdown(findings(RESULTS, paper)).strip()


def test_all_methods_stand_in_the_page_as_on_the_boards() -> None:
    text = (ROOT / "docs" / "reproducing.md").read_text(encoding="utf-8")
    kinds = ("cifar10-laptop-32-matched-12", "digits-laptop-8-matched-20", "digits-laptop-8-paper")
    boards = [
        {row["method"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
        for kind in kinds
        for path in (ROOT / "results" / "boards").glob(f"{kind}-*.json")
    ]
    assert len(boards) == len(kinds)
    number = r"\| ([\d.]+) "
    table = re.findall(rf"^\| ([a-z-]+) {number}{number}{number}{number}G \|$", text, re.M)
    for board in boards:
        assert {method for method, *_ in table} == {*board} - {"bignas-port"}
    for method, *cells in table:
        means = [board[method]["mean_pareto_accuracy"]["mean"] for board in boards]
        macs = f"{boards[-1][method]['cost']['train_macs'] / 1e9:.3g}"
        assert cells == [*(f"{mean:.2f}" for mean in means), macs], method
