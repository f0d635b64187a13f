"""Values that no file or option can mean end in a sentence that names them, and at once."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofa_bench.errors import BenchError
from ofa_bench.recipe.layers import Layers
from ofa_bench.space import load_space
from ofa_bench.spec_files import load_toml

from .conftest import Bench

TOY = (Path(__file__).parents[2] / "specs/spaces/toy.toml").read_text(encoding="utf-8")
DIGITS, NINES = "9" * 5000, "9" * 400


@pytest.fixture(autouse=True)
def _guard() -> Iterator[None]:
    """A hang is a failure, not the end of the suite."""

    def late(*_: object) -> None:
        raise TimeoutError("took over 20 s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


SETTINGS = [
    (f"optim.lr={DIGITS}", "optim.lr"),
    (f"optim.lr=0x{'f' * 5000}", "optim.lr"),
    (f"optim.lr=1{'0' * 400}", "optim.lr"),
    ('optim.lr="1e400/1"', "optim.lr"),
    (f'optim.lr="{NINES}/1"', "optim.lr"),
    ("optim.lr=1e300", "optim.lr"),
    ("optim.lr=true", "optim.lr"),
    ("optim.batch=true", "optim.batch"),
    ("optim.batch=1000000000", "optim.batch"),
    (f"optim.batch={10**4000}", "optim.batch"),
    ("optim.warmup=true", "optim.warmup"),
    ('optim.warmup="1e300 epochs"', "optim.warmup"),
    (f'optim.warmup="{NINES}/1"', "optim.warmup"),
    (f"optim.warmup={10**4000}", "optim.warmup"),
    ("data.select=true", "data.select"),
    ("data.select=1e300", "data.select"),
    ("net.dropout=false", "net.dropout"),
    ("lr.ramp=true", "lr.ramped.ramp"),
    ("shrink.start=true", "shrink.delayed.start"),
    ("shrink.sampled=true", "shrink.delayed.sampled"),
    ("shrink.sampled=1000000000", "subnets in a step"),
    ("budget.scale=1e300", "budget.scale"),
    ("budget.factor=1e300", "budget.factor"),
    ("budget.epochs=1e300", "budget.epochs"),
    ("budget.epochs=true", "budget.epochs"),
    ("evaluate.chunk=1e300", "evaluate.chunk"),
    ("evaluate.buckets=true", "evaluate.buckets"),
    (f"a={'[' * 50_000}", "a"),
    (f"{'a.' * 50}a=1", "PATH=VALUE"),
    (f"a={'{a=' * 50_000}", "a"),
]


@pytest.mark.parametrize(("setting", "named"), SETTINGS, ids=lambda text: text[:30])
def test_a_setting(bench: Bench, setting: str, named: str) -> None:
    done = bench("plan", "--set", setting)
    assert done.code == 2, done.err
    assert named in done.err
    assert "bug" not in done.err and len(done.err) < 1000


OPTIONS = [
    (["plan", "--epochs", "1e300"], "--epochs"),
    (["plan", "--epochs", "1e400/1"], "--epochs"),
    (["plan", "--epochs", f"{DIGITS}/1"], "--epochs"),
    (["plan", "--epochs", DIGITS], "--epochs"),
    (["plan", "--scale", "1e300"], "--scale"),
    (["plan", "--scale", f"{NINES}/1"], "--scale"),
    (["plan", "--scale", "99999"], "--scale"),
    (["compare", "--seeds", "1e9"], "--seeds"),
    (["compare", "--seeds", "1000000000"], "--seeds"),
    (["compare", "--seeds", DIGITS], "--seeds"),
    (["compare", "--seeds", f"1,{DIGITS}"], "--seeds"),
    (["compare", "--seeds", "0-999999999"], "--seeds"),
    (["plan", "--seed", DIGITS], "--seed"),
    (["plan", "--workers", DIGITS], "--workers"),
]


@pytest.mark.parametrize(("words", "named"), OPTIONS, ids=lambda part: str(part)[:40])
def test_an_option(bench: Bench, words: list[str], named: str) -> None:
    done = bench(*words)
    assert done.code == 2, done.err
    assert named in done.err
    assert "bug" not in done.err and len(done.err) < 6000


SPACES = [
    ("width_mult = 1e300", "width_mult"),
    ("width_mult = 65", "width_mult"),
    (f"width_mult = {DIGITS}", "Exceeds the limit"),
    (f"width_mult = 0x{'f' * 2000}", "width_mult"),
    (f"norm_eps = {10**400}", "norm_eps"),
    ("norm_eps = 1e300", "norm_eps"),
    ("stages.depth = [1, 1000000000]", "stages.depth"),
    ("stages.width = [1000000000, 8, 8]", "stages.width"),
    ("stages.width = [60000, 60000, 60000]", "parameters"),
    ("stages.kernel = [1000000001]", "stages.kernel"),
    ("stages.expand = [1000000000]", "stages.expand"),
    ("stages.stride = 1000000000", "stages.stride"),
    (f"stages.width = {[8] * 30_000}", "stages.width"),
    (f"stages.expand = {list(range(1, 40))}\nstages.depth = [40]", "different costs"),
    ("resolution = {from = 1, to = 1000000, step = 1, listed = [8]}", "resolution.to"),
    ("resolution = {from = 1, to = 4096, step = 1, listed = [8]}", "resolution.step"),
    ("resolution = 1000000000", "resolution"),
    ("head.final = 1000000000", "head.final"),
    ("stem.width = 1000000000", "stem.width"),
    ("width_mult = true", "width_mult"),
    ("resolution = true", "resolution"),
    ("stages.depth = [true]", "stages.depth"),
]


@pytest.mark.parametrize(("line", "named"), SPACES, ids=lambda text: text[:40])
def test_a_space_s_table(bench: Bench, tmp_path: Path, line: str, named: str) -> None:
    keys = [part.partition(" ")[0] for part in line.split("\n")]
    file = tmp_path / "mine.toml"
    file.write_text(f'base = "toy"\nsummary = "s"\nsource = "s"\n{line}\n', encoding="utf-8")
    for words in (["space", "show", file], ["plan", "--space", file]):
        done = bench(*words)
        assert done.code == 2, (keys, done.err)
        assert named in done.err and "mine.toml" in done.err, done.err
        assert "bug" not in done.err and len(done.err) < 1500


def wide(parts: list[str]) -> str:
    return ".".join(parts) + " = 1"


FILES = {
    "long dotted key": wide(["a"] * 30_000),
    "long quoted key": wide(['"a b"'] * 15_000),
    "long escaped key": wide([r'"\""'] * 15_000),
    "long header": "[" + ".".join(["a"] * 30_000) + "]",
    "brackets": "a = " + "[" * 100_000,
    "braces": "a = " + "{a = " * 20_000,
    "digits": f"a = {DIGITS}",
    "hexadecimal": f"a = 0x{'f' * 100_000}",
    "deep": "a = " + "[" * 40 + "]" * 40,
    "large": "# comment\n" * 2_000_000,
    "not text": "\x00" * 100,
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    "words", [["run", "--recipe"], ["plan", "--space"], ["compare"]], ids=lambda w: w[-1]
)
def test_a_file(bench: Bench, tmp_path: Path, kind: str, words: list[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(FILES[kind], encoding="utf-8")
    done = bench(*words, file)
    assert done.code == 2, done.err
    assert "mine.toml" in done.err and "bug" not in done.err and len(done.err) < 1000


@pytest.mark.parametrize("words", [["run", "--recipe"], ["plan", "--space"], ["compare"]])
def test_a_pipe_is_not_waited_for(bench: Bench, tmp_path: Path, words: list[str]) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    done = bench(*words, tmp_path / "pipe.toml")
    assert done.code == 2 and "pipe.toml" in done.err


@pytest.mark.parametrize("key", ["workers", "epochs", "scale", "seeds"])
def test_a_comparison_s_booleans_are_no_numbers(bench: Bench, tmp_path: Path, key: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"{key} = true\n", encoding="utf-8")
    done = bench("compare", file)
    assert done.code == 2 and key in done.err, done.err


def test_numbers_that_are_meant_still_pass(bench: Bench) -> None:
    words = [f"--set={value}" for value in ("optim.lr=0.1", "optim.lr=10/270", "data.select=0.2")]
    assert bench("plan", *words, "--set", "optim.nesterov=false", "--epochs", "10/4").code == 0
    assert bench("plan", "--set", "optim.batch=64", "--scale", "0.5").code == 0


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_number_anywhere_in_a_table_is_read_or_refused(
    data: st.DataObject, tmp_path: Path
) -> None:
    key = data.draw(
        st.sampled_from(
            ["width_mult", "norm_eps", "resolution", "stem.width", "stem.stride", "head.mix"]
            + [f"stages.{axis}" for axis in ("width", "stride", "depth", "expand", "kernel")]
        )
    )
    number = st.one_of(st.integers(), st.floats(), st.booleans(), st.just(10**4000))
    value = data.draw(st.one_of(number, st.lists(number, max_size=4)))
    text = repr(value).replace("True", "true").replace("False", "false")
    file = tmp_path / "mine.toml"
    file.write_text(f'base = "toy"\nsummary = "s"\nsource = "s"\n{key} = {text}\n')
    try:
        space = load_space(file)
        assert space.macs(space.largest) > 0 and space.params(space.smallest) > 0
    except BenchError as error:
        assert "mine.toml" in error.message


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_setting_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BenchError):
        Layers().set(text, "--set")


def test_shipped_files_are_within_the_bounds() -> None:
    for path in (Path(__file__).parents[2] / "specs").rglob("*.toml"):
        load_toml(path)
