"""A case's commands in a forked child, under bounds; what came of it."""

from __future__ import annotations

import faulthandler
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.hostile.box import Box, changes

SECONDS = 20.0  # a case
MEMORY = 1 << 10  # MiB of address space above what the imports take, unless the kind says more
WRITTEN = 1 << 10  # MiB of one file
BUG = re.compile(r"this is a bug|Traceback \(most recent call last\)|Fatal Python error")
NO_MEMORY = re.compile(r"out of memory|can't allocate memory|Cannot allocate|MemoryError", re.I)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")
BEGUN = "run 1 of"  # a comparison that trains: it holds, and is stopped politely


@dataclass
class Case:
    """Commands in the box's `work`. `weights`: what a run that ends well must end in; `refused`:
    commands that must not succeed, `shown`: those that must, whatever lies there. A comparison that
    has begun to train is stopped after `polite` seconds. `kill` ends all after that many seconds,
    which is then no finding."""

    commands: list[list[str]]
    memory: int = MEMORY
    weights: str | None = None
    refused: list[int] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    polite: float | None = None
    seconds: float = SECONDS
    kill: float | None = None


@dataclass
class Outcome:
    """One case's end: exit codes, and findings as (what, detail)."""

    codes: list[int]
    findings: list[tuple[str, str]]
    seconds: float
    mebibytes: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def execute(box: Box, case: Case, debug: bool = False) -> Outcome:
    """Run a case and judge it."""
    before, began = box.outside(), time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(box, case, debug)
    status, usage = _wait(box, pid, case)
    seconds = time.monotonic() - began
    _end_group(pid)
    codes, findings = _results(box), []
    if status is None:
        if case.kill is None:
            findings.append(("hang", f"over {case.seconds:.0f} s in {_command(case, len(codes))}"))
    elif os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        findings.append(
            ("signal", f"{name} in {_command(case, len(codes))}: {_read(box, 'crash')[:900]}")
        )
    elif os.WEXITSTATUS(status):
        findings.append(("traceback", _read(box, "crash")[-1500:]))
    for index, (code, out, err) in enumerate(codes):
        findings += [
            (what, f"{_command(case, index)}: {detail}")
            for what, detail in _judged(case, index, code, out, err)
        ]
    after = box.outside()
    moved = changes(before, after)
    left = [path for path in moved if path.startswith(f"{box.tmp}/")]
    escaped = [path for path in moved if path not in left]
    if escaped:
        findings.append(("escape", ", ".join(escaped[:5])))
    if left and status is not None and not os.WIFSIGNALED(status):
        findings.append(("leftover", ", ".join(left[:5])))
    return Outcome([code for code, _, _ in codes], findings, seconds, usage)


def _command(case: Case, index: int) -> str:
    return repr(case.commands[min(index, len(case.commands) - 1)])[:200]


def _judged(case: Case, index: int, code: int, out: str, err: str) -> list[tuple[str, str]]:
    found, last = [], err.strip()[-700:]
    if BUG.search(err):
        found.append(("traceback", last))
    elif NO_MEMORY.search(err):
        found.append(("memory", last))
    elif code not in (0, 1, 2, 130):
        found.append(("code", f"exit {code}: {last}"))
    elif code and not err.strip() and not out.strip():
        found.append(("silent", f"exit {code} without a word"))
    if odd := CONTROL.search(out + err):
        at = max(0, odd.start() - 40)
        found.append(("terminal", repr((out + err)[at : at + 120])))
    if "--json" in case.commands[index]:
        found += _documents(case, code, out)
    if index in case.refused and code == 0:
        found.append(("lie", "was taken although it was changed"))
    if index in case.shown and code != 0:
        found.append(("blocked", f"exit {code}: {last}"))
    return found


def _documents(case: Case, code: int, out: str) -> list[tuple[str, str]]:
    try:
        told = json.loads(out)
    except ValueError as error:
        return [("json", f"{error}: {out[-200:]!r}")]
    weights = told.get("weights_sha256") if isinstance(told, dict) else None
    if code == 0 and case.weights and weights and weights != case.weights:
        return [("lie", f"ended in other weights, {weights[:12]}, not {case.weights[:12]}")]
    return []


def _wait(box: Box, pid: int, case: Case) -> tuple[int | None, int]:
    """The child's status, None where it had to be ended, and its peak in MiB."""
    began, asked, pause = time.monotonic(), False, 0.001
    most = case.seconds if case.kill is None else case.kill
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return status, usage.ru_maxrss >> 10
        spent = time.monotonic() - began
        if spent >= most:
            os.killpg(pid, signal.SIGKILL)
            _, _, usage = os.wait4(pid, 0)
            return None, usage.ru_maxrss >> 10
        if case.polite and not asked and spent > case.polite and BEGUN in _read(box, "stderr"):
            asked = True
            os.kill(pid, signal.SIGINT)
        time.sleep(min(pause, most - spent))
        pause = min(0.02, 1.3 * pause)


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _read(box: Box, name: str) -> str:
    try:
        return (box.root / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _results(box: Box) -> list[tuple[int, str, str]]:
    """(code, stdout, stderr) of each command that ended."""
    out, err, found = _read_bytes(box, "stdout"), _read_bytes(box, "stderr"), []
    past = (0, 0)
    for line in _read(box, "outcome").splitlines():
        code, *ends = map(int, line.split())
        parts = [
            raw[a:b].decode("utf-8", "replace")
            for raw, a, b in zip((out, err), past, ends, strict=True)
        ]
        found.append((code, *parts))
        past = (ends[0], ends[1])
    return found  # type: ignore[return-value]


def _read_bytes(box: Box, name: str) -> bytes:
    path = box.root / name
    return path.read_bytes() if path.exists() else b""


def _child(box: Box, case: Case, debug: bool) -> None:
    """Never returns: the commands one after the other, then the end."""
    code = 1
    try:
        os.setsid()
        _redirect(box)
        os.chdir(box.work)
        os.environ.update(box.environment())
        tempfile.tempdir = None  # asked for anew: the server's own is another
        if debug:
            os.environ["OFA_BENCH_DEBUG"] = "1"
        _bound(case.memory)
        from ofa_bench.cli.main import main

        with open(box.root / "outcome", "a") as results:
            for words in case.commands:
                ended = main([part.replace("\0", "") for part in words])
                sys.stdout.flush()
                sys.stderr.flush()
                ends = [os.fstat(number).st_size for number in (1, 2)]
                results.write(f"{ended} {ends[0]} {ends[1]}\n")
                results.flush()
        code = 0
    except BaseException:
        with open(box.root / "crash", "a") as crash:
            traceback.print_exc(file=crash)
    finally:
        os._exit(code)


def _redirect(box: Box) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(box.root / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    odd = {"encoding": "utf-8", "errors": "backslashreplace", "closefd": False}
    sys.stderr = open(2, "w", **odd)  # type: ignore[call-overload]  # noqa: SIM115
    faulthandler.enable(open(box.root / "crash", "a"))  # noqa: SIM115


def _bound(memory: int) -> None:
    with open("/proc/self/statm") as pages:
        now = int(pages.read().split()[0]) * resource.getpagesize()
    most = now + (memory << 20)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN << 20, WRITTEN << 20))
