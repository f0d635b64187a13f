"""A check that is asked to stop keeps what it found out."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import preloaded

SECONDS = 120  # a guard against hanging
PATCHED = """
import itertools, os, signal, sys, time
from ofa_bench.cli.main import main
import ofa_bench.data.{module} as module
count, inner = itertools.count(1), module.{name}
def counted(*words):
    time.sleep(0.005)  # so that the main thread, which writes, has taken in what was done before
    if next(count) == 200:
        os.kill(os.getpid(), {number})
    return inner(*words)
module.{name} = counted
raise SystemExit(main(["data", "check", "folder", "--data-dir", sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("module", "name", "kept"),
    [("discovery.file_hashes", "_measure", "hashes-*.log"), ("check", "read_image", "decoded.bin")],
    ids=["hashing", "decoding"],
)
def test_a_check_that_is_stopped_keeps_what_it_has(
    tmp_path: Path, module: str, name: str, kept: str, number: int
) -> None:
    for split, images in (("train", 150), ("val", 10)):
        for label in range(2):
            (tmp_path / split / str(label)).mkdir(parents=True)
            for index in range(images):
                path = tmp_path / split / str(label) / f"{index}.png"
                Image.new("RGB", (4, 4), (index, label, images)).save(path)
    code = PATCHED.format(module=module, name=name, number=int(number))
    words = [sys.executable, "-c", code, str(tmp_path)]
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = preloaded.run(words, timeout=SECONDS, env=env)
    assert done.returncode == 130 and "interrupted" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    (file,) = (tmp_path / "cache").rglob(kept)
    raw = file.read_bytes()
    entries = raw.count(b"\n[") if file.suffix == ".log" else (len(raw) - raw.index(b"\n")) // 16
    assert 32 <= entries < 320
    words = [sys.executable, "-m", "ofa_bench", "data", "check", "folder", "--data-dir"]
    words.append(str(tmp_path))
    done = preloaded.run(words, timeout=SECONDS, env=env)
    assert done.returncode == 0, done.stderr
