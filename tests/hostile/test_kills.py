"""Killed at random moments, everything ends as if nobody had; eight store at once and lose nothing.

`tox -e kills` kills a hundred times; a few are enough here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests import preloaded
from tests.hostile.campaign import Server
from tests.hostile.corpus import Corpus
from tests.hostile.kills import SCENES, bundle, members, play

KILLS = 2


@pytest.mark.parametrize("scene", list(SCENES))
def test_kills_lose_nothing(
    scene: str, server: Server, corpus: Corpus, record_property: Any
) -> None:
    record_property("kills", f"{scene}: {play(scene, server, corpus, 0, KILLS)}")


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "ofa_bench", *words, "--results", str(folder / "results")]


def test_eight_store_at_once_while_boards_are_checked(corpus: Corpus, tmp_path: Path) -> None:
    """Each takes in a part, and a part that another has too; a ninth looks at the boards."""
    whole, names = bundle(corpus), members(bundle(corpus))
    for number in range(8):
        part = [name for at, name in enumerate(names) if at % 8 in (number, (number + 1) % 8)]
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / f"{number}.zip", "w") as new:
            for name in old.namelist():
                if name.rpartition(".")[0] in part:
                    new.writestr(name, old.read(name))
    wishes = [command(tmp_path, "records", "import", str(tmp_path / f"{n}.zip")) for n in range(8)]
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    writers = [
        preloaded.Process(w, env=environment, stderr=subprocess.PIPE, text=True) for w in wishes
    ]
    while any(writer.poll() is None for writer in writers):
        checked = preloaded.run(command(tmp_path, "board", "--check"), timeout=120)
        assert checked.returncode in (0, 1, 2), checked.stderr
        assert "this is a bug" not in checked.stderr
        assert "Traceback" not in checked.stderr
    for writer in writers:
        _, said = writer.communicate()
        assert writer.returncode == 0, said
    root = tmp_path / "results" / "records"
    stored = {str(path.relative_to(root)).removesuffix(".json") for path in root.glob("*/*/*.json")}
    assert stored == set(names)
    assert not list((tmp_path / "tmp").iterdir())
    for path in root.glob("*/*/*.json"):
        original = Path(__file__).parents[2] / "results" / "records" / path.relative_to(root)
        assert path.read_bytes() == original.read_bytes()
