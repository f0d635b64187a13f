"""A real Slurm of one node in a folder: Debian's packages, unpacked, nothing installed.

`python tests/launch/cluster.py` fetches the packages, and needs no more than Python and apt-get.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
LIBRARIES = ("libhwloc15", "libnuma1", "libmunge2", "liblua5.1-0", "libjson-c5")
CACHE = Path(
    os.environ.get("OFA_BENCH_TEST_SLURM") or Path.home() / ".cache" / "ofa-bench-tests" / "slurm"
)
GUARD = 60.0  # seconds: a hang, never a slow machine
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={control}
SlurmdPort={daemon}
AuthType=auth/none
CredType=cred/none
AuthInfo=cred_expire=5
PluginDir={plugins}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
MinJobAge=36000
SlurmdTimeout=300
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=test Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):
    """Why there is no Slurm here."""


def fetch() -> Path:
    """The folder of the unpacked packages; downloaded once. Raises Unavailable with the reason."""
    root = CACHE / "root"
    if _runs(root):
        return root
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Unavailable("no apt-get here to download Slurm with")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        fresh = Path(name)
        _download(fresh)
        for package in fresh.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(fresh / "root")], check=True)
        if not _runs(fresh / "root"):
            raise Unavailable("the packages of this distribution do not run unpacked")
        shutil.rmtree(root, ignore_errors=True)
        (fresh / "root").rename(root)
    return root


def _download(folder: Path) -> None:
    """With the package lists of the machine, else with lists of our own."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True)
    own = ["-o", f"Dir::State::lists={lists}"]
    for options, first in (([], None), (own, [*own, "update"])):
        if first is not None:
            _apt(first, folder)
        failed = [name for name in PACKAGES if _apt([*options, "download", name], folder)]
        if not failed:
            for name in LIBRARIES:  # a distribution may call them otherwise, or have them installed
                _apt([*options, "download", name], folder)
            return
    raise Unavailable(
        f"apt-get cannot download {', '.join(failed)}: no network, or no such package"
    )


def _apt(words: list[str], folder: Path) -> int:
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *words]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=GUARD, check=False)
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


def environment(root: Path) -> dict[str, str]:
    """Where the unpacked programs and libraries are."""
    libraries = [*root.glob("usr/lib/*/slurm-wlm"), *root.glob("usr/lib/*"), *root.glob("lib/*")]
    found = ":".join(str(path) for path in libraries if path.is_dir())
    programs = f"{root}/usr/bin:{root}/usr/sbin"
    return {"PATH": f"{programs}:{os.environ['PATH']}", "LD_LIBRARY_PATH": found}


def _runs(root: Path) -> bool:
    if not (root / "usr/sbin/slurmd-wlm").exists() and not (root / "usr/sbin/slurmd").exists():
        return False
    env = {**os.environ, **environment(root)}
    return all(
        subprocess.run([_program(root, name), "-V"], env=env, capture_output=True).returncode == 0
        for name in ("slurmctld", "slurmd")
    )


def _program(root: Path, name: str) -> str:
    for path in (
        root / "usr/sbin" / f"{name}-wlm",
        root / "usr/sbin" / name,
        root / "usr/bin" / name,
    ):
        if path.exists():
            return str(path)
    return name


class Cluster:
    """One controller and one node; `env` is what its commands need."""

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.folder, self.root = folder, fetch()
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        self.conf = folder / "slurm.conf"
        (plugins,) = self.root.glob("usr/lib/*/slurm-wlm")
        control, daemon = _ports()
        user, host = pwd.getpwuid(os.getuid()).pw_name, socket.gethostname()
        self.conf.write_text(
            CONF.format(
                host=host,
                user=user,
                control=control,
                daemon=daemon,
                plugins=plugins,
                folder=folder,
                cpus=cpus,
            )
        )
        self.env = {**environment(self.root), "SLURM_CONF": str(self.conf)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.requeued: dict[str, float] = {}  # when each was first seen to wait
        try:
            self.start("slurmctld", "-D", "-c", "-i")
            self.start_node()
            self.until(lambda: "idle" in self.call("sinfo", "-h", "-o", "%t"), "an idle node")
        except BaseException:
            self.close()
            raise

    def start(self, name: str, *words: str) -> None:
        """Start a daemon; its own log is in the folder."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [_program(self.root, name), "-f", str(self.conf), *words],
                env={**os.environ, **self.env},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def call(self, *words: str) -> str:
        """Stdout of one of Slurm's commands."""
        env = {**os.environ, **self.env}
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=GUARD)
        return done.stdout

    def signal(self, task: str, name: str = "TERM") -> None:
        """Signal a task's script alone. `scancel` itself tries again and again once the task is
        requeued, so it is not waited for."""
        words = ["timeout", "2", "scancel", "--batch", f"--signal={name}", task]
        subprocess.run(words, env={**os.environ, **self.env}, capture_output=True)

    def script(self, task: str) -> int | None:
        """The process of a running task's script."""
        job = self.call("squeue", "--noheader", "--array", f"--jobs={task}", "--format=%A").strip()
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = entry.read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if job and f"{self.folder}/spool/job{int(job):05d}/slurm_script" in words:
                return int(entry.parent.name)
        return None

    def restart_node(self) -> None:
        """Kill the node's daemon, which no task should notice, and start another."""
        self.processes["slurmd"].kill()
        self.processes["slurmd"].wait()
        self.start_node()

    def start_node(self) -> None:
        """The node's daemon."""
        self.start("slurmd", "-D", "-N", "node", "-d", _program(self.root, "slurmstepd"))

    def tasks(self) -> dict[str, str]:
        """What is queued or runs, by task, with its state."""
        text = self.call("squeue", "--noheader", "--array", "--format=%F_%K|%T")
        return dict(line.strip().split("|") for line in text.splitlines())

    def over(self) -> bool:
        """Whether nothing is queued; tasks that were requeued wait no longer than a node needs to
        forget that they were stopped."""
        text = self.call("squeue", "--noheader", "--array", "--format=%F_%K|%r")
        rows = [line.strip().split("|") for line in text.splitlines()]
        for task, reason in rows:
            if reason != "BeginTime":
                self.requeued.pop(task, None)
            elif time.monotonic() - self.requeued.setdefault(task, time.monotonic()) > 3:
                self.call("scontrol", "update", f"JobId={task}", "StartTime=now")
        return not rows

    def restarts(self, task: str) -> int:
        """How often a task was requeued."""
        words = self.call("scontrol", "--oneliner", "show", "job", task).split()
        return next(int(word.partition("=")[2]) for word in words if word.startswith("Restarts="))

    def until(self, met: object, what: str, guard: float = GUARD) -> None:
        """Wait for a condition, with a guard against hangs."""
        deadline = time.monotonic() + guard
        while not met():  # type: ignore[operator]
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
                raise Unavailable(f"waited in vain: {what}\n{logs}")
            time.sleep(0.1)

    def close(self) -> None:
        """Cancel what runs, and end the daemons."""
        if "slurmd" in self.processes:
            self.call("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name)
            deadline = time.monotonic() + 15
            while self.tasks() and time.monotonic() < deadline:  # what runs saves its state first
                time.sleep(0.2)
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _ports() -> list[int]:
    sockets = [socket.socket() for _ in range(2)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def main() -> int:
    """Fetch; say why where that cannot be done."""
    try:
        print(fetch())
    except (Unavailable, OSError, subprocess.SubprocessError) as error:
        print(f"no Slurm for the tests: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
