"""Launchers without a cluster: the site's file, the scripts, the states, and the contract."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ofa_bench import api
from ofa_bench.hooks.catalogue import discover
from ofa_bench.launch import handover
from ofa_bench.launch.folder import LaunchFolder, run_key
from ofa_bench.launch.handover import LaunchedRun, survey
from ofa_bench.launch.launcher import LaunchBatch, LaunchTask, QueueState, open_launcher
from ofa_bench.launch.slurm import SlurmLauncher, SlurmOptions, _rows, _seconds
from ofa_bench.planning.identity import identify
from ofa_bench.recipe.fingerprint import canonical
from ofa_bench.records.schema import sealed
from ofa_bench.records.store import Store
from ofa_bench.seeding import digest
from ofa_bench.testing import check_plugin
from tests.cli.conftest import Bench
from tests.records.factory import make

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
QUICK = ("--space", "toy", "--epochs", "1", "--set", "evaluate.per_bucket=1")
QUICK += ("--set", "evaluate.curve=0")


def opened(path: Path, text: str) -> Any:
    path.write_text(text)
    return open_launcher(str(path), discover().catalogue)


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"<!-- slurm.toml -->\n```toml\n(.*?)```", PAGE, re.S)
    launcher = opened(tmp_path / "slurm.toml", text)
    assert isinstance(launcher, SlurmLauncher)
    assert launcher.options.environment[0] == "module load cuda"
    named = {*re.findall(r"^(\w+) = ", text, re.M), *re.findall(r"^\| `(\w+)` \|", PAGE, re.M)}
    assert set(SlurmOptions.model_fields) <= named


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        ("partitoin = 'x'", "partitoin", "did you mean partition?"),
        (r'partition = "a\nb"', "partition", "line end"),
        (r'account = "a\u0000"', "account", "line end"),
        (r'environment = ["a\r"]', "environment", "line end"),
        ("gpus = true", "gpus", "true"),
        ("gpus = -1", "gpus", "greater"),
        ("time = 'soon'", "time", "pattern"),
        ("time = '6:59'", "time", "no less than 420 s"),
        ("grace = 600\ntime = '0:14:59'", "time", "no less than 900 s"),
        ("grace = 59", "grace", "60"),
        ("sbatch = ['--array=0-9']", "sbatch", "sets itself"),
        ("sbatch = ['--wrap=touch hurt']", "sbatch", "sets itself"),
        ("sbatch = ['script.sh']", "sbatch", "no flag"),
        ("sbatch = ['-Jother']", "sbatch", "sets itself"),
        ("sbatch = ['--time=2']", "sbatch", "sets itself"),
        ("container = 'image'", "container", "tuple"),
        ("nodes = 0", "nodes", "greater"),
        ("= 1", "TOML", ""),
    ],
)
def test_a_site_that_cannot_be_meant_is_refused(
    bench: Bench, tmp_path: Path, line: str, key: str, hint: str
) -> None:
    site = tmp_path / "slurm.toml"
    begin = "" if "gpus" in line else "gpus = 1\n"
    site.write_text(f'launcher = "slurm"\n{begin}{line}\n')
    done = bench("compare", *QUICK, "--launch", site, "--dry-run")
    assert done.code == 2 and key in done.err and hint in done.err, done.err
    assert "slurm.toml" in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--dry-run",), "--dry-run needs --launch"),
        (("--retry",), "--retry needs --launch"),
        (("--launch", "lines", "--devices", "cpu"), "exclude each other"),
        (("--launch", "lines", "--fresh"), "exclude each other"),
        (("--launch", "slrm"), "there is no such file"),
        (("--launch", "slurm"), "gpus"),
        (("--launch", "local"), "devices"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    bench: Bench, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = bench("compare", *QUICK, "--results", tmp_path / "r", *words)
    assert done.code == 2 and said in done.err
    assert not (tmp_path / "r").exists()


def test_a_site_without_a_launcher_is_refused(bench: Bench, tmp_path: Path) -> None:
    for text, said in (("gpus = 1", "launcher: is missing"), ('launcher = "pbs"', "slurm")):
        (tmp_path / "site.toml").write_text(text)
        done = bench("compare", *QUICK, "--launch", tmp_path / "site.toml")
        assert done.code == 2 and said in done.err


def test_a_comparison_of_others_does_not_choose_who_launches(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "comparison.toml"
    for line in ('launch = "site.toml"', "dry-run = true", "retry = true"):
        file.write_text(line)
        done = bench("compare", file)
        assert done.code == 2 and "no such key" in done.err


def test_lines_are_shell_lines_and_nothing_else(bench: Bench, tmp_path: Path) -> None:
    """A path that a shell would take for something else arrives as it is."""
    results, python = tmp_path / "it's $(touch hurt) here", tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$OFA_BENCH_DATA" "$@"\n')
    python.chmod(0o755)
    site = tmp_path / "lines.toml"
    site.write_text(f'launcher = "lines"\npython = "{python}"\n')
    line = ("compare", "--methods", "ofa,compofa,deps", "--seeds", "2", *QUICK)
    line += ("--results", results, "--launch", site)
    done = bench(*line)
    lines = done.out.splitlines()
    assert done.code == 0 and len(lines) == 4, "ofa and compofa begin alike"
    for text in lines:
        subprocess.run(["sh", "-c", text], check=True, cwd=tmp_path)
    folder = results / "runs" / "launches"
    for text in lines:
        answer = Path(shlex.split(text)[-2].removeprefix(">"))
        _, *words = answer.read_text().splitlines()
        assert words[:3] == ["-m", "ofa_bench", "compare"]
        assert words[4:6] == ["--results", str(results)]
        assert Path(words[3]).parent == folder.absolute() and Path(words[3]).is_file()
    assert not list(tmp_path.glob("**/hurt")) and not Path("hurt").exists()


def test_a_folder_whose_name_would_break_a_script_is_refused(bench: Bench, tmp_path: Path) -> None:
    done = bench("compare", *QUICK, "--results", tmp_path / "a\nb", "--launch", "lines")
    assert done.code == 2 and "line ends" in done.err


def test_a_line_trains_and_the_same_command_collects(bench: Bench, tmp_path: Path) -> None:
    """Options, tables and plugins of the command reach the run, from another folder."""
    plugin = tmp_path / "noted.py"
    plugin.write_text(
        "from ofa_bench import hookimpl\n"
        "class Noted:\n    @hookimpl\n    def run_end(self, record): pass\n"
        "@hookimpl\ndef register(catalogue):\n    catalogue.extra('noted', Noted)\n"
    )
    (tmp_path / "recipe.toml").write_text("[optim]\nmomentum = 0.5\n")
    line = ("compare", "--methods", "deps", "--seeds", "3,", *QUICK, "--with", "noted")
    line += ("--plugin", plugin, "--recipe", tmp_path / "recipe.toml")
    line += ("--space", os.path.relpath(ROOT / "specs" / "spaces" / "toy.toml"))
    there = ("--results", tmp_path / "there")
    text = bench(*line, *there, "--launch", "lines").out
    subprocess.run(["sh", "-c", text], check=True, cwd=tmp_path)
    done = bench(*line, *there, "--launch", "lines", "--json")
    assert done.code == 0 and done.json["launch"]["states"]["done"] == 1
    assert done.json["launch"]["submitted"] == 0 and "script" not in done.json["launch"]
    (path,) = (tmp_path / "there").glob("records/*/*/*.json")
    record = json.loads(path.read_text())
    assert record["seed"] == 3 and record["science"]["optim"]["momentum"] == 0.5
    assert record["science"]["extras"] == ["noted"]
    more = bench(*line, *there, "--seeds", "3,4", "--launch", "lines", "--json").json["launch"]
    assert more["states"]["done"] == 1 and len(more["script"].splitlines()) == 1


def test_local_is_what_devices_are(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def run_in_parallel(*words: Any) -> Any:
        calls.append(words)
        return [], []

    site = tmp_path / "local.toml"
    site.write_text('launcher = "local"\ndevices = ["cpu", "cpu"]\n')
    monkeypatch.setattr("ofa_bench.cli.parallel_runs.run_in_parallel", run_in_parallel)
    done = bench("compare", *QUICK, "--results", tmp_path / "r", "--launch", site)
    assert done.code == 0 and list(calls[0][2]) == ["cpu", "cpu"]


def test_ground_truth_is_launched_too(bench: Bench, tmp_path: Path) -> None:
    """One task a net and seed; the supernets are scored once all are there."""
    shutil.copytree(ROOT / "results" / "toy", tmp_path / "toy")
    line = ("truth", "deps", "--nets", "4", "--seeds", "2", "--epochs", "1")
    line += ("--results", tmp_path / "toy", "--launch", "lines")
    done = bench(*line)
    assert done.code == 0 and len(done.out.splitlines()) == 8 and "8 missing" in done.err
    document = bench(*line, "--dry-run", "--json").json
    assert document["launch"]["states"]["missing"] == 8


# The task script, with Slurm's commands and the interpreter replaced by small ones.


def batch(folder: Path, **more: Any) -> LaunchBatch:
    folder.mkdir(parents=True, exist_ok=True)
    task = LaunchTask("0" * 16, ("0" * 16,), ("one",), ("a b", "$x"), folder / "a", folder / "l")
    return LaunchBatch("ofa-bench-00000000-1", folder, folder, (task,), **more)


def tools(folder: Path, python: str, scontrol: str = 'echo " JobState=RUNNING "') -> dict[str, str]:
    """An interpreter and a scontrol that writes down what it is called with."""
    folder.mkdir()
    (folder / "python").write_text(f"#!/bin/bash\n{python}\n")
    (folder / "scontrol").write_text(f'#!/bin/bash\necho "$@" >>{folder}/called\n{scontrol}\n')
    for name in ("python", "scontrol"):
        (folder / name).chmod(0o755)
    job = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    return {**os.environ, **job, "PATH": f"{folder}:{os.environ['PATH']}"}


def called(folder: Path) -> list[str]:
    path = folder / "called"
    return path.read_text().splitlines() if path.exists() else []


def started(tmp_path: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    launcher = SlurmLauncher(SlurmOptions(gpus=0, python="python"))
    script = tmp_path / "script.sh"
    script.write_text(launcher.script(batch(tmp_path / "batch")))
    return subprocess.Popen(["bash", str(script)], env=env, stderr=subprocess.DEVNULL)


SAVING = """trap 'sleep 0.3; echo "{\\"exit\\": 130}"; exit 130' TERM
echo $$ >"$(dirname "$0")/pid"; for i in {1..300}; do sleep 0.1; done"""


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_passed_on_and_this_task_is_requeued(name: int, tmp_path: Path) -> None:
    env = tools(tmp_path / "bin", SAVING)
    process = started(tmp_path, env)
    while not (tmp_path / "bin" / "pid").exists():
        time.sleep(0.02)
    process.send_signal(name)
    process.send_signal(name)
    assert process.wait(timeout=60) == 130
    assert called(tmp_path / "bin") == ["--oneliner show job 7_0", "requeue 7_0"]
    assert json.loads((tmp_path / "batch" / "a").read_text()) == {"exit": 130}


@pytest.mark.parametrize(
    ("reason", "again"), [("", False), (" DUE TO PREEMPTION", True), (" DUE TO TIME LIMIT", True)]
)
def test_a_cancelled_task_is_not_requeued(reason: str, again: bool, tmp_path: Path) -> None:
    """A pre-empted one is, also where the site has pre-emption cancel."""
    env = tools(tmp_path / "bin", SAVING, 'echo " JobState=COMPLETING "') | {"SLURM_JOB_ID": "9"}
    said = "slurmstepd: error: *** JOB 9 ON node CANCELLED AT 2026-11-27T21:54:19"
    log = batch(tmp_path / "batch").folder / "ofa-bench-00000000-1.log"
    log.write_text(f"{said} DUE TO PREEMPTION ***\n")  # before it was requeued
    process = started(tmp_path, env)
    while not (tmp_path / "bin" / "pid").exists():
        time.sleep(0.02)
    with log.open("a") as file:
        file.write(f"{said}{reason} ***\n")
    process.terminate()
    assert process.wait(timeout=60) == 130
    assert ("requeue 7_0" in called(tmp_path / "bin")) is again


def test_a_task_restarts_so_often_and_no_more(tmp_path: Path) -> None:
    env = tools(tmp_path / "bin", SAVING) | {"SLURM_RESTART_COUNT": "100"}
    process = started(tmp_path, env)
    while not (tmp_path / "bin" / "pid").exists():
        time.sleep(0.02)
    process.terminate()
    assert process.wait(timeout=60) == 130
    assert "requeue 7_0" not in called(tmp_path / "bin")


@pytest.mark.parametrize(("code", "text"), [(0, "{}"), (2, "{}"), (137, "")])
def test_an_end_of_its_own_is_the_tasks_end(code: int, text: str, tmp_path: Path) -> None:
    """A run that is killed leaves an answer all the same."""
    env = tools(tmp_path / "bin", f'printf "%s" "{text}"; exit {code}')
    assert started(tmp_path, env).wait(timeout=60) == code
    assert called(tmp_path / "bin") == []
    answer = (tmp_path / "batch" / "a").read_text()
    assert answer == text if text else json.loads(answer)["exit"] == code


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gpus": 1}, ['python -m ofa_bench "$@"']),
        ({"gpus": 4}, ["torch.distributed.run", "--nproc-per-node=4", "--standalone"]),
        (
            {"gpus": 4, "nodes": 2},
            ["srun --nodes=2", "--nnodes=2", "--rdzv-backend=c10d", '--rdzv-id="$SLURM_JOB_ID"'],
        ),
        ({"gpus": 4, "nodes": 2, "cpus": 8}, ["--ntasks-per-node=1 --cpus-per-task=8"]),
        ({"gpus": 1, "container": ("apptainer", "exec", "a b.sif")}, ["'a b.sif' python -m"]),
    ],
)
def test_how_a_task_is_started(options: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    launcher = SlurmLauncher(SlurmOptions(python="python", **options))
    text = launcher.script(batch(tmp_path))
    assert all(word in text for word in words), text
    assert ("srun" in text) is ("nodes" in options) is ("scancel --signal=TERM" in text)
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert checked.returncode == 0 and not checked.stderr


def test_the_time_limit_follows_what_was_measured(tmp_path: Path) -> None:
    def flags(rates: Mapping[str, float], **options: Any) -> str:
        made = batch(tmp_path, rates=rates)
        tasks = (LaunchTask("0" * 16, (), (), (), tmp_path, tmp_path, macs=3.6e15),)
        return SlurmLauncher(SlurmOptions(**options)).script(
            LaunchBatch(made.name, tmp_path, tmp_path, tasks, {}, rates)
        )

    assert "--time" not in flags({}, gpus=1) and "--time" not in flags({"cpu": 1e12}, gpus=1)
    assert "--time=1:40:00" in flags({"cuda": 1e12}, gpus=1)
    assert "--time=0:33:00" in flags({"cuda": 1e12}, gpus=4)
    assert "--time=24:00:00" in flags({"cpu": 1e9}, gpus=0)
    assert "--time=1:05:00" in flags({"cuda": 1e15}, gpus=1, grace=3600)  # not before its grace
    assert "--time=2:00:00" in flags({"cuda": 1e12}, gpus=1, time="2:00:00")


# States.


class Queue:
    """A launcher that knows what it is told."""

    queues, devices = True, ()

    def __init__(self, **states: QueueState) -> None:
        self.known = {("ofa-bench-00000000-1", int(k[1:])): v for k, v in states.items()}

    def states(self, names: Any) -> Any:
        return {place: state for place, state in self.known.items() if place[0] in names}


@pytest.fixture
def runs() -> list[LaunchedRun]:
    made = []
    for seed in range(3):
        asked = api.request(method="deps", space="toy", epochs=1, seed=seed)
        assembly = api.plan(method="deps", space="toy", epochs=1, seed=seed)
        made.append(LaunchedRun(run_key(asked, assembly), f"seed {seed}", asked, assembly))
    return made


def submitted(runs: list[LaunchedRun], store: Store) -> LaunchFolder:
    folder = LaunchFolder(store.results)
    tasks = [{"key": run.key, "runs": [run.key]} for run in runs]
    name = "ofa-bench-00000000-1"
    folder.write(name, "json", json.dumps({"name": name, "launcher": "x", "tasks": tasks}))
    return folder


def states(runs: list[LaunchedRun], store: Store, queue: Any = None) -> list[str]:
    return [run.state for run in survey(runs, store, queue or Queue())]


def test_states(runs: list[LaunchedRun], tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert states(runs, store) == ["missing"] * 3
    folder = submitted(runs, store)
    assert states(runs, store) == ["stopped"] * 3
    queue = Queue(t0=QueueState("queued"), t1=QueueState("running"), t2=QueueState("ended"))
    assert states(runs, store, queue) == ["queued", "running", "stopped"]
    for key, answer in zip(
        [run.key for run in runs],
        ({"error": "interrupted", "exit": 130}, {"error": "no images", "exit": 2}, {}),
        strict=True,
    ):
        folder.write(key, "json", json.dumps(answer))
    assert states(runs, store) == ["stopped", "failed", "stopped"]
    assert states(runs, store, queue) == ["queued", "running", "stopped"]
    ends = {"runs": [{"key": runs[2].key, "error": "the loss is not finite"}]}
    folder.write(runs[2].key, "json", json.dumps(ends))
    surveyed = survey(runs, store, Queue())
    assert surveyed[2].state == "failed" and "not finite" in surveyed[2].detail
    assert [run.key for run in handover.to_submit(surveyed, retry=False)] == [runs[0].key]
    assert len(handover.to_submit(surveyed, retry=True)) == 3


def test_an_answer_is_believed_as_far_as_its_record_goes(
    runs: list[LaunchedRun], tmp_path: Path
) -> None:
    store = Store(tmp_path)
    folder = submitted(runs, store)
    record, bits = make("deps", 0, 70.0)
    science = runs[0].assembly.science.model_dump(mode="json")
    fields = {**record.model_dump(by_alias=True), "science": science}
    fields["task"]["space"]["fingerprint"] = runs[0].assembly.space.fingerprint()
    record = sealed(fields)
    store.write(record, bits)
    for run in runs:
        ends = {"runs": [{"key": run.key, "run": record.run.id}]}
        folder.write(run.key, "json", json.dumps(ends))
    assert states(runs, store) == ["done", "stopped", "stopped"], "a record of seed 0"
    longer = api.plan(method="deps", space="toy", epochs=2, seed=0)
    other = replace(runs[0], assembly=longer)
    assert states([other], store) == ["stopped"], "a record of one epoch"
    wider = api.plan(method="deps", space="laptop-8", epochs=1, seed=0).space
    other = replace(runs[0], assembly=replace(runs[0].assembly, space=wider))
    assert states([other], store) == ["stopped"], "a record of another space"
    store.path(record).unlink()
    assert states(runs, store)[0] == "stopped"


def test_weights_to_start_from_are_known_by_their_bytes(tmp_path: Path) -> None:
    """Not by times or paths: a run's folder changes when somebody looks at it."""
    plain: dict[str, Any] = {"method": "deps", "space": "toy", "epochs": 1}
    assembly = api.plan(**plain)

    def key(**starts: Any) -> str:
        return run_key(replace(api.request(**plain), **starts), assembly)

    teacher, moved = tmp_path / "run", tmp_path / "moved"
    teacher.mkdir()
    (teacher / "weights.safetensors").write_bytes(b"some weights")
    first = key(teacher=str(teacher))
    (teacher / "lock").touch()
    os.utime(teacher / "weights.safetensors", (1, 1))
    assert key(teacher=str(teacher)) == first
    teacher.rename(moved)
    assert key(teacher=str(moved)) == first
    assert key(teacher=str(moved / "weights.safetensors")) == first
    assert key(teacher=f"{moved}::ema") != first
    assert len({key(), first, key(init=str(moved)), key(teacher=str(teacher))}) == 4
    (moved / "weights.safetensors").write_bytes(b"other weights")
    assert key(teacher=str(moved)) != first
    assert key(teacher=str(moved)) != key(init=str(moved))
    os.mkfifo(tmp_path / "pipe")
    assert key(teacher=str(tmp_path / "pipe")) != first


def test_the_key_of_a_run_that_starts_from_nothing_stays_what_it_was() -> None:
    """Or a comparison that an earlier version submitted would be submitted again."""
    plain: dict[str, Any] = {"method": "deps", "space": "toy", "epochs": 1}
    assembly = api.plan(**plain)
    science = {**assembly.science.model_dump(mode="json"), "space": "toy"}
    code = identify(assembly, "", {}).hashed.code
    parts = (canonical(science), assembly.recipe.seed, code, "", [], None)
    asked = api.request(**plain)
    assert asked.init_head is None
    assert run_key(asked, assembly) == digest(*parts)[:16]


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "null", '{"runs": 3}', '{"runs": [{"key": "../x"}]}', "[" * 10**5]
)
def test_files_that_cannot_be_read_say_nothing(
    runs: list[LaunchedRun], text: str, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    folder = submitted(runs, store)
    folder.write(runs[0].key, "json", text)
    folder.write("ofa-bench-11111111-1", "json", text)
    assert states(runs, store) == ["stopped"] * 3


def test_a_link_in_the_folder_is_not_written_through(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "runs" / "launches"
    folder.mkdir(parents=True)
    (folder / "lock").symlink_to(tmp_path / "elsewhere")
    done = bench("compare", *QUICK, "--results", tmp_path / "results", "--launch", "lines")
    assert done.code == 1 and "link" in done.err and not (tmp_path / "elsewhere").exists()


def test_what_squeue_says() -> None:
    name = "ofa-bench-00000000-1"
    text = f"""{name}|0|PENDING|11|BeginTime|0:00|
{name}|1|COMPLETING|11|None|0:07|node1
{name}|2|CANCELLED|11|None|0:07|node1
{name}|2|RUNNING|12|None|1:07|node2
other|0|RUNNING|13|None|1:07|node2
{name}|N/A|PENDING|14|\x1b[31m|0:00|
"""
    rows = dict(_rows(text, [name]))
    assert rows[name, 0] == QueueState("queued", "11_0", "BeginTime")
    assert rows[name, 1] == QueueState("running", "11_1", "0:07 on node1")
    assert rows[name, 2] == QueueState("running", "12_2", "1:07 on node2")
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 300), ("5:30", 330), ("1:02:03", 3723), ("2-3", 183_600), ("1-0:10", 87_000), ("0", 0)],
)
def test_times_are_read_as_slurm_reads_them(text: str, seconds: int) -> None:
    """`man sbatch`, --time."""
    assert _seconds(text) == seconds


@pytest.mark.parametrize(("lines", "code"), [('"set -eC", "false"', 1), ('"exit 0"', 0)])
def test_a_task_that_its_sites_lines_end_has_failed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, code: int
) -> None:
    for name, text in (("sbatch", "echo 7"), ("squeue", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    site = tmp_path / "site.toml"
    site.write_text(f'launcher = "slurm"\ngpus = 0\nenvironment = [{lines}]\n')
    line = ("compare", *QUICK, "--results", tmp_path / "r", "--launch", site)
    assert bench(*line).code == 0
    (script,) = (tmp_path / "r" / "runs" / "launches").glob("*.sh")
    for task in ("0", "1"):
        env = {**os.environ, "SLURM_ARRAY_TASK_ID": task}
        assert subprocess.run(["bash", str(script)], env=env).returncode == code
    done = bench(*line)
    assert done.code == 1, done.out + done.err
    assert f"lines of environment ended with exit code {code}; its log: " in done.out + done.err
    (tmp_path / "squeue").write_text("#!/bin/sh\necho Unable to contact >&2\nexit 1\n")
    done = bench(*line)
    assert done.code == 1 and "once Slurm answers" in done.err


def test_without_slurm_it_says_so(
    bench: Bench, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = ("compare", *QUICK, "--results", tmp_path / "r", "--launch", site)
    done = bench(*line)
    assert done.code == 1 and "there is no sbatch on this machine" in done.err
    assert bench(*line, "--dry-run").code == 0


# The contract.


def test_the_documented_launcher_keeps_the_contract(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "pbs.py").write_text(code)
    report = check_plugin(tmp_path / "pbs.py")
    assert report.ok and len(report.verdicts) == 5, str(report)


@pytest.mark.parametrize(
    ("change", "clause"),
    [
        (("shlex.join([", '" ".join(['), "quoted"),
        (('lines = ["#!/bin/bash"', 'import time; lines = [f"#{time.time()}"'), "the same"),
        (('lines = ["#!/bin/bash"', 'subprocess.run(["true"]); lines = ["#!"'), "starts nothing"),
        (("return {}", "return {('x', 0): None}"), "no states"),
    ],
)
def test_a_broken_launcher_is_caught(change: tuple[str, str], clause: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    assert change[0] in code
    (tmp_path / "pbs.py").write_text(code.replace(*change))
    report = check_plugin(tmp_path / "pbs.py")
    assert [clause in caught.clause for caught in report.broken] == [True], str(report)


@pytest.mark.parametrize("name", ["slurm", "lines", "local"])
def test_bundled_launchers_keep_the_contract(name: str) -> None:
    report = check_plugin(name)
    assert report.ok, str(report)
    assert name in discover().catalogue.names("launcher")


def test_a_results_folder_may_be_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of the answers that a restarted run wrote, the last counts."""
    monkeypatch.chdir(tmp_path)
    folder = LaunchFolder(Path("results"))
    folder.make()
    path = folder.write("a" * 16, "json", '{"error": "interrupted", "exit": 130}\n{"runs": []}\n')
    assert path == tmp_path / "results" / "runs" / "launches" / f"{'a' * 16}.json"
    answer = folder.answer("a" * 16)
    assert answer is not None and answer.error is None
    folder.write("b" * 16, "json", '{"runs": []}\n{"cut')
    assert folder.answer("b" * 16) is None
