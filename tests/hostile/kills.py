"""Commands killed at random moments, again and again, and what must hold at the end.

python -m tests.hostile.kills --kills 100
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.box import Box
from tests.hostile.campaign import Server
from tests.hostile.corpus import ROOT, TINY, Corpus

RUN = ["run", "--method", "deps", "--seed", "0", *TINY, "--json"]
COMPARE = ["compare", "--methods", "deps,ofa", "--seeds", "1", *TINY, "--yes", "--json"]
CACHE = ["data", "prepare", "folder", "--cache", "--data-dir", "tree", "--to", "pixels", "--yes"]


class Lost(AssertionError):
    """Something that should have outlived a kill did not."""


@dataclass
class Killer:
    """Runs commands in one box; `times` counts the kills that hit a running command."""

    server: Server
    box: Box
    rng: random.Random
    times: int = 0

    def call(self, commands: list[list[str]], kill: float | None = None) -> list[int]:
        """Exit codes; fewer than commands where a kill came first. Findings raise Lost."""
        for name in ("stdout", "stderr", "outcome", "crash"):
            (self.box.root / name).unlink(missing_ok=True)
        case = {"commands": commands, "kill": kill, "memory": 1 << 14, "seconds": 120.0}
        (self.box.root / "case.json").write_text(json.dumps(case))
        answer = self.server.ask(box=str(self.box.root))
        findings = [found for found in answer["findings"] if kill is None or found[0] != "leftover"]
        if findings:
            raise Lost(f"{commands}: {findings}")
        codes: list[int] = answer["codes"]
        return codes

    def until_done(self, command: list[str], kills: int, seconds: float) -> Any:
        """Kill it `kills` times at random moments, then let it end; its JSON, if it prints any."""
        for _ in range(kills):
            if not self.call([command], self.rng.uniform(0.02, seconds)):
                self.times += 1
        if self.call([command]) != [0]:
            raise Lost(f"{command}: {self.told('stderr')}")
        text = self.told("stdout")
        return json.loads(text) if "--json" in command else text

    def told(self, name: str) -> str:
        """What the last call printed."""
        return (self.box.root / name).read_text(encoding="utf-8", errors="replace")

    def holds(self, records: int) -> None:
        """So many records, all valid, no orphans beside them, boards as they make them."""
        root = self.box.work / "results" / "records"
        paths = sorted(root.glob("*/*/*.json"))
        if len(paths) != records:
            raise Lost(f"{len(paths)} records of {records}")
        stems = {path.with_suffix("") for path in paths}
        strays = [
            path for path in root.rglob("*") if path.is_file() and path.with_suffix("") not in stems
        ]
        if strays:
            raise Lost(f"left behind: {strays}")
        if self.call([["validate", "results/records"]]) != [0]:
            raise Lost(self.told("stdout"))


Scene = Callable[[Killer, Corpus, int], None]


def run(killer: Killer, corpus: Corpus, kills: int) -> None:
    """A run, begun again and again."""
    record = killer.until_done(RUN, kills, 1.2)
    _same(record["weights_sha256"], corpus.weights)
    killer.holds(1)


def resume(killer: Killer, corpus: Corpus, kills: int) -> None:
    """An interrupted run, resumed again and again."""
    shutil.copytree(corpus.root / "interrupted" / "work" / "results", killer.box.work / "results")
    (name,) = [path.parent.name for path in killer.box.work.glob("results/runs/*/run.json")]
    record = killer.until_done(["resume", name, "--json"], kills, 0.8)
    _same(record["weights_sha256"], corpus.weights)
    killer.holds(1)


def compare(killer: Killer, corpus: Corpus, kills: int) -> None:
    """A comparison of two methods."""
    killer.until_done(COMPARE, kills, 2.0)
    killer.holds(2)
    ours = {path.parent.name: path for path in killer.box.work.glob("results/records/*/*/*.json")}
    for method in ("deps", "ofa"):
        (whole,) = corpus.results.glob(f"records/*/{method}/*-s0-*.json")
        _same(_weights(ours[method]), _weights(whole))


def board(killer: Killer, corpus: Corpus, kills: int) -> None:
    """Boards made anew after a run that was finished before."""
    shutil.copytree(corpus.results, killer.box.work / "results")
    killer.until_done(RUN, kills, 0.4)
    killer.holds(3)
    if killer.call([["board", "--check"]]) != [0]:
        raise Lost(killer.told("stdout") + killer.told("stderr"))


def take_in(killer: Killer, corpus: Corpus, kills: int) -> None:
    """A bundle of the committed records."""
    whole = bundle(corpus)
    shutil.copy(whole, killer.box.work / "b.zip")
    killer.until_done(["records", "import", "b.zip"], kills, 2.5)
    killer.holds(len(members(whole)))


def cache(killer: Killer, corpus: Corpus, kills: int) -> None:
    """A folder of pixels."""
    shutil.copytree(corpus.tree, killer.box.work / "tree")
    pixels = killer.box.work / "pixels"
    for _ in range(kills):
        shutil.rmtree(pixels, ignore_errors=True)
        if not killer.call([CACHE], killer.rng.uniform(0.02, 0.3)):
            killer.times += 1
    if not pixels.exists():
        killer.until_done(CACHE, 0, 1.0)
    whole = corpus.root / "caching" / "work" / "pixels"
    for name in ("images.bin", "images.safetensors"):
        _same(_hash(pixels / name), _hash(whole / name))


SCENES: dict[str, Scene] = {
    "run": run,
    "compare": compare,
    "resume": resume,
    "import": take_in,
    "board": board,
    "cache": cache,
}


def bundle(corpus: Corpus) -> Path:
    """All committed records as one file, with the board's folders as they lie."""
    path = corpus.root / "committed.zip"
    if not path.exists():  # another process may be making it too
        made = path.with_suffix(f".{os.getpid()}")
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
            for record in sorted((ROOT / "results" / "records").glob("*/*/*")):
                if record.suffix in (".json", ".bits"):
                    file.write(record, "/".join(record.parts[-3:]))
        made.rename(path)
    return path


def members(path: Path) -> list[str]:
    """The names of a bundle's records, without their suffix."""
    with zipfile.ZipFile(path) as file:
        return [name.removesuffix(".json") for name in file.namelist() if name.endswith(".json")]


def _same(made: object, whole: object) -> None:
    if made != whole:
        raise Lost(f"{made} is not {whole}")


def _weights(path: Path) -> str:
    return str(json.loads(path.read_text(encoding="utf-8"))["weights_sha256"])


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def play(name: str, server: Server, corpus: Corpus, seed: int, kills: int) -> int:
    """One scene; how many kills hit. Raises Lost."""
    box = Box(server.box.parent / f"scene-{name}").make()
    killer = Killer(server, box, random.Random(f"{name}/{seed}"))
    SCENES[name](killer, corpus, kills)
    return killer.times


def main() -> int:
    """Scenes in turn, four kills in each, until there were so many; counts at the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    hits: Counter[str] = Counter()
    lost = []
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root, seed = Path(folder), told.seed
        server = Server(root / "corpus", root / "box")
        while hits.total() < told.kills:
            for name in SCENES:
                try:
                    hits[name] += play(name, server, Corpus(root / "corpus"), seed, 4)
                except Lost as error:
                    lost.append(f"{name} (seed {seed}): {error}")
                    hits[name] += 1
            seed += 1
        server.close()
    print(", ".join(f"{name}: {count} kills" for name, count in hits.items()))
    print(f"{hits.total()} kills, {len(lost)} losses", *lost, sep="\n")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
