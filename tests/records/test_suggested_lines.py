"""A line that the program suggests can be pasted: a shell reads the words that went in."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ofa_bench import api
from ofa_bench.cli import console
from ofa_bench.leaderboard.board import again, boards
from ofa_bench.leaderboard.export import to_markdown
from ofa_bench.records.store import Store

from .factory import fields, make

SHELL = "'\"\\`$;&|<>(){}!#~* \t\n\r\x1b[]m0;\x07\x9b@-é—"
WORD = st.one_of(
    st.text(alphabet=SHELL, max_size=20),
    st.text(max_size=20),
    st.sampled_from(["\x1b]'; touch pwned; '", "x\x1b]0;", "\x1b'", "a\x1b]\x07'b", "\x9b31m'"]),
)
WORDS = st.lists(WORD, min_size=1, max_size=5)
PLAIN = st.text(alphabet=[chr(n) for n in range(32, 127)], max_size=20)


def printed(line: str) -> str:
    """What a terminal or a pipe is sent for a line."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        console.say(f"more seeds: {line}")
    return stream.getvalue().removesuffix("\n").removeprefix("more seeds: ")


@settings(max_examples=300, deadline=None)
@given(WORDS)
def test_a_shell_finds_as_many_words_as_went_in(words: list[str]) -> None:
    line = again(shlex.join(["ofa-bench", "run", *words, "--x"]), 3, 5)
    assert line is not None
    shown = printed(line)
    assert "\n" not in shown and "\x1b" not in shown
    found = shlex.split(shown)
    kept = [w for w in words if not w.startswith(("--seed", "--seeds"))]
    assert found[:2] == ["ofa-bench", "run"] and found[-3:] == ["--x", "--seed", "3"]
    assert len(found) == len(kept) + 5


@settings(max_examples=200, deadline=None)
@given(st.lists(PLAIN.filter(lambda word: not word.startswith("--seed")), max_size=5))
def test_words_that_a_terminal_can_show_come_back_as_they_are(words: list[str]) -> None:
    line = again(shlex.join(["ofa-bench", "compare", *words]), 3, 5)
    assert line is not None
    assert shlex.split(printed(line)) == ["ofa-bench", "compare", *words, "--seeds", "5"]


@settings(max_examples=200, deadline=None)
@given(WORD, WORD)
def test_the_command_of_a_request_is_one_line_of_its_words(data_dir: str, value: str) -> None:
    assume("\0" not in data_dir)  # no path holds one
    asked = api.request(data_dir=f"d{data_dir}", set=(f"optim.lr={value}",))
    line = api.shell_line(asked)
    assert printed(line) == line
    found = shlex.split(line)
    assert len(found) == 6 and found[2::2] == ["--set", "--data-dir"]


def test_no_code_runs_when_a_board_s_line_is_pasted(tmp_path: Path) -> None:
    """The line of a forged record, as the board's Markdown and the terminal have it."""
    # A terminal code may hold quotes: stripped after quoting, it takes a closing one with it.
    line = again(shlex.join(["ofa-bench", "run", "\x1b[", "x", "; touch pwned; #"]), 3, 5)
    assert line is not None
    script = f"ofa-bench() {{ :; }}\n{printed(line)}\n"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, timeout=20, capture_output=True)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "command",
    [
        "ofa-bench run --set 'x=\n\n# Heading\n\n<img src=x onerror=alert(1)>'",
        "ofa-bench run --set 'x=\x1b[2J\x1b]0;title\x07'",
        "ofa-bench run --set 'x=``` ` `` `'",
        "ofa-bench run --set 'x=\u2028# Heading\u202e'",
    ],
)
def test_a_command_line_stays_one_piece_of_code_on_a_board(tmp_path: Path, command: str) -> None:
    store = Store(tmp_path)
    for seed in (0, 1):
        run = {**fields(seed=seed)["run"], "command": command}
        store.write(*make(seed=seed, run=run))
    page = to_markdown(boards(store)[0])
    (suggested,) = [line for line in page.splitlines() if "More seeds" in line]
    assert not any(ord(c) < 32 or c in "\x7f\u2028\u202e" for c in page.replace("\n", ""))
    code = suggested.partition(": ")[2]
    fence = code[: len(code) - len(code.lstrip("`"))]
    body = code.removeprefix(fence).removesuffix(fence)
    assert fence and code.endswith(fence) and fence not in body
    assert shlex.split(body)[:3] == ["ofa-bench", "run", "--set"]
    assert "Heading" not in page.replace(suggested, "")


def test_a_line_that_no_view_shows_whole_is_not_suggested() -> None:
    assert again(shlex.join(["ofa-bench", "run", "--set", "x" * 20_000]), 3, 5) is None
