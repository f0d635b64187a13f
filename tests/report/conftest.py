"""Pages of made-up records, and the little that is needed to read one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from ofa_bench.leaderboard.board import Board, board, boards
from ofa_bench.records.schema import Record, plain, sealed
from ofa_bench.records.store import Store
from ofa_bench.records.track import tracks
from ofa_bench.report import Sources, page
from tests.records.factory import failed, make

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m ../../etc %{x}"
CARD = "# card\n\n<b>bold</b> ![out](http://example.org/x.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"


@dataclass
class Read(HTMLParser):
    """Elements of a page: tags with attributes, tables as lists of rows of cells' texts."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: dict[str, str] = field(default_factory=dict)
    tables: list[list[list[str]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._script: str | None = None
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "script":
            self._script = given.get("id") or f"script {len(self.scripts)}"
            self.scripts[self._script] = ""
        elif tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._cell = True
        elif tag == "small" and self._cell:
            self.tables[-1][-1][-1] += " | "

    def handle_endtag(self, tag: str) -> None:
        self._script = None if tag == "script" else self._script
        self._cell = self._cell and tag not in ("td", "th", "tr")

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] += data
            return
        self.text += data
        if self._cell:
            self.tables[-1][-1][-1] += data

    def table(self, *heads: str) -> list[list[str]]:
        """The body of the first table that begins with these heads."""
        found = (t for t in self.tables if [h.strip() for h in t[0][: len(heads)]] == list(heads))
        return next(found)[1:]

    def figure(self, name: str) -> Any:
        """A chart's figure, by the end of its id."""
        return json.loads(next(s for key, s in self.scripts.items() if key.endswith(name)))


RATES = {"steps": [0, 36], "epochs": [0.0, 1.9], "lr": [0.1, 0.05], "shares": [None, 0.5]}


def rated(record: Record) -> Record:
    """The record with the rates of a run."""
    return sealed({**plain(record), "rates": RATES})


def read(text: str) -> Read:
    found = Read()
    found.feed(text)
    return found


def sources(**changes: Any) -> Sources:
    nothing: dict[str, Any] = {
        "meter": lambda record: None,
        "card": lambda method: CARD,
    }
    return Sources(**{**nothing, **changes})


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three rows of three seeds, and one seed of a fourth that diverged."""
    store = Store(tmp_path_factory.mktemp("report") / "results")
    for name, base in (("alpha", 88.0), ("beta", 60.0), ("gamma", 60.3)):
        for seed in range(3):
            record, bits = make(name, seed, base)
            store.write(record if name == "gamma" else rated(record), bits)
    store.write(failed("delta"))
    return store


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two seeds of a record whose every free text is out for mischief."""
    store = Store(tmp_path_factory.mktemp("hostile") / "results")
    for seed in range(2):
        record, bits = make("alpha", seed, 70.0)
        told = plain(record)
        told["method"]["name"] = told["method"]["composition"] = HOSTILE
        told["method"]["lr"]["options"] = {HOSTILE: HOSTILE}
        told["method"]["lr"]["distribution"] = HOSTILE
        told["run"]["command"] = told["machine"]["cpu"] = told["run"]["commit"] = HOSTILE
        told["task"]["dataset"] = told["science"]["precision"] = HOSTILE
        for phase in told["cost"]["phases"]:
            phase["name"] = HOSTILE
            phase["macs"] = {HOSTILE: sum(phase["macs"].values())}
        for score in told["scores"]:
            score["name"] = HOSTILE
        told["curve"][0]["phase"] = HOSTILE
        store.write(sealed(told), bits)
    store.write(sealed({**plain(failed("beta")), "error": HOSTILE}))
    return store


def every(store: Store) -> list[Board]:
    """Boards of all records, those that do not hold too."""
    return [board(track, entries) for track, entries in tracks(store.list()).items()]


@pytest.fixture(scope="session")
def found(store: Store) -> Board:
    (board,) = boards(store)
    return board


@pytest.fixture(scope="session")
def made(found: Board) -> str:
    return page([found], sources())


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    out: str
    err: str


Bench = Callable[..., Done]


@pytest.fixture
def bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    for variable in ("RANK", "OFA_BENCH_DEBUG", "OFA_BENCH_RESULTS"):
        monkeypatch.delenv(variable, raising=False)

    def call(*words: object) -> Done:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "r.html"
