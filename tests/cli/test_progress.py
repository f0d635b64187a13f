"""What is said of a run while it goes on."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.cli import console
from ofa_bench.cli.views import progress
from ofa_bench.cli.views.progress import Log, ProgressView, watching
from ofa_bench.draws import Draw, Role
from ofa_bench.hooks.hookspecs import Outcome
from ofa_bench.planning.assemble import Assembly


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Loss:
    """A loss on a device: reading one is counted."""

    read = 0

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        Loss.read += 1
        return self.value


@pytest.fixture
def assembly() -> Assembly:
    return api.plan(method="deps", space="toy", epochs=2)


def outcome(assembly: Assembly, values: list[float]) -> Outcome:
    roles = [Role.LARGEST, Role.SAMPLED, Role.SAMPLED]
    draws = [Draw(assembly.space.largest, role) for role in roles[: len(values)]]
    losses: list[Any] = [Loss(value) for value in values]
    return Outcome(draws, losses, 0.1, [1.0] * len(draws), 64)


def followed(watch: ProgressView, assembly: Assembly) -> ProgressView:
    watch.follow(assembly)
    return watch


def test_it_moves_with_every_micro_batch(assembly: Assembly) -> None:
    clock = Clock()
    watch = followed(ProgressView(clock), assembly)
    step = assembly.schedule.step(0)
    shares = []
    for done in (1, 2):
        clock.now += 5.0
        watch.micro(step, done, 2)
        shares.append(watch.share)
        assert f"micro-batch {done}/2" in watch.text()
    assert 0 < shares[0] < shares[1]


def test_the_line_tells_all_there_is_to_tell(assembly: Assembly) -> None:
    clock = Clock()
    watch = followed(ProgressView(clock), assembly)
    for index in range(20):
        step = assembly.schedule.step(index)
        for done in (1, 2):
            clock.now += 0.5
            watch.micro(step, done, 2)
        watch.step(step, outcome(assembly, [1.5, 2.0, 3.0]))
    text = watch.text()
    assert text.startswith("warm · epoch 1.05/2 · step 20/38 · micro-batch 2/2 · ")
    assert "64 images/s" in text
    assert "loss largest 1.500 sampled 2.500" in text
    assert text.endswith(" left")


def test_the_share_is_of_macs_and_ends_at_one(assembly: Assembly) -> None:
    watch = followed(ProgressView(Clock()), assembly)
    shares = []
    for index in range(assembly.schedule.steps):
        watch.micro(assembly.schedule.step(index), 1, 1)
        shares.append(watch.share)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    warm = assembly.cost[0]
    of_all = warm.total / sum(cost.total for cost in assembly.cost)
    assert shares[warm.steps - 1] == pytest.approx(of_all)


def test_losses_are_read_at_most_twice_a_second(assembly: Assembly) -> None:
    clock = Clock()
    watch = followed(ProgressView(clock), assembly)
    Loss.read = 0
    for index in range(10):
        clock.now = index * 0.1
        watch.step(assembly.schedule.step(index), outcome(assembly, [1.0]))
    assert Loss.read == 2


def test_a_log_has_a_line_every_ten_seconds(
    assembly: Assembly, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    watch = followed(Log(clock), assembly)
    for index in range(30):
        clock.now += 1.0
        watch.micro(assembly.schedule.step(index), 1, 1)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("phase ")] == [
        "phase warm: 20 steps from step 0",
        "phase joint: 18 steps from step 20",
    ]
    assert len([line for line in lines if " images/s" in line]) == 3


def test_work_off_the_schedule_is_borne(assembly: Assembly) -> None:
    """The files may hold more images than the data set's table says."""
    longer = api.plan(method="deps", space="toy", epochs=4)
    watch = followed(ProgressView(Clock()), assembly)
    watch.micro(longer.schedule.step(longer.schedule.steps - 1), 1, 1)
    assert watch.share <= 1


def test_the_sealed_pass_has_its_own_line(assembly: Assembly) -> None:
    watch = followed(ProgressView(Clock()), assembly)
    watch.evaluating(3, 12)
    assert watch.share == 0.25 and watch.text().startswith("evaluation · 3 of 12 chunks")
    watch.clock.now += 8  # type: ignore[attr-defined]
    watch.evaluating(6, 12)
    assert watch.text() == "evaluation · 6 of 12 chunks · 16 s left"


def test_a_pipe_gets_lines_and_a_terminal_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with watching() as watch:
        assert isinstance(watch, Log)
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=SimpleNamespace(isatty=lambda: 1)))
    with watching() as watch:
        assert isinstance(watch, progress.Bar)


def test_the_bar_draws_without_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console.console_on(sys.stderr).print(console._bar(0.5, "[red]half[/red] \x1b[31mway"))
    err = capsys.readouterr().err
    assert "[red]half[/red] way" in err and "\x1b" not in err and "50%" in err


def test_waiting_for_images_is_told(assembly: Assembly) -> None:
    clock = Clock()
    watch = followed(ProgressView(clock), assembly)
    step = assembly.schedule.step(0)
    watch.micro(step, 1, 2)
    assert "waiting" not in watch.text()
    clock.now = 10.0
    watch.waited(2.5)
    watch.micro(step, 2, 2)
    assert "25% waiting for images" in watch.text()


@pytest.mark.parametrize(("waited", "warned"), [(0.5, 1), (0.05, 0)])
def test_waiting_for_images_is_warned_of_once(
    assembly: Assembly, capsys: pytest.CaptureFixture[str], waited: float, warned: int
) -> None:
    """Not for the first batches, which workers have yet to start for."""
    clock = Clock()
    watch = followed(ProgressView(clock), assembly)
    with console.speaking(as_json=False):
        watch.waited(300.0)
        for second in range(100):
            watch.micro(assembly.schedule.step(min(second, 9)), 1, 2)
            clock.now += 1.0
            watch.waited(waited)
            text = capsys.readouterr().err
            assert "waiting for images" not in text or second == 20
            warned -= "data prepare digits --cache" in text
    assert warned == 0


def test_work_on_files_is_told_of_early_with_the_time_left(
    capsys: pytest.CaptureFixture[str], assembly: Assembly
) -> None:
    clock = Clock()
    log = Log(clock)
    followed(log, assembly)
    for second in range(15):
        clock.now = float(second)
        log.files("hashing files", 100 * second, 2000)
    first, second, *more = capsys.readouterr().err.splitlines()
    assert first == " 10% hashing files · 200 of 2,000 · 18 s left" and more == []
    assert second.startswith(" 60% hashing files · 1,200 of 2,000 · 8.0 s left")
    log.files("decoding", 5, 5)
    assert capsys.readouterr().err == ""  # done within a moment
    log.begin(10, 0)
    assert log.share == 0 and "decoding" not in log.text()
