"""The final evaluation killed at many random chunks: always the record of an undisturbed one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from ofa_bench import api
from tests import preloaded
from tests.runs.test_evaluation_survives import CHUNKS, KILLED, counted, kept, lasting

KILLS = int(os.environ.get("OFA_BENCH_KILLS", "50"))


def test_many_kills(tmp_path: Path, monkeypatch: Any, benchmark: Any) -> None:
    benchmark.pedantic(lambda: None, rounds=1)  # which skips it where benchmarks are skipped
    first = tmp_path / "trained"
    asked: dict[str, Any] = {"method": "deps", "space": "toy", "epochs": 0.4}
    asked["set"] = ("evaluate.per_bucket=1", "evaluate.chunk=60", "evaluate.curve=0")
    trained = api.train(**asked, results=first)
    assert isinstance(trained, api.UnevaluatedRun)
    whole = lasting(api.resume(trained.run, shutil.copytree(first, tmp_path / "whole")))
    draw = random.Random(0)
    for turn in range(KILLS):
        results = shutil.copytree(first, tmp_path / str(turn))
        done = 0
        while done < CHUNKS and draw.random() < 0.8:
            moment = draw.choice(["scoring", "writing", "renaming"])
            number = str(draw.randint(1, CHUNKS))
            line = [sys.executable, "-c", KILLED, moment, number, trained.run, str(results)]
            died = preloaded.run(line)
            if died.returncode == 0:
                break
            assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
            before, done = done, len(kept(results))
            assert done >= before
        with monkeypatch.context() as patch:
            scored = counted(patch)
            assert lasting(api.resume(trained.run, results)) == whole, turn
        assert len(scored) in (0, CHUNKS - done)
        shutil.rmtree(results)
