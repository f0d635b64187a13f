"""A checkpoint is taken up whole or not at all; what no run leaves behind is left out."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ofa_bench import api
from ofa_bench.errors import BenchError, ResumeError
from ofa_bench.hooks.bus import Bus
from ofa_bench.training import callbacks
from ofa_bench.training.callbacks import Silent, lost_seconds
from ofa_bench.training.checkpoint import Checkpoints, deserialized, serialized
from ofa_bench.training.cost_ledger import Ledger

TINY: dict[str, Any] = {"method": "deps", "dataset": "digits", "space": "toy", "epochs": 0.6}
TINY |= {"set": ("evaluate.per_bucket=1", "evaluate.buckets=1", "evaluate.curve=2")}
CPU = torch.device("cpu")
MOMENT = 8  # the step that is killed; the last checkpoint but one is of one step earlier


class Killed(BaseException):
    """Nothing may catch it, as nothing catches a SIGKILL."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    return api.run(**TINY, results=tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run that was killed; tests change copies of them."""
    torch.set_num_threads(1)
    results = tmp_path_factory.mktemp("killed")
    tell = Bus.after_step

    def kill(bus: Bus, step: Any, outcome: Any) -> None:
        if step.index == MOMENT:
            raise Killed
        tell(bus, step, outcome)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bus, "after_step", kill)
        patch.setattr(Checkpoints, "due", property(lambda self: True))
        with pytest.raises(Killed):
            api.run(**TINY, results=results)
    return results


@pytest.fixture
def folder(killed: Path, tmp_path: Path) -> Path:
    """A run's folder with two checkpoints, of a process that was killed."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    (run,) = (tmp_path / "runs").iterdir()
    assert len(list((run / "checkpoint").glob("*.pt"))) == 2
    return run


def test_a_flipped_bit_is_never_taken_up(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    state = {"run_id": "a", "step": 1, "weights": torch.arange(2000.0), "ledger": [{"steps": 1}]}
    checkpoints.save(1, state)
    checkpoints.save(2, {**state, "step": 2})
    newest = tmp_path / "000000002.pt"
    raw, source = newest.read_bytes(), random.Random(0)
    for place in (source.randrange(8 * len(raw)) for _ in range(400)):
        damaged = bytearray(raw)
        damaged[place // 8] ^= 1 << place % 8
        newest.write_bytes(bytes(damaged))
        found = checkpoints.load("a", CPU)
        assert found is not None
        assert found["step"] == 1, place
    newest.write_bytes(raw)
    assert checkpoints.load("a", CPU)["step"] == 2  # type: ignore[index]


def test_a_truncated_newest_checkpoint_falls_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 0)
    checkpoints.save(1, {"run_id": "a", "step": 1})
    checkpoints.save(2, {"run_id": "a", "step": 2})
    newest = tmp_path / "000000002.pt"
    newest.write_bytes(newest.read_bytes()[:40])
    state = checkpoints.load("a", CPU)
    assert state is not None
    assert state["step"] == 1


def test_a_run_goes_on_from_the_older_checkpoint(folder: Path, whole: Any) -> None:
    newest = sorted((folder / "checkpoint").glob("*.pt"))[-1]
    raw = bytearray(newest.read_bytes())
    raw[len(raw) // 2] ^= 1
    newest.write_bytes(bytes(raw))
    again = api.resume(str(folder))
    assert again.weights_sha256 == whole.weights_sha256
    assert again.cost.train_macs == whole.cost.train_macs
    assert again.curve == whole.curve


Change = Callable[[dict[str, Any]], None]


def _put(*path: Any, value: Any) -> Change:
    def change(state: dict[str, Any]) -> None:
        inner: Any = state
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value

    return change


def _drop(*path: Any) -> Change:
    def change(state: dict[str, Any]) -> None:
        inner: Any = state
        for part in path[:-1]:
            inner = inner[part]
        del inner[path[-1]]

    return change


def _first(state: dict[str, Any]) -> str:
    return str(next(iter(state["parameters"])))


CHANGES: dict[str, Change] = {
    "no ledger": _drop("ledger"),
    "an empty ledger": _put("ledger", value=[]),
    "a ledger that cost nothing": lambda s: s["ledger"][0]["macs"].clear(),
    "passes that cost nothing": lambda s: s["ledger"][0]["macs"].update(largest=0),
    "no passes": lambda s: s["ledger"][0].update(passes={}, macs={}),
    "endless time": _put("ledger", 0, "wall_seconds", value=float("inf")),
    "no time": _put("ledger", 0, "wall_seconds", value=float("nan")),
    "less time of devices than of the clock": _put("ledger", 0, "device_seconds", value=0.0),
    "endless time of devices": _put("ledger", 0, "device_seconds", value=float("inf")),
    "no ranks": _put("world", value=0),
    "fewer steps": _put("ledger", 0, "steps", value=1),
    "huge passes": _put("ledger", 0, "images", value=10**30),
    "a step beyond the end": _put("step", value=10**6),
    "a step before the start": _put("step", value=-1),
    "a step of another file": _put("step", value=3),
    "a step that is no number": _put("step", value="8"),
    "a junk curve": _put("curve", value=[{"step": 10**30, "junk": 1}]),
    "a curve of the future": _put("curve", value=[{"step": 10**6, "epoch": 1.0, "phase": "x"}]),
    "a curve that is no list": _put("curve", value=7),
    "no parameters": _drop("parameters"),
    "a parameter too few": lambda s: s["parameters"].pop(_first(s)),
    "a parameter of another shape": lambda s: s["parameters"].update({_first(s): torch.ones(3)}),
    "parameters of integers": lambda s: s["parameters"].update(
        {_first(s): s["parameters"][_first(s)].long()}
    ),
    "no optimizer": _put("optimizer", value={"cohorts": [], "torch": None}),
    "an optimizer of strangers": _put("optimizer", "cohorts", value=[["nobody"]]),
    "another weight decay": _put("optimizer", "torch", "param_groups", 0, "weight_decay", value=9),
    "another momentum": _put("optimizer", "torch", "param_groups", 0, "momentum", value=0.1),
    "no policies": _put("policies", value={"stranger": {}}),
    "no time of writing": _put("at", value="now"),
    "an endless interval": _put("interval", value=float("inf")),
    "a beginning that is a path": _put("prefix", value="../../x"),
    "notes that are none": _put("notes", value=3),
    "mistakes that are none": _put("mistakes", value={"x": [10**40, 3]}),
    "no keys": lambda s: s.clear(),
}


def test_what_no_run_leaves_behind_falls_back(folder: Path, whole: Any) -> None:
    """Whatever the newest holds, the older one is taken; if both do, that is a sentence."""
    older, newest = sorted((folder / "checkpoint").glob("*.pt"))
    good = deserialized(newest, CPU)
    kept = {path: path.read_bytes() for path in (older, newest)}
    steps: list[int] = []

    class Enough(BaseException):
        pass

    class Watch(Silent):
        def begin(self, total_steps: int, done: int) -> None:
            steps.append(done)
            raise Enough

    for name, change in CHANGES.items():
        state = copy.deepcopy(good)
        run_id = state["run_id"]
        change(state)
        state["run_id"] = run_id
        newest.write_bytes(serialized(state))
        with pytest.raises(Enough):
            api.resume(str(folder), progress=Watch())
        assert steps[-1] == int(older.stem), name
        older.write_bytes(serialized(state) if "another file" in name else newest.read_bytes())
        with pytest.raises(ResumeError, match="can be used") as caught:
            api.resume(str(folder))
        assert "--fresh" in caught.value.hint, name
        older.write_bytes(kept[older])
    newest.write_bytes(kept[newest])
    assert api.resume(str(folder)).weights_sha256 == whole.weights_sha256


def test_another_runs_checkpoint_is_a_sentence(folder: Path) -> None:
    newest = sorted((folder / "checkpoint").glob("*.pt"))[-1]
    newest.write_bytes(serialized({**deserialized(newest, CPU), "run_id": "f" * 64}))
    with pytest.raises(ResumeError, match="not"):
        api.resume(str(folder))


def test_a_stranger_among_the_checkpoints_is_left_out(folder: Path, whole: Any) -> None:
    """A link to a file without an end, and a name that is no number of a step."""
    (folder / "checkpoint" / "999999999.pt").symlink_to("/dev/zero")
    (folder / "checkpoint" / "1x.pt").write_bytes(b"x")
    try:
        again = api.resume(str(folder))
    except BenchError as error:
        assert "checkpoint" in error.message
    else:
        assert again.weights_sha256 == whole.weights_sha256


EVENTS = [
    '{"at": Infinity, "event": "step"}',
    '{"at": NaN, "event": "step"}',
    '{"at": 1' + "0" * 400 + ', "event": "step"}',
    '{"at": 1' + "0" * 5000 + ', "event": "step"}',
    '{"at": "x", "event": "step"}',
    "[" * 100_000,
    "null",
    '{"at": -1e300, "event": "start"}',
    "\x00\xff",
]


def test_lost_time_goes_to_the_last_heartbeat_of_each_process(tmp_path: Path) -> None:
    """Progress lines are up to a minute apart, heartbeats two seconds."""
    log, beat = tmp_path / "events.jsonl", tmp_path / "heartbeat"

    def write(*events: tuple[float, str, dict[str, Any]]) -> None:
        lines = [json.dumps({"at": at, "event": kind, **more}) for at, kind, more in events]
        log.write_text("\n".join(lines) + "\n")

    start = (0.0, "start", {"beat": 0.0})
    write(start, (130.0, "step", {}))
    assert lost_seconds(log, 100.0, 1e3, 2) == ([(30.0, 2)], 0.0)
    beat.write_text("188.000\n")
    assert lost_seconds(log, 100.0, 1e3, 2) == ([(88.0, 2)], 0.0)
    assert lost_seconds(log, 100.0, 50.0, 2) == ([(50.0, 2)], 38.0)
    assert lost_seconds(log, 190.0, 1e3, 2) == ([], 0.0)
    # A second process went on at 500 and was killed at 520, before it saved anything.
    write(start, (130.0, "step", {}), (500.0, "start", {"beat": 188.0}))
    assert lost_seconds(log, 100.0, 1e3, 2) == ([(88.0, 2)], 0.0)
    beat.write_text("520.000\n")
    assert lost_seconds(log, 100.0, 1e3, 2) == ([(88.0, 2), (20.0, 2)], 0.0)
    for text in ("", "nan", "inf", "x" * 1000, "1e400"):
        beat.write_text(text)
        assert lost_seconds(log, 100.0, 1e3, 2)[0] == [(88.0, 2)], text


@pytest.mark.parametrize(
    ("world", "ranks"), [(4, 4), (None, 2), (0, 2), (-1, 2), (True, 2), ("4", 2), (10**9, 2)]
)
def test_lost_time_is_that_of_the_ranks_that_lost_it(
    world: Any, ranks: int, tmp_path: Path
) -> None:
    """Two ranks save at 100 s and die at 112 s; four go on, and die before they save."""
    space: Any = SimpleNamespace(macs=lambda subnet, classes: 1)
    log, ledger = tmp_path / "events.jsonl", Ledger(space, 10)
    events = [
        {"at": 90.0, "event": "start", "beat": 0.0, "world": 3},
        {"at": 500.0, "event": "start", "beat": 112.0, "world": world},
    ]
    log.write_text("\n".join(map(json.dumps, events)) + "\n")
    (tmp_path / "heartbeat").write_text("600.0\n")
    kills, beyond = lost_seconds(log, 100.0, 1e3, 2)
    assert (kills, beyond) == ([(12.0, 2), (100.0, ranks)], 0.0)
    ledger.enter("warm")
    ledger.pause()
    before = ledger.row.device_seconds
    assert ledger.charge_lost(kills) == 112.0
    assert ledger.row.device_seconds - before == pytest.approx(24.0 + 100.0 * ranks)


def test_a_killed_run_leaves_its_last_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "HEARTBEAT", 0.0)
    log = callbacks.EventLog(tmp_path / "events.jsonl", draws=False, world=4)
    step: Any = SimpleNamespace(index=0)
    outcome: Any = SimpleNamespace(draws=(), losses=(), shares=(), lr=0.1)
    log.after_step(step, outcome)
    before = callbacks.last_beat(tmp_path / "events.jsonl")
    log.close()
    log.run_start(SimpleNamespace(run_id="a"))
    log.after_step(step, outcome)
    log.close()
    events = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    starts = [event for event in events if event["event"] == "start"]
    assert [(event["beat"], event["world"]) for event in starts] == [(before, 4)]
    assert callbacks.last_beat(tmp_path / "events.jsonl") >= before > 1e9
    (tmp_path / "heartbeat").unlink()
    (tmp_path / "heartbeat").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BenchError, match="heartbeat"):
        log.after_step(step, outcome)
    assert callbacks.last_beat(tmp_path / "events.jsonl") == 0.0


def test_device_time_is_that_of_the_ranks_there_were(folder: Path, whole: Any) -> None:
    """A run of three ranks goes on alone; a checkpoint from before device time was kept will do."""
    for path in (folder / "checkpoint").glob("*.pt"):
        state = {**deserialized(path, CPU), "world": 3}
        for row in state["ledger"]:
            del row["device_seconds"]
        path.write_bytes(serialized(state))
    spent = sum(row["wall_seconds"] for row in state["ledger"])
    again = api.resume(str(folder))
    assert again.weights_sha256 == whole.weights_sha256
    wall, device = again.cost.wall_seconds, again.cost.device_seconds
    assert wall > spent > 0
    assert device >= wall + 2 * spent * (1 - 1e-9)
    assert device < 3 * wall


@pytest.mark.parametrize("ahead", [3.15e7, 5.0], ids=["a year ahead", "seconds"])
def test_lost_time_is_what_a_checkpoint_explains(ahead: float, folder: Path, whole: Any) -> None:
    newest = deserialized(sorted((folder / "checkpoint").glob("*.pt"))[-1], CPU)
    lines = [*EVENTS, f'{{"at": {newest["at"] + ahead}, "event": "step"}}']
    with (folder / "events.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    again = api.resume(str(folder))
    spent = sum(row["wall_seconds"] for row in newest["ledger"])
    assert again.weights_sha256 == whole.weights_sha256
    clock = [note for note in again.task.notes if "clock" in note]
    if ahead > 100:
        assert spent < again.cost.wall_seconds < spent + 120
        assert clock
    else:
        assert again.cost.wall_seconds > spent + ahead
        assert not clock
