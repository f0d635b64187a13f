"""Processes that start at once: forked from one that has imported what commands import.

A new Python takes two to four seconds to import torch, which a test that needs a real process (its
signals, its exit code, its locks) would pay every time. `Process` is a `subprocess.Popen` whose
child is forked instead, with the streams, directory, environment and session that were asked for;
it becomes a child of this process, so that all methods work. Only scripts, `python -c CODE` and
`python -m` with a module below are forked, and only where the environment asks for nothing that is
read when Python starts; others are started as usual. All have the hash seed of the first process:
what must not depend on it is tested by processes that start as users' do.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import gc
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]
MODULES = [["-m", name] for name in ("ofa_bench", "pytest", "torch.distributed.run")]
READ_AT_START = ("PYTHON", "OMP_", "MKL_", "OPENBLAS_", "LD_", "MALLOC_", "TORCH_", "LC_", "LANG")
PATHS = "PYTHONPATH"
PR_SET_CHILD_SUBREAPER = 36  # prctl(2): orphans below this process become its children


class Process(subprocess.Popen[str]):
    """A process of its own, forked where that makes no difference."""

    def _execute_child(self, *words: Any) -> None:
        asked = inspect.signature(subprocess.Popen._execute_child).bind(self, *words).arguments
        if not _suits(asked):
            super()._execute_child(*words)  # type: ignore[misc]
            return
        wish = {
            "words": list(map(str, asked["args"]))[1:],
            "env": dict(asked["env"] if asked["env"] is not None else os.environ),
            "cwd": os.fspath(asked["cwd"] or Path.cwd()),
            "session": bool(asked["start_new_session"]),
            "hangup": asked["preexec_fn"] is default_hangup,
        }
        pipes = [asked[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        self.pid = _preloader().start(wish, [n if fd == -1 else fd for n, fd in enumerate(pipes)])
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[name] for name in ends))  # type: ignore[attr-defined]


def run(
    line: list[str], *, timeout: float = 300, check: bool = False, **options: Any
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` with captured text; the process is killed after `timeout` seconds."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    with Process(line, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(line, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def default_hangup() -> None:
    """For `preexec_fn`: the tests may run under nohup, whose processes ignore SIGHUP."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _suits(asked: Mapping[str, Any]) -> bool:
    line = asked["args"]
    if sys.platform != "linux" or isinstance(line, str) or len(line) < 2:
        return False
    plain = (asked["shell"], asked["executable"], asked["pass_fds"])
    env = os.environ if asked["env"] is None else asked["env"]
    return (
        line[0] == sys.executable
        and (line[1] == "-c" or line[1].endswith(".py") or list(line[1:3]) in MODULES)
        and not any(plain)
        and asked["preexec_fn"] in (None, default_hangup)
        and _of_start(env) == _of_start(os.environ)
    )


def _of_start(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if name.startswith(READ_AT_START) and name != PATHS
    }


class Preloader:
    """The process that has imported everything, as this one talks to it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            code = f"from tests.preloaded import serve; serve({theirs.fileno()})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()

    def start(self, wish: dict[str, Any], streams: list[int]) -> int:
        """Fork a process with these streams; its pid."""
        data = json.dumps(wish).encode("utf-8", "surrogatepass")
        with self._lock:
            socket.send_fds(self._socket, [len(data).to_bytes(4, "big")], streams)
            self._socket.sendall(data)
            return int.from_bytes(_exactly(self._socket, 4), "big")


@functools.cache
def _preloader() -> Preloader:
    return Preloader()


def _exactly(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def serve(number: int) -> None:
    """In the preloaded process: fork until the socket is closed. Returns in no process."""
    source = socket.socket(fileno=number)
    source.set_inheritable(False)
    _import()
    gc.collect()
    gc.freeze()  # so that children copy no page just by collecting
    while True:
        head, streams, _, _ = socket.recv_fds(source, 4, 3)
        if not head:
            os._exit(0)
        while len(head) < 4:
            head += _exactly(source, 4 - len(head))
        data = _exactly(source, int.from_bytes(head, "big"))
        wish = json.loads(data.decode("utf-8", "surrogatepass"))
        reading, writing = os.pipe()
        middle = os.fork()
        if middle == 0:
            pid = os.fork()
            if pid == 0:
                source.close()
                os.close(reading)
                os.close(writing)
                become(wish, streams)
            os.write(writing, pid.to_bytes(4, "big"))
            os._exit(0)
        for descriptor in (writing, *streams):
            os.close(descriptor)
        os.waitpid(middle, 0)  # from now on it is a child of who asked
        source.sendall(os.read(reading, 4))
        os.close(reading)


def become(wish: dict[str, Any], streams: list[int]) -> NoReturn:
    """Run the line and end as Python does, short of freeing what was imported."""
    if wish["session"]:
        os.setsid()
    if wish["hangup"]:
        default_hangup()
    for descriptor, stream in enumerate(streams):
        os.dup2(stream, descriptor)
        os.close(stream)
    os.chdir(wish["cwd"])
    paths = [os.environ.get(PATHS, ""), wish["env"].get(PATHS, "")]
    before, after = (list(filter(None, entry.split(os.pathsep))) for entry in paths)
    os.environ.clear()
    os.environ.update(wish["env"])
    kind, *more = wish["words"]
    what = more.pop(0) if kind in ("-c", "-m") else kind
    first = wish["cwd"] if what is not kind else str(Path(what).parent)
    sys.path = [first, *after, *sys.path[1 + len(before) :]]
    sys.argv = [kind if kind == "-c" else what, *more]
    sys.orig_argv = [sys.executable, *wish["words"]]
    code = 0
    try:
        if kind == "-m":
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        elif kind == "-c":
            exec(what, {"__name__": "__main__"})
        else:
            runpy.run_path(what, run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _import() -> None:
    """What commands import late."""
    import ofa_bench

    for module in pkgutil.walk_packages(ofa_bench.__path__, "ofa_bench."):
        if not module.name.endswith("__main__") and ".testing" not in module.name:
            importlib.import_module(module.name)
    for name in ("torchvision.transforms.v2.functional", "torch.fx.experimental.symbolic_shapes"):
        importlib.import_module(name)
