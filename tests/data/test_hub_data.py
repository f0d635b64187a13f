"""A data set of a hub: its parquet files alone, at one commit, as the hub says they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ofa_bench.data.discovery.datasets import load_spec
from ofa_bench.data.discovery.layout import locate
from ofa_bench.data.open import read_collection
from ofa_bench.data.readers.image_set import cut
from tests.deploy.hub_server import LARGE, Hub, hub

from . import layouts

pytest.importorskip("huggingface_hub")
pytest.importorskip("pyarrow")
Call = Callable[..., "list[tuple[int, dict]]"]
NAME = "someone/trees"
FILES = {
    "README.md": b"x",
    "trees.py": b"import os",
    "data/train-00000-of-00001.parquet": b"a" * (2 * LARGE),
    "data/test-00000-of-00001.parquet": b"b" * 100,
    "data/../../evil.parquet": b"c",
    "data/deeper/x.parquet": b"d",
    "other.parquet": b"e",
}
LARGEST = "-asked-for"
SCRIPT = """
import contextlib, io, json, sys
from ofa_bench.cli.commands.catalogue import data_get
from ofa_bench.cli.main import main
answers = []
for words in json.loads(sys.argv[1]):
    text = io.StringIO()
    data_get.CONFIRM_ABOVE = 1 if words[-1].endswith("-asked-for") else 10**9
    with contextlib.redirect_stdout(text):
        code = main(["data", "get", *words, "--json"])
    answers.append((code, json.loads(text.getvalue())))
print(json.dumps(answers))
"""


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as listening:
        listening.commits[NAME] = [("1" * 40, FILES)]
        yield listening


@pytest.fixture
def call(server: Hub, tmp_path: Path) -> Call:
    """Several command lines in one process: the library reads its settings once."""

    def run(*lines: list[str]) -> list[tuple[int, dict]]:
        around = {**os.environ, "HF_ENDPOINT": server.address, "HF_HOME": str(tmp_path / "home"),
                  "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1",
                  "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # fmt: skip
        words = [sys.executable, "-c", SCRIPT, json.dumps(lines)]
        done = subprocess.run(words, env=around, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=120)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout)

    return run


def test_parquet_files_come_at_one_commit(call: Call, server: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "trees"
    line = [f"hf:{NAME}", "--data-dir", str(folder)]
    tree = layouts.folder(tmp_path / "tree")
    published = layouts.parquet(tree, tmp_path / "published")
    files = {str(p.relative_to(published)): p.read_bytes() for p in published.rglob("*.parquet")}
    server.commits["someone/real"] = [("5" * 40, files)]
    first, again, real = call(line, line, ["hf:someone/real", "--data-dir", str(tmp_path / "real")])
    assert real[0] == 0 and split_hashes(tmp_path / "real") == split_hashes(tree)
    assert first == again and first[0] == 0
    answer = first[1]
    assert (answer["repository"], answer["revision"]) == (NAME, "1" * 40)
    held = {str(p.relative_to(folder)) for p in folder.rglob("*.parquet")}
    assert held == {"data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"}
    assert not list(folder.rglob("*.py")) and not list(tmp_path.rglob("evil*"))
    assert all((folder / name).read_bytes() == FILES[name] for name in held)
    kept = json.loads((folder / "ofa-bench-source.json").read_text())
    assert kept["revision"] == "1" * 40 and len(kept["files"]) == 2
    fetched = [line for line in server.asked if line.startswith("GET") and "/resolve/" in line]
    assert len(fetched) == 2 + len(files)


def split_hashes(folder: Path) -> dict[str, str]:
    spec = load_spec("folder")
    collection = read_collection(spec, locate(spec, folder))
    return {name: split.hash() for name, split in cut(collection, spec, None).items()}


def test_what_is_refused(call: Call, server: Hub, tmp_path: Path) -> None:
    old, fresh, mixed = (str(tmp_path / name) for name in ("old", "fresh", "mixed"))
    for folder, name in ((old, "ofa-bench-source.json"), (mixed, "data/mine.parquet")):
        (Path(folder) / name).parent.mkdir(parents=True)
        (Path(folder) / name).write_text(json.dumps({"repository": NAME, "revision": "1" * 40}))
    file, link = str(tmp_path / "file"), str(tmp_path / "link")
    Path(file).write_bytes(b"")
    Path(link).symlink_to(tmp_path / "nothing")
    server.commits[NAME].append(("2" * 40, {**FILES, "data/more.parquet": b"m"}))
    server.commits["someone/code"] = [("3" * 40, {"code.py": b"x"})]
    for size in (100, 2 * LARGE):
        server.commits[f"someone/n{size}"] = [("4" * 40, {f"data/{size}.parquet": b"a" * size})]
        server.sends[f"data/{size}.parquet"] = b"w" * size
    answers = call(
        [f"hf:{NAME}", "--data-dir", old],
        [f"hf:{NAME}", "--data-dir", old, "--revision", "1" * 40],
        [f"hf:{NAME}", "--data-dir", mixed],
        [f"hf:{NAME}", "--data-dir", fresh, "--revision", "9" * 40],
        ["hf:someone/code", "--data-dir", fresh],
        ["hf:someone/none", "--data-dir", fresh],
        ["hf:../etc", "--data-dir", fresh],
        [f"hf:{NAME}", "--data-dir", fresh, "--mirror", "https://x"],
        [f"hf:{NAME}", "--data-dir", fresh + LARGEST],
        ["hf:someone/n100", "--data-dir", str(tmp_path / "100")],
        ["hf:someone/n2000", "--data-dir", str(tmp_path / "2000")],
        [f"hf:{NAME}", "--data-dir", file],
        [f"hf:{NAME}", "--data-dir", file + "/below"],
        [f"hf:{NAME}", "--data-dir", link + "/below"],
    )
    assert [code for code, _ in answers] == [2, 0, *[2] * 12]
    texts = [answer.get("error", "") for _, answer in answers]
    assert "1" * 40 in texts[0] and "2" * 40 in texts[0]
    assert "data/mine.parquet is no file of someone/trees" in texts[2]
    assert "has no revision" in texts[3] and "no parquet files in data/" in texts[4]
    assert "there is no someone/none" in texts[5] and "names no repository" in texts[6]
    assert "3 parquet files, 2.10 kB" in texts[8] and "--yes" in answers[8][1]["hint"]
    assert "refs/convert" not in answers[4][1]["hint"]
    assert texts[11] == f"{file} is a file, or below one"
    assert texts[12] == f"{file}/below is a file, or below one"
    assert texts[13] == f"cannot make the folder {link}/below: File exists"
    assert not Path(fresh).exists()
    for text, size in zip(texts[9:11], ("100", "2000"), strict=True):
        assert f"{size}.parquet is not the file that someone/n{size} has at 4444" in text
        assert not list((tmp_path / size).rglob("*.parquet"))
