"""`python -m tests.hostile`: the fuzzer for as long as it may run, or one case again."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.hostile.campaign import Campaign, Server, in_turn, without_end
from tests.hostile.kinds import KINDS


def main() -> int:
    """Exit 1 where there was a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=float(os.environ.get("OFA_BENCH_FUZZ_MINUTES", 0))
    )
    parser.add_argument("--cases", type=int, default=0, help="of each kind, in place of a time")
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="the first")
    parser.add_argument("--servers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--keep", type=Path, default=Path(tempfile.gettempdir()) / "ofa-bench-findings"
    )
    parser.add_argument("--corpus", type=Path, help="a folder to make it in, or to take it from")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="a finding that was kept")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        root = Path(folder)
        if told.corpus:
            told.corpus.mkdir(parents=True, exist_ok=True)
            root = told.corpus
        if told.replay:
            return replay(told.replay, root)
        kinds = told.kind or list(KINDS)
        jobs = without_end(kinds, told.seed)
        if told.cases:
            jobs = in_turn(dict.fromkeys(kinds, told.cases), told.seed)
        campaign = Campaign(told.keep)
        end = time.monotonic() + 60 * told.minutes if told.minutes else float("inf")
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        campaign.run(jobs, root, told.servers, end)
    for finding, count in campaign.distinct():
        print(f"{count} × {finding}", f"    kept: {finding.kept}", sep="\n")
    print(campaign.table())
    return 1 if campaign.findings else 0


def replay(kept: Path, root: Path) -> int:
    """Run a kept case again where it lay, with tracebacks shown."""
    case = kept / "case.json"
    box = Path(json.loads((kept / "where.json").read_text()))
    if box.exists():
        print(f"{box} is in the way: the case's files name it", file=sys.stderr)
        return 2
    box.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", str(kept), str(box)], check=True)
    try:
        for name in ("stdout", "stderr", "outcome", "crash", "finding.txt"):
            (box / name).unlink(missing_ok=True)
        print(case.read_text())
        answer = Server(root / "corpus", root / "spare").ask(box=str(box), debug=True)
        print(
            (box / "stdout").read_text(errors="replace"),
            (box / "stderr").read_text(errors="replace"),
        )
        print(json.dumps(answer, indent=1))
        return 1 if answer["findings"] else 0
    finally:
        shutil.rmtree(box)
        for parent in itertools.takewhile(lambda p: not any(p.iterdir()), box.parents):
            parent.rmdir()


if __name__ == "__main__":
    sys.exit(main())
