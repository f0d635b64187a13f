"""Each way of failing has its exit code and its sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ofa_bench.cli.commands.training import plan
from ofa_bench.errors import BenchError, Interrupted
from tests.cli.conftest import Bench


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(values: object) -> None:
        raise error

    monkeypatch.setattr(plan, "asked_of", fail)


def test_a_mistake_exits_2_with_a_sentence_and_a_fix(bench: Bench) -> None:
    done = bench("plan", "--method", "dep")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: unknown method 'dep'\n  fix: did you mean deps?")


def test_in_json_a_mistake_is_a_document_too(bench: Bench) -> None:
    done = bench("plan", "--method", "dep", "--json")
    assert done.code == 2
    assert done.json["exit"] == 2 and "'dep'" in done.json["error"]
    assert "error:" in done.err


@pytest.mark.parametrize("words", [("plan", "--epochs", "nan", "--json"), ("pla", "--json")])
def test_in_json_a_misspelt_command_line_is_a_document_too(
    bench: Bench, words: tuple[str, ...]
) -> None:
    done = bench(*words)
    assert done.code == 2 and done.json["exit"] == 2
    assert "Usage:" in done.err


def test_a_misspelt_command_line_is_shown_without_control_characters(bench: Bench) -> None:
    done = bench("plugin", "explain", "--method", "--set", "\x08\x1b[2J")
    assert done.code == 2 and "unexpected extra argument" in done.err
    assert "\x08" not in done.err and "\x1b" not in done.err


def test_no_more_threads_is_no_bug(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(RuntimeError("can't start new thread"), monkeypatch)
    done = bench("plan")
    assert done.code == 1
    assert "no more threads" in done.err and "ulimit" in done.err and "bug" not in done.err


def test_a_failure_exits_1(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(BenchError("the disk is full", "free some space"), monkeypatch)
    done = bench("plan")
    assert done.code == 1
    assert done.err == "error: the disk is full\n  fix: free some space\n"


@pytest.mark.parametrize("error", [Interrupted("stopped", "go on with X"), KeyboardInterrupt()])
def test_an_interruption_exits_130(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    raising(error, monkeypatch)
    done = bench("plan")
    assert done.code == 130
    assert "error" not in done.err


def test_what_nobody_foresaw_is_a_sentence(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(ZeroDivisionError("division by zero"), monkeypatch)
    done = bench("plan")
    assert done.code == 1
    assert "ZeroDivisionError" in done.err and "this is a bug" in done.err
    assert "Traceback" not in done.err


def test_debugging_shows_where(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(ZeroDivisionError("division by zero"), monkeypatch)
    monkeypatch.setenv("OFA_BENCH_DEBUG", "1")
    err = bench("plan").err
    assert "Traceback" in err and "test_main.py" in err
    assert "this is a bug" in err


def test_a_file_that_resists_is_no_bug(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(PermissionError(13, "Permission denied", "/locked"), monkeypatch)
    done = bench("plan")
    assert done.code == 1
    assert "/locked: permission denied" in done.err and "bug" not in done.err


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (("compar",), "compare"),
        (("plan", "--metod", "x"), "--method"),
        (("space", "mac", "toy"), "macs"),
        (("plan", "--set", "optim.mometum=0.9"), "momentum"),
        (("plan", "--dataset", "cifar01"), "cifar10"),
        (("space", "macs", "toy", "--subnet", "larges"), "largest"),
    ],
)
def test_misspellings_are_met_with_what_was_meant(
    bench: Bench, words: tuple[str, ...], guess: str
) -> None:
    done = bench(*words)
    assert done.code == 2
    assert guess in done.err


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--epochs", "nan"),
        ("--epochs", "-1"),
        ("--epochs", "0"),
        ("--epochs", "inf"),
        ("--epochs", "1/0"),
        ("--scale", "nan"),
        ("--scale", "-0.5"),
        ("--scale", "much"),
        ("--seed", "-1"),
        ("--seed", "nan"),
        ("--workers", "-2"),
        ("--workers", "1.5"),
        ("--device", "tpu"),
        ("--device", "cuda:x"),
        ("--precision", "fp8"),
        ("--method", " "),
        ("--steps", "1,x"),
        ("--steps", "-1"),
    ],
)
def test_values_that_mean_nothing_name_their_option(bench: Bench, option: str, value: str) -> None:
    done = bench("plan", option, value)
    assert done.code == 2
    assert f"'{option}'" in done.err


def test_other_ranks_are_silent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    done = bench("plan", "--json")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_stray_print_does_not_spoil_the_document(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of = plan.asked_of

    def chatty(values: dict[str, object]) -> object:
        print("a plugin says hello")
        return asked_of(values)

    monkeypatch.setattr(plan, "asked_of", chatty)
    done = bench("plan", "--json")
    assert done.json["method"]
    assert "hello" in done.err


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m ofa_bench list --json | head -c 1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("{", "")


def test_an_encoding_without_the_letter_gets_a_question_mark() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ofa_bench", "plan"],
        capture_output=True,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
    )
    assert done.returncode == 0
    assert b"? first" in done.stdout
