"""Texts of strangers are shown, never obeyed; tables fit what they are shown on."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from ofa_bench.cli import console
from ofa_bench.formatting import count, duration, interval, money, percent, rate


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(console, "sys", SimpleNamespace(stdout=stream, stderr=sys.stderr))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    return stream


def test_a_table_in_a_pipe_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["name", ">count"], [("alpha", 1), ("b", 200)], "Title")
    assert capsys.readouterr().out == (
        "Title\nname   count\n-----  -----\nalpha      1\nb        200\n"
    )


def test_a_wide_table_in_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["a", "b"], [("x" * 300, "y" * 300)])
    assert "x" * 300 + "  " + "y" * 300 in capsys.readouterr().out


def test_codes_and_markup_of_strangers_do_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console.table(["name"], [("\x1b[31m[bold]red[/bold]\x1b[0m\r\nx",)])
    console.complain("[red]no[/red] \x1b]0;title\x07", "fix\x00 it")
    said = capsys.readouterr()
    assert "[bold]red[/bold]  x" in said.out
    assert "[red]no[/red]" in said.err
    assert "\x1b" not in said.out + said.err and "\x00" not in said.err


def test_a_terminal_gets_colours_unless_it_says_no(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.table(["name"], [("alpha",)])
    assert "\x1b[1m" in terminal.getvalue()
    terminal.truncate(0)
    terminal.seek(0)
    monkeypatch.setenv("NO_COLOR", "1")
    console.table(["name"], [("[b]alpha[/b]",)])
    assert "[b]alpha[/b]" in terminal.getvalue()
    assert "\x1b[3" not in terminal.getvalue()


def test_a_narrow_terminal_gets_blocks_instead_of_torn_numbers(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    console.table(["name", *(f">number {n}" for n in range(6))], [("alpha", *range(100, 700, 100))])
    lines = terminal.getvalue().splitlines()
    assert lines[0] == "name      alpha" and lines[-1] == "number 5  600"


def test_words_fold_before_anything_is_lost(terminal: Terminal) -> None:
    words = " ".join(f"word{n}" for n in range(40))
    console.table(["name", "summary"], [("alpha", words)])
    assert all(f"word{n}" in terminal.getvalue() for n in range(40))


def test_a_page_is_as_it_is_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.page("# Title\n\n    code\n\n* point \x1b[31mred")
    assert capsys.readouterr().out == "# Title\n\n    code\n\n* point red\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999, "999"), (999.6, "1.00 k"), (3_931_208, "3.93 M"), (566e6, "566 M")],
)
def test_counts(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.2 s"),
        (41.2, "41 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(value: float, text: str) -> None:
    assert duration(value) == text


def test_what_is_not_known_is_a_dash() -> None:
    shown = (count(None), percent(None), interval(None, None, 3), duration(None), money(None))
    assert {*shown, rate(None)} == {"–"}


def test_rates_keep_their_digits() -> None:
    assert (rate(2.9454799e-4), rate(0.98612601), rate(1.149079)) == (
        "0.0002945",
        "0.98613",
        "1.1491",
    )
