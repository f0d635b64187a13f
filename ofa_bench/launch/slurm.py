"""Slurm: one job array, a task a family of runs, each requeued alone until its runs are done."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from ofa_bench.errors import BenchError
from ofa_bench.hooks.policy import Options
from ofa_bench.launch.launcher import LaunchBatch, LaunchTask, QueueSilent, QueueState, Text
from ofa_bench.sanitize import plain_text

WAIT = 60.0  # seconds for an answer of Slurm's commands
MARGIN, START, LONGEST = 1.5, 600.0, 86_400.0  # of a time limit from a measured rate; seconds
BEFORE_GRACE = 300  # seconds of a time limit before its grace, at least
OURS = (
    *("array", "chdir", "job-name", "open-mode", "output", "parsable", "requeue", "no-requeue"),
    *("signal", "test-only", "wait", "wrap", "nodes", "ntasks", "ntasks-per-node"),
    *("clusters", "error", "time"),
)
SHORT = ("-a", "-D", "-J", "-o", "-W", "-N", "-n", "-M", "-e", "-t")
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD")
WORKING = ("RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "STOPPED", "RESIZING")


def _flag(text: str) -> str:
    name = text.lstrip("-").partition("=")[0]
    if not text.startswith("-") or len(text) < 3:
        raise ValueError("is no flag; write its value into the same text: --qos=high")
    if (text.startswith("--") and name in OURS) or (
        not text.startswith("--") and text.startswith(SHORT)
    ):
        raise ValueError("is a flag that ofa-bench sets itself")
    return text


def _seconds(time: str) -> int:
    """A time as Slurm reads it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
    days, _, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not days:
        parts = [0] * (len(parts) < 3) + parts
    hours, minutes, seconds = (*parts, 0, 0)[:3]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds


def _long_enough(time: str, info: ValidationInfo) -> str:
    least = info.data.get("grace", 0) + BEFORE_GRACE
    if 0 < _seconds(time) < least:  # 0 is no limit
        raise ValueError(
            f"is {_seconds(time)} s; no less than {least} s, which is `grace` and {BEFORE_GRACE} s "
            "more, let a start get on before it is told to save"
        )
    return time


class SlurmOptions(Options):
    """The keys of a site's file for Slurm; docs/cluster.md explains them."""

    gpus: int = Field(ge=0, le=64)
    nodes: int = Field(default=1, ge=1, le=4096)
    ranks: int | None = Field(default=None, ge=1, le=1024)
    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    grace: int = Field(default=120, ge=60, le=65_535)
    time: (
        Annotated[
            Text, Field(pattern=r"^(\d{1,4}-)?\d{1,6}(:\d\d){0,2}$"), AfterValidator(_long_enough)
        ]
        | None
    ) = None
    cpus: int | None = Field(default=None, ge=1, le=4096)
    memory: Annotated[Text, Field(pattern=r"^\d{1,9}[KMGT]?$")] | None = None
    at_once: int = Field(default=16, ge=1, le=100_000)
    restarts: int = Field(default=100, ge=0, le=100_000)
    python: Text | None = None
    container: tuple[Text, ...] = ()
    environment: tuple[Text, ...] = ()
    sbatch: tuple[Annotated[Text, AfterValidator(_flag)], ...] = ()

    @property
    def processes(self) -> int:
        """Ranks a node: as many as GPUs, unless set."""
        return self.ranks or max(self.gpus, 1)


class SlurmLauncher:
    """Submits with `sbatch`, and reads `squeue`; needs neither accounting nor a daemon of ours."""

    Options: ClassVar[Any] = SlurmOptions
    queues: ClassVar[bool] = True
    devices: Sequence[str] = ()

    def __init__(self, options: Any) -> None:
        self.options: SlurmOptions = options

    def script(self, batch: LaunchBatch) -> str:
        """The task script, after the line that submits it."""
        line = shlex.join(self._sbatch(batch, batch.folder / f"{batch.name}.sh"))
        return task_script(batch, self.options, line)

    def submit(self, batch: LaunchBatch, script: Path) -> str:
        """The job's number."""
        return _called(self._sbatch(batch, script)).strip().partition(";")[0]

    def _sbatch(self, batch: LaunchBatch, script: Path) -> list[str]:
        options = self.options
        output = str(batch.folder / f"{batch.name}.log").replace("%", "%%")
        flags: dict[str, object] = {
            "job-name": batch.name,
            "array": f"0-{len(batch.tasks) - 1}%{options.at_once}",
            "output": output,
            "open-mode": "append",
            "signal": f"B:USR1@{options.grace}",
            "chdir": batch.directory,
            "nodes": options.nodes,
            "ntasks-per-node": 1,
            "gres": f"gpu:{options.gpus}" if options.gpus else None,
            "cpus-per-task": options.cpus,
            "mem": options.memory,
            "time": options.time or time_limit(batch, options),
            "partition": options.partition,
            "account": options.account,
            "qos": options.qos,
        }
        words = [f"--{name}={value}" for name, value in flags.items() if value is not None]
        return ["sbatch", "--parsable", "--requeue", *words, *options.sbatch, str(script)]

    def states(self, names: Collection[str]) -> Mapping[tuple[str, int], QueueState]:
        """Of the jobs that `squeue` still lists, those that ended minutes ago among them."""
        if not names:
            return {}
        fields = "%j|%K|%T|%F|%r|%M|%N"
        words = ["squeue", "--noheader", "--array", "--states=all", f"--format={fields}"]
        text = _called([*words, f"--name={','.join(sorted(names))}"])
        return dict(_rows(text, names))


def _rows(text: str, names: Collection[str]) -> Iterator[tuple[tuple[str, int], QueueState]]:
    """A task that was submitted twice is as its newest job says."""
    rows = [line.strip().split("|") for line in text.splitlines()]
    rows = [row for row in rows if len(row) == 7 and row[0] in names and row[1].isdecimal()]
    rows.sort(key=lambda row: int(row[3]) if row[3].isdecimal() else 0)
    for name, number, word, job, reason, spent, nodes in rows:
        state: Literal["queued", "running", "ended"] = "ended"
        detail = word
        if word in WAITING:
            state, detail = "queued", reason
        elif word in WORKING:
            state, detail = "running", f"{spent} on {nodes}"
        yield (name, int(number)), QueueState(state, f"{job}_{number}", plain_text(detail))


def _called(words: Sequence[str]) -> str:
    """Stdout of one of Slurm's commands. Raises BenchError with what it said."""
    if shutil.which(words[0]) is None:
        raise BenchError(
            f"there is no {words[0]} on this machine", "call it where jobs can be submitted from"
        )
    try:
        done = subprocess.run(
            list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT
        )
    except subprocess.TimeoutExpired as error:
        raise QueueSilent(
            f"{words[0]} did not answer in {WAIT:.0f} s", "try again; nothing is submitted twice"
        ) from error
    if done.returncode:
        reason = plain_text(done.stderr.strip().replace("\n", "; ") or "it did not say why", 400)
        hint = "correct the site's file; --dry-run shows the script"
        if words[0] != "sbatch" or "nable to contact" in reason:
            hint = "call the same line again once Slurm answers; nothing is submitted twice"
        raise BenchError(f"{words[0]} failed: {reason}", hint)
    return done.stdout


def time_limit(batch: LaunchBatch, options: SlurmOptions) -> str | None:
    """A time limit for the longest task from the measured rate, with a margin and at most a day:
    a task that needs longer is requeued. None where no rate is known."""
    rate = batch.rates.get("cuda" if options.gpus else "cpu")
    if not rate:
        return None
    longest = max(task.macs for task in batch.tasks) / (rate * options.processes * options.nodes)
    least = options.grace + BEFORE_GRACE
    minutes = math.ceil(max(min(MARGIN * longest + START, LONGEST), least) / 60)
    return f"{minutes // 60}:{minutes % 60:02d}:00"


def _python(options: SlurmOptions) -> str:
    return options.python or ("python3" if options.container else sys.executable)


def train_command(options: SlurmOptions) -> str:
    """The line that starts a task's runs: plain on one device, by torchrun on several."""
    inside = [*options.container, _python(options), "-m"]
    if options.processes * options.nodes == 1:
        return f'{shlex.join([*inside, "ofa_bench"])} "$@"'
    inside += ["torch.distributed.run", f"--nproc-per-node={options.processes}"]
    inside += ["--max-restarts=3"]
    if options.nodes == 1:
        return f'{shlex.join([*inside, "--standalone", "-m", "ofa_bench"])} "$@"'
    # A step does not inherit the processors of its job.
    cpus = [f"--cpus-per-task={options.cpus}"] if options.cpus else []
    step = ["srun", f"--nodes={options.nodes}", "--ntasks-per-node=1", *cpus, *inside]
    meet = f'--nnodes={options.nodes} --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID"'
    # Two jobs of one host meet at different ports.
    meet += ' --rdzv-endpoint="$(hostname):$((10000 + SLURM_JOB_ID % 20000))"'
    return f'{shlex.join(step)} {meet} -m ofa_bench "$@"'


def _case(number: int, task: LaunchTask) -> str:
    words = shlex.join(task.words)
    answer, log = shlex.quote(str(task.answer)), shlex.quote(str(task.log))
    return f"  {number}) set -- {words}\n    answer={answer} log={log} ;;"


def task_script(batch: LaunchBatch, options: SlurmOptions, line: str) -> str:
    """The script of all tasks. TERM and USR1 are passed on to the run; once it has saved its state,
    this task alone is requeued, unless it was cancelled."""
    exports = [f"export {name}={shlex.quote(value)}" for name, value in batch.variables.items()]
    trap = TRAP.replace("@TELL@ ", STEPS if options.nodes > 1 else "")
    head = ["#!/bin/bash", f"# {re.sub(r'[^ -~]', '?', line)}", trap, *exports]
    cases = [_case(number, task) for number, task in enumerate(batch.tasks)]
    choice = ['case "${SLURM_ARRAY_TASK_ID:-}" in', *cases, NO_TASK, "esac", 'exec >>"$log" 2>&1']
    around = ["trap unprepared EXIT", *options.environment, "set +euC", PREPARED]
    body = WORK.replace("@TRAIN@", train_command(options))
    body = body.replace("@RESTARTS@", str(options.restarts))
    body = body.replace("@SAID@", shlex.quote(str(batch.folder / f"{batch.name}.log")))
    return "\n".join([*head, *choice, *around, body])


PREPARED = """[ "$(trap -p EXIT)" != "trap -- 'unprepared' EXIT" ] || trap - EXIT"""  # not a site's
NO_TASK = '  *) echo "this script is the task of a job array" >&2; exit 2 ;;'
TRAP = """
stopping= again= child= code=130
stop() {
  stopping=yes again=yes
  [ -z "$child" ] || @TELL@ kill -s TERM "$child" 2>/dev/null
}
trap stop TERM USR1
unprepared() { # the site's lines end the shell under `set -e`, or by `exit`
  status=$?
  [ -z "$stopping" ] || status=130
  printf '{"error": "the lines of environment ended with exit code %d", "exit": %d}\\n' \
    "$status" "$status" >|"$answer"
}
"""
# srun itself would kill what it started. A job's own number would mean all tasks of the array.
STEPS = 'scancel --signal=TERM "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}" || '
WORK = """
ended() { grep -c "JOB $SLURM_JOB_ID ON .* DUE TO " @SAID@ 2>/dev/null || true; }
before=$(ended) # a requeued task's log goes on
if [ -z "$stopping" ]; then
  : >"$answer"
  @TRAIN@ >"$answer" &
  child=$!
  [ -z "$stopping" ] || kill -s TERM "$child" 2>/dev/null
  while :; do # a signal ends the wait, not the run
    again=
    wait "$child"; status=$?
    [ "$status" -eq 127 ] || code=$status
    [ -n "$again" ] || break
  done
  child=
fi
if [ -n "$stopping" ] && [ "$code" -ne 0 ]; then
  trap '' TERM USR1
  task=${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}
  # Slurm ends tasks that are cancelled and those that are pre-empted or out of time alike, but for
  # what it writes into the job's log.
  case "$(scontrol --oneliner show job "$task")" in
    *' JobState=COMPLETING '* | *' JobState=CANCELLED '*)
      [ "$(ended)" != "$before" ] || stopping=cancelled ;;
  esac
  if [ "$stopping" = cancelled ]; then
    echo "task $task (exit code $code) was cancelled"
  elif [ "${SLURM_RESTART_COUNT:-0}" -ge @RESTARTS@ ]; then
    echo "task $task (exit code $code) was requeued @RESTARTS@ times, and is not again"
  else
    echo "task $task (exit code $code) is requeued"
    scontrol requeue "$task" && exit "$code"
  fi
  code=130
fi
if [ ! -s "$answer" ]; then
  printf '{"error": "the task ended with exit code %d", "exit": %d}\\n' "$code" "$code" >"$answer"
fi
exit "$code"
"""
