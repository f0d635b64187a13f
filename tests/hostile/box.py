"""The sandbox of one case: its folders, a canary beside them, and what was changed where."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

MARK = ".fuzz-box"
GHOSTSCRIPT = "#!/bin/sh\ntouch '{canary}/executed-ghostscript'\n"
Snapshot = dict[str, tuple[object, ...]]


@dataclass(frozen=True)
class Box:
    """`work` is the case's folder, where commands run; only there and in `cache` may files appear.

    `canary` lies beside it and must stay as it is, `tmp` must be empty again at the end, and
    `programs` comes first on the PATH.
    """

    root: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def make(self) -> Box:
        """Lay it out anew; a folder that is no box of ours is never removed."""
        self.remove()
        for folder in (
            self.work,
            self.canary,
            self.tmp,
            self.root / "programs",
            self.root / "cache",
        ):
            folder.mkdir(parents=True)
        (self.root / MARK).touch()
        (self.canary / "x").write_text("the canary\n")
        (self.canary / "folder").mkdir()
        (self.canary / "folder" / "y.json").write_text("{}\n")
        for name in ("gs", "sh-canary"):
            program = self.root / "programs" / name
            program.write_text(GHOSTSCRIPT.format(canary=self.canary))
            program.chmod(0o755)
        return self

    def remove(self) -> None:
        """Remove the box, if it is one."""
        if (self.root / MARK).is_file():
            shutil.rmtree(self.root, ignore_errors=True)
        if self.root.exists():
            raise FileExistsError(f"{self.root} is no box of the fuzzer's")

    def environment(self) -> dict[str, str]:
        """What commands in it see: nothing of the user's."""
        return {
            "HOME": str(self.root / "cache"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "TMPDIR": str(self.tmp),
            "PATH": f"{self.root / 'programs'}:{os.environ.get('PATH', '')}",
            "OFA_BENCH_RESULTS": str(self.work / "results"),
            "COLUMNS": "100",
        }

    def outside(self) -> Snapshot:
        """Everything in the box but `work`, `cache` and what commands print."""
        allowed = {"work", "cache", "stdout", "stderr", "outcome", "crash"}
        found: Snapshot = {}
        for path in self.root.iterdir():
            if path.name not in allowed:
                found |= _snapshot(path)
        return found


def _snapshot(path: Path) -> Snapshot:
    info = path.lstat()
    if stat.S_ISREG(info.st_mode):
        return {str(path): ("file", info.st_mode, hashlib.sha256(path.read_bytes()).hexdigest())}
    if stat.S_ISDIR(info.st_mode):
        found: Snapshot = {str(path): ("folder", info.st_mode)}
        for inner in path.iterdir():
            found |= _snapshot(inner)
        return found
    return {str(path): ("other", info.st_mode)}


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """The paths that appeared, went or changed."""
    return sorted(
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    )
