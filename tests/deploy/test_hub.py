"""Exported folders on a hub: nothing is sent unasked, and what comes back is what was sent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

import ofa_bench
from ofa_bench import api
from ofa_bench.errors import UsageError
from ofa_bench.optional.hugging_face import repository_of
from tests import preloaded

from .hub_server import TOKEN, Hub, hub

pytest.importorskip("huggingface_hub")
Call = Callable[..., "subprocess.CompletedProcess[str]"]
COMMITTED = Path(__file__).resolve().parents[2] / "results" / "toy"
NAME = "someone/net"
LOAD = """
import json, sys, torch, ofa_bench
assert "huggingface_hub" not in sys.modules
x = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
nets = [ofa_bench.load(sys.argv[1], revision=revision) for revision in (None, *sys.argv[2:])]
print(json.dumps([net(x).tolist() for net in nets]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(COMMITTED, root / "results")
    api.export("deps", "smallest", root / "net", formats=("safetensors",), results=root / "results")
    return root / "net"


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as listening:
        yield listening


@pytest.fixture
def call(server: Hub, tmp_path: Path) -> Call:
    """A process of its own: the library reads its settings once."""
    around = {
        **os.environ,
        "HF_ENDPOINT": server.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }

    def run(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, *map(str, words)]
        env = {**around, **more}
        done = preloaded.run(line, env=env, stdin=subprocess.DEVNULL, timeout=120)
        assert TOKEN not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_nothing_is_sent_unasked(call: Call, server: Hub, folder: Path) -> None:
    done = call("-m", "ofa_bench", "publish", folder, f"hf:{NAME}")
    assert done.returncode == 2
    assert "nobody can be asked" in done.stderr
    assert "--yes" in done.stderr
    assert "README.md" in done.stderr  # the summary
    assert server.asked == []


def test_there_and_back(call: Call, server: Hub, folder: Path) -> None:
    done = call("-m", "ofa_bench", "publish", folder, f"hf:{NAME}", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    ((commit, sent),) = server.commits[NAME]
    here = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sent == here
    assert answer["address"].endswith(commit)
    assert sorted(answer["files"]) == sorted(here)
    assert "library_name" in sent["README.md"].decode()

    with torch.no_grad():
        x = torch.linspace(-1, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
        expected = ofa_bench.load(folder)(x).tolist()
    first = call("-c", LOAD, f"hf:{NAME}", commit)
    assert json.loads(first.stdout) == [expected, expected], first.stderr
    fetched = [path for path in server.asked if "/resolve/" in path]
    assert fetched
    assert not any(path.endswith(("README.md", "parity.json")) for path in fetched)
    before = len(server.asked)
    offline = call("-c", LOAD, f"hf:{NAME}", commit, HF_HUB_OFFLINE="1")
    assert json.loads(offline.stdout) == [expected, expected], offline.stderr
    assert len(server.asked) == before
    gone = call("-c", LOAD, f"hf:{NAME}", HF_ENDPOINT="http://127.0.0.1:9")
    assert json.loads(gone.stdout) == [expected], gone.stderr


SENTENCES = """
import sys, ofa_bench
from ofa_bench.errors import BenchError
for name, revision in (("absent", None), ("net", "v9"), ("odd", None)):
    try:
        ofa_bench.load(f"hf:someone/{name}", revision=revision)
    except BenchError as error:
        print(error.message, "|", error.hint)
"""


def test_what_cannot_be_loaded_is_a_sentence(call: Call, server: Hub) -> None:
    server.commits["someone/net"] = [("a" * 40, {"model.json": b"{}"})]
    server.commits["someone/odd"] = [("b" * 40, {"other.json": b"{}"})]
    absent, revision, odd = call("-c", SENTENCES).stdout.splitlines()
    assert "there is no someone/absent" in absent
    assert "no revision 'v9'" in revision
    assert "no export of ofa-bench" in odd


def test_what_was_never_loaded_is_not_there_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match="not in the cache"):
        ofa_bench.load("hf:someone/never-loaded")


def test_a_hub_that_refuses_is_a_sentence(call: Call, server: Hub, folder: Path) -> None:
    server.refuses = 403
    done = call("-m", "ofa_bench", "publish", folder, f"hf:{NAME}", "--yes")
    assert (done.returncode, server.commits) == (1, {})
    assert "refused someone/net (status 403)" in done.stderr
    assert "hf auth login" in done.stderr
    done = call("-m", "ofa_bench", "publish", folder, f"hf:{NAME}", "--yes",
                HF_ENDPOINT="http://127.0.0.1:9")  # fmt: skip
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr


def test_only_exports_are_sent(tmp_path: Path, folder: Path) -> None:
    def never(publication: object) -> bool:
        raise AssertionError("nothing to confirm")

    for name in ("someone/net", "hf:someone", "hf:../net", "hf:some one/net", "hf:a/b/c"):
        with pytest.raises(UsageError, match="names no repository"):
            api.publish(folder, name, confirm=never)
    with pytest.raises(UsageError):
        api.publish(tmp_path, f"hf:{NAME}", confirm=never)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "notes.txt").write_text("not for others")
    with pytest.raises(UsageError, match="no file that export wrote"):
        api.publish(copy, f"hf:{NAME}", confirm=never)
    (copy / "notes.txt").unlink()
    weights = copy / "folded.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole + b" ")
    with pytest.raises(UsageError, match="was changed since"):
        api.publish(copy, f"hf:{NAME}", confirm=never)
    weights.write_bytes(whole)
    (copy / "extra").symlink_to("/etc/passwd")
    with pytest.raises(UsageError, match="is a link"):
        api.publish(copy, f"hf:{NAME}", confirm=never)
    (copy / "extra").unlink()
    seen = []
    assert api.publish(copy, f"hf:{NAME}", confirm=lambda it: bool(seen.append(it))) is None
    assert {file for file, _ in seen[0].files} == {path.name for path in folder.iterdir()}
    assert repository_of(f"hf:{NAME}") == NAME
