"""A stranger's text in a record is text on every board: Markdown, terminal and page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from tests.records.forgery import forge, record, results

EVIL = "# heading\n\n<script>alert(1)</script>\n* item\n| a | b |\n"
EVIL += "[x](javascript:1)\x1b[31m\x1b]0;t\x07`"


def hostile(values: dict[str, Any]) -> None:
    """Every free text that no check ties to another field."""
    values["run"]["command"] = f"ofa-bench run --dataset 'digits\n{EVIL}'"
    values["run"]["commit"] = EVIL
    values["machine"]["cpu"] = values["machine"]["platform"] = EVIL
    values["task"]["notes"] = [EVIL]
    values["cost"]["usd"] = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = results(tmp_path)
    for seed in range(5):
        forge(record(folder, "deps", seed), hostile)
    forge(record(folder, "ofa"), lambda v: v["origins"].update({EVIL: EVIL}), name="ofa-again")
    return folder


def test_kept_boards_and_markdown_hold_no_line_of_a_record(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["board", "--results", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert main(["board", "--format", "md", "--results", str(folder)]) == 0
    printed = capsys.readouterr().out
    kept = [path.read_text() for path in (folder / "boards").glob("*.md")]
    assert kept
    for text in (*kept, printed, shown):
        assert "\x1b" not in text and "\x07" not in text
    for text in (*kept, printed):
        bare = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)  # code spans show their content
        assert "<script" not in bare.replace("\\<", "")
        assert not re.search(r"^\s*(# heading|\* item|\| a \| b)", text, re.M)
        assert "](javascript" not in bare


def test_runs_and_curves_keep_to_their_lines(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["runs"], ["board", "--curve"], ["show", record(folder, "deps").stem]):
        assert main([*words, "--results", str(folder)]) == 0
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert not re.search(r"^(# heading|\* item)", out, re.M), words
