"""Sites of committed and of made-up records, and the little that is needed to read one."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ofa_bench.cli.main import main
from tests.records.forgery import results as copied

ROOT = Path(__file__).resolve().parents[3]
COMMITTED = ("results", "results/paper", "results/ground-truth")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b[31m '\"&{{7*7}}"


@dataclass
class SitePage(HTMLParser):
    """What leads away from a page, what is led to, and its text."""

    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self._script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self._script = tag == "script"
        self.links += [values[name] or "" for name in ("href", "src") if name in values]
        if values.get("id"):
            self.ids.append(values["id"] or "")

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if not self._script:
            self.text += data


def read(path: Path) -> SitePage:
    page = SitePage()
    page.feed(path.read_text(encoding="utf-8"))
    return page


@dataclass
class Made:
    """A site and what the command said of it."""

    folder: Path
    said: dict[str, Any]

    @cached_property
    def pages(self) -> dict[Path, SitePage]:
        return {path: read(path) for path in sorted(self.folder.rglob("*.html"))}


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The site of what is committed."""
    folder = tmp_path_factory.mktemp("committed") / "public"
    return Made(folder, made(folder, *(ROOT / name for name in COMMITTED)))


def made(folder: Path, *results: Path) -> dict[str, Any]:
    """Write a site; what the command says of it."""
    words = [word for root in results for word in ("--results", str(root))]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["site", "-o", str(folder), *words, "--json"])
    assert code == 0, out.getvalue()
    said: dict[str, Any] = json.loads(out.getvalue())
    return said


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The committed digits records of one track and two methods."""
    return copied(tmp_path / "results")
